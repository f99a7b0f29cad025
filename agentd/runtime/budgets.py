"""What agents and their callers have used today, and what follows when that is as much as they may.

Counted by this daemon, of its own calls: tokens, characters and callers as workers tell them, time by the tick. New
calls are refused at the offer; a caller's own budget is known only when they are there, so their call is ended with a
goodbye.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agentd.config.budget import Budget, DayBudget, Price, choices, model_of, price_of
from agentd.config.definition import AgentDefinition
from agentd.runtime.jobs import Session
from agentd.runtime.ledger import Account, Ledger, LedgerFailed, Spent
from agentd.runtime.status import BudgetStatus, Measure, MeasureSink
from agentd.runtime.usage import Amount, SessionUsed
from agentd.session.phrases import phrase

logger = logging.getLogger(__name__)

REASON = "budget_used_up"
"""Of the end of a call, and of a refusal."""


def day_of(at: float) -> str:
    """Of a unix time, in UTC."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def used_up(limit: DayBudget | None, spent: Spent) -> tuple[str, ...]:
    """The names of what is used up. Pure."""
    return tuple(name for name, ratio in ratios(limit, spent).items() if ratio >= 1.0)


def ratios(limit: DayBudget | None, spent: Spent) -> Mapping[str, float]:
    """How much of each budget is used: 1 is all. Pure."""
    if limit is None:
        return {}
    used = {
        "tokens_per_day": (spent.tokens, limit.tokens_per_day),
        "minutes_per_day": (spent.seconds / 60, limit.minutes_per_day),
        "cost_per_day": (spent.cost, limit.cost_per_day),
    }
    return {name: have / most for name, (have, most) in used.items() if most is not None}


def spent_of(amount: Amount, definition: AgentDefinition, prices: Mapping[str, Price]) -> Spent:
    """What an amount counts for. Without a price it costs nothing. Pure."""
    models = [model_of(choice) for choice in choices(definition) if choice.provider == amount.provider]
    found = [price for model in models if (price := price_of(prices, amount.provider, model))]
    price = max(found, key=lambda each: each.per_million_output, default=Price())  # of two models the dearer
    cached = price.per_million_input if price.per_million_cached is None else price.per_million_cached
    millionths = (
        (amount.input_tokens - amount.cached_tokens) * price.per_million_input
        + amount.cached_tokens * cached
        + amount.output_tokens * price.per_million_output
        + amount.characters * price.per_million_characters
    )
    return Spent(tokens=amount.input_tokens + amount.output_tokens, cost=millionths / 1e6)


def spent_on_time(seconds: float, definition: AgentDefinition, prices: Mapping[str, Price]) -> Spent:
    """Minutes are charged by the providers that were asked for first. Pure."""
    asked = [each for each in (definition.stt, definition.llm, definition.tts, definition.realtime) if each]
    priced = [price for each in asked if (price := price_of(prices, each.provider, model_of(each)))]
    return Spent(seconds=seconds, cost=seconds / 60 * sum(price.per_minute for price in priced))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A call that is to end, with these words."""

    session: str
    goodbye: str


class Budgets:
    """Owned by the supervisor. `serving`: an agent's definition for new calls, whose budget holds for those under way
    too; `clock`: unix time."""

    def __init__(
        self,
        ledger: Ledger,
        prices: Mapping[str, Price],
        *,
        serving: Callable[[str], AgentDefinition | None],
        measures: MeasureSink,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._prices = prices
        self._serving = serving
        self._measures = measures
        self._clock = clock
        self._day = ""
        self._accounts: dict[Account, Spent] = {}
        self._unwritten: set[Account] = set()
        self._callers: dict[str, str] = {}  # session -> identity
        self._seen: dict[str, float] = {}  # session -> until when its time is counted
        self._ended: set[tuple[str, int]] = set()  # incarnations of calls that were told to end
        self._told: set[str] = set()  # agents whose budget is used up, which was logged
        self._ledger_works = True

    def refusal(self, definition: AgentDefinition) -> str:
        """Why no call of this agent can be taken today; "": it can."""
        names = used_up(definition.limits.budget, self._spent(definition.name))
        return f"{', '.join(names)} of its budget: all is used" if names else ""

    def used(self, session: Session | None, message: SessionUsed) -> None:
        if session is None:
            return
        if message.caller:
            self._callers[session.id] = message.caller
        for amount in message.amounts:
            self._count(session, spent_of(amount, session.definition, self._prices))

    def tick(self, sessions: Iterable[Session]) -> list[Ending]:
        """Counts the time that has gone by, keeps what was counted, and says which calls must end."""
        running = tuple(sessions)
        at = self._clock()
        self._turn_page(day_of(at))
        for session in running:
            since = self._seen.get(session.id, at)
            self._seen[session.id] = at
            if at > since:
                self._count(session, spent_on_time(at - since, session.definition, self._prices))
        alive = {session.id for session in running}
        self._ended &= {(session.id, session.incarnation) for session in running}
        self._seen = {id: until for id, until in self._seen.items() if id in alive}
        self._callers = {id: caller for id, caller in self._callers.items() if id in alive}
        self._keep()
        self._tell(running)
        return [ending for session in running if (ending := self._once(session))]

    def statuses(self, definitions: Iterable[AgentDefinition]) -> tuple[BudgetStatus, ...]:
        """Of every agent that has a budget, and of the callers who have used theirs up."""
        found = []
        for definition in definitions:
            budget, name = definition.limits.budget, definition.name
            if budget is None:
                continue
            found.append(self._status((name, ""), budget))
            for account, spent in self._accounts.items():
                if account[0] == name and account[1] and used_up(budget.per_caller, spent):
                    assert budget.per_caller is not None
                    found.append(self._status(account, budget.per_caller))
        return tuple(found)

    def close(self) -> None:
        self._keep()
        self._ledger.close()

    def _status(self, account: Account, limit: DayBudget) -> BudgetStatus:
        spent = self._accounts.get(account, Spent())
        return BudgetStatus(
            agent=account[0],
            caller=account[1],
            day=self._day,
            tokens=spent.tokens,
            minutes=round(spent.seconds / 60, 2),
            cost=round(spent.cost, 6),
            ratios={name: round(ratio, 4) for name, ratio in ratios(limit, spent).items()},
            used_up=used_up(limit, spent),
        )

    def _spent(self, agent: str, caller: str = "") -> Spent:
        self._turn_page(day_of(self._clock()))
        return self._accounts.get((agent, caller), Spent())

    def _count(self, session: Session, more: Spent) -> None:
        self._turn_page(day_of(self._clock()))
        budget = self._budget_of(session)
        accounts = [(session.agent, "")]
        if budget is not None and budget.per_caller is not None and (caller := self._callers.get(session.id)):
            accounts.append((session.agent, caller))
        for account in accounts:
            self._accounts[account] = self._accounts.get(account, Spent()) + more
            self._unwritten.add(account)
        if more.cost:
            self._measures.apply(Measure(name="usage_cost_total", value=more.cost, labels={"agent": session.agent}))

    def _once(self, session: Session) -> Ending | None:
        """Once for each incarnation of a call; one that waits for a worker is told later."""
        told = (session.id, session.incarnation)
        ending = self._ending(session) if session.worker and told not in self._ended else None
        if ending is not None:
            self._ended.add(told)
        return ending

    def _ending(self, session: Session) -> Ending | None:
        budget = self._budget_of(session)
        if budget is None:
            return None
        caller = self._callers.get(session.id, "")
        over = budget.when_used_up == "end" and used_up(budget, self._spent(session.agent))
        if caller and not over:
            over = used_up(budget.per_caller, self._spent(session.agent, caller))
        if not over:
            return None
        return Ending(session=session.id, goodbye=budget.goodbye or phrase("goodbye_time", session.definition.language))

    def _budget_of(self, session: Session) -> Budget | None:
        return (self._serving(session.agent) or session.definition).limits.budget

    def _turn_page(self, day: str) -> None:
        """A new day begins at nothing; the first of a daemon with what an earlier one has written."""
        if day == self._day:
            return
        self._keep()
        self._day, self._unwritten, self._told = day, set(), set()
        try:
            self._accounts = dict(self._ledger.read(day))
        except LedgerFailed as error:
            self._accounts = {}
            self._fail(error)

    def _keep(self) -> None:
        if not self._unwritten:
            return
        try:
            self._ledger.write(self._day, [(account, self._accounts[account]) for account in self._unwritten])
            self._unwritten, self._ledger_works = set(), True
        except LedgerFailed as error:
            self._fail(error)

    def _fail(self, error: LedgerFailed) -> None:
        """Budgets then hold until the daemon ends. Said once, not at every tick."""
        if self._ledger_works:
            logger.error("budgets were not kept", extra={"reason": str(error)})
        self._ledger_works = False

    def _tell(self, running: Iterable[Session]) -> None:
        for session in running:
            names = used_up(self._budget_of(session), self._spent(session.agent))
            if names and session.agent not in self._told:
                self._told.add(session.agent)
                logger.warning("budget used up", extra={"agent": session.agent, "budgets": ",".join(names)})
