"""Budgets of a day: what counts, when they are used up, what follows, and that they outlive the daemon."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.budget import Budget, DayBudget, Price
from agentd.config.definition import AgentDefinition
from agentd.runtime.budgets import Budgets, Ending, day_of, ratios, spent_of, spent_on_time, used_up
from agentd.runtime.jobs import Session
from agentd.runtime.ledger import Ledger, Spent
from agentd.runtime.usage import Amount, SessionUsed, UsageMeter
from agentd.session.records import Record
from agentd.transport.protocol import Decline
from tests.runtime.daemon import running, until
from tests.runtime.parts import Counted, FakeSession, Files, choice, definition

MIDNIGHT = 1_800_057_600.0  # 2027-01-16, UTC
PRICES: Mapping[str, Price] = {
    "fake": Price(per_million_input=1.0, per_million_output=10.0, per_million_characters=100.0, per_minute=0.01),
    "fake/large": Price(per_million_input=4.0, per_million_cached=1.0, per_million_output=40.0),
}


@dataclass(frozen=True)
class Model:
    model: str


def budgeted(**values: Any) -> AgentDefinition:
    agent = definition("desk")
    return replace(agent, limits=replace(agent.limits, budget=Budget(**values)))


@dataclass
class Day:
    """A daemon's budgets, and a clock that the test moves."""

    path: Path
    now: float = MIDNIGHT + 3600

    def __post_init__(self) -> None:
        self.measures = Counted()
        self.serving: dict[str, AgentDefinition] = {}
        self.budgets = Budgets(
            Ledger(self.path / "budgets.db"),
            PRICES,
            serving=self.serving.get,
            measures=self.measures,
            clock=lambda: self.now,
        )

    def session(self, agent: AgentDefinition, name: str = "s-1") -> Session:
        return Session(
            id=name, job="", agent=agent.name, definition=agent, generation=1, room="", url="", identity="",
            journal=Path(), worker="w", started_at=self.now,
        )  # fmt: skip

    def tokens(self, session: Session, tokens: int, caller: str = "") -> None:
        amount = Amount(provider="fake", input_tokens=tokens)
        self.budgets.used(session, SessionUsed(session=session.id, amounts=(amount,), caller=caller))

    def restarted(self) -> Day:
        self.budgets.close()
        return Day(self.path, self.now)


def test_what_is_used_is_told_by_its_share_and_all_is_all() -> None:
    limit = DayBudget(tokens_per_day=1000, minutes_per_day=10, cost_per_day=2.0)
    spent = Spent(tokens=999, seconds=600, cost=1.0)
    assert ratios(limit, spent) == {"tokens_per_day": 0.999, "minutes_per_day": 1.0, "cost_per_day": 0.5}
    assert used_up(limit, spent) == ("minutes_per_day",)
    assert used_up(None, spent) == used_up(DayBudget(), spent) == ()


def test_a_models_own_price_goes_before_its_providers() -> None:
    amount = Amount(provider="fake", input_tokens=1_000_000, cached_tokens=400_000, output_tokens=100_000)
    agent = definition("desk")
    assert spent_of(amount, agent, PRICES) == Spent(tokens=1_100_000, cost=2.0)
    large = replace(agent, llm=choice("llm", Model("large")))
    assert spent_of(amount, large, PRICES).cost == pytest.approx(0.6 * 4 + 0.4 * 1 + 4.0)
    assert spent_of(Amount(provider="fake", characters=5_000), agent, PRICES).cost == 0.5
    assert spent_of(replace(amount, provider="other"), agent, PRICES).cost == 0.0
    assert spent_on_time(120.0, agent, PRICES).cost == pytest.approx(3 * 2 * 0.01), "stt, llm and tts are the same"


def test_calls_are_refused_until_midnight(tmp_path: Path) -> None:
    day, agent = Day(tmp_path), budgeted(tokens_per_day=1000)
    call = day.session(agent)
    day.tokens(call, 999)
    assert day.budgets.refusal(agent) == ""
    day.tokens(call, 1)
    assert "tokens_per_day" in day.budgets.refusal(agent)
    assert day.budgets.tick([call]) == [], "a call under way goes on"
    day.now = MIDNIGHT + 86_399
    assert day.budgets.refusal(agent)
    day.now += 1
    assert day.budgets.refusal(agent) == ""
    assert day_of(day.now) == "2027-01-17"


def test_minutes_are_those_of_all_calls_under_way(tmp_path: Path) -> None:
    day, agent = Day(tmp_path), budgeted(minutes_per_day=2)
    calls = [day.session(agent, "s-1"), day.session(agent, "s-2")]
    for _ in range(60):
        day.budgets.tick(calls)
        day.now += 1
    assert day.budgets.refusal(agent) == ""
    day.budgets.tick(calls)
    assert "minutes_per_day" in day.budgets.refusal(agent)
    (status,) = day.budgets.statuses([agent])
    assert (status.minutes, status.used_up) == (2.0, ("minutes_per_day",))


def test_what_was_used_outlives_the_daemon_and_its_file_is_for_its_owner(tmp_path: Path) -> None:
    day, agent = Day(tmp_path), budgeted(tokens_per_day=1000, per_caller=DayBudget(tokens_per_day=500))
    day.tokens(day.session(agent), 600, caller="sip_+1555")
    day = day.restarted()
    assert day.budgets.refusal(agent) == ""
    day.tokens(day.session(agent, "s-2"), 400)
    assert day.budgets.refusal(agent)
    whole, caller = day.budgets.statuses([agent])
    assert (whole.tokens, caller.caller, caller.tokens, caller.used_up) == (1000, "sip_+1555", 600, ("tokens_per_day",))
    assert stat.S_IMODE((tmp_path / "budgets.db").stat().st_mode) == 0o600
    day.now += 86_400
    assert day.restarted().budgets.refusal(agent) == ""


def test_a_caller_who_has_used_theirs_up_is_told_goodbye_and_others_are_not(tmp_path: Path) -> None:
    day = Day(tmp_path)
    agent = budgeted(per_caller=DayBudget(tokens_per_day=100), goodbye="That is all for today.")
    ann, ben = day.session(agent, "ann-1"), day.session(agent, "ben-1")
    day.tokens(ann, 100, caller="ann")
    day.tokens(ben, 99, caller="ben")
    assert day.budgets.tick([ann, ben]) == [Ending(session="ann-1", goodbye="That is all for today.")]
    again = day.session(agent, "ann-2")
    assert day.budgets.tick([again]) == []
    day.budgets.used(again, SessionUsed(session="ann-2", caller="ann"))
    assert [ending.session for ending in day.budgets.tick([again])] == ["ann-2"]
    assert day.budgets.refusal(agent) == "", "the agent itself has no limit"


def test_when_the_file_says_so_calls_under_way_are_ended_in_their_language(tmp_path: Path) -> None:
    day = Day(tmp_path)
    agent = replace(budgeted(cost_per_day=0.01, when_used_up="end"), language="de")
    call = day.session(agent)
    day.tokens(call, 10_000)
    assert day.budgets.tick([replace(call, worker="")]) == [], "it waits for a worker"
    (ending,) = day.budgets.tick([call])
    assert "Auf Wiederhören" in ending.goodbye
    assert day.budgets.tick([call]) == [], "it says goodbye once"
    assert day.budgets.tick([replace(call, incarnation=2)]) == [ending], "it was rescued in the midst of it"
    assert day.measures.of("usage_cost_total", agent="desk") == pytest.approx(0.01)


def test_an_edited_budget_holds_at_once_and_for_calls_under_way(tmp_path: Path) -> None:
    day, agent = Day(tmp_path), budgeted(tokens_per_day=10, when_used_up="end")
    call = day.session(agent)
    day.tokens(call, 10)
    assert day.budgets.tick([call])
    day.serving["desk"] = budgeted(tokens_per_day=20, when_used_up="end")
    assert day.budgets.tick([call]) == []
    assert day.budgets.refusal(day.serving["desk"]) == ""


def test_a_disk_that_takes_nothing_is_said_once_and_budgets_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "budgets.db").mkdir()
    day, agent = Day(tmp_path), budgeted(tokens_per_day=10)
    call = day.session(agent)
    day.tokens(call, 10)
    day.budgets.tick([call])
    day.budgets.tick([call])
    assert day.budgets.refusal(agent)
    assert [record.message for record in caplog.records].count("budgets were not kept") == 1


def test_the_meter_names_the_provider_that_answered_last() -> None:
    meter = UsageMeter()

    def record(kind: str, /, **data: Any) -> None:
        meter.take("s-1", Record(seq=1, at=0.0, kind=kind, data=data))

    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4, "characters": 0}
    record("provider", kind="llm", provider="first", outcome="timeout")
    record("provider", kind="llm", provider="second", outcome="ok")
    record("provider", kind="tts", provider="voice", outcome="ok")
    record("caller.linked", identity="ann", name="Ann")
    record("usage", **usage)
    record("usage", prompt_tokens=0, completion_tokens=0, cached_tokens=0, characters=30)
    (told,) = meter.drain()
    assert told.caller == "ann"
    assert told.amounts == (
        Amount(provider="second", input_tokens=10, cached_tokens=4, output_tokens=2),
        Amount(provider="voice", characters=30),
    )
    assert list(meter.drain()) == []
    for kind, provider in (("realtime", "ears"), ("llm", "second"), ("realtime", "ears")):  # handed over, and back
        record("provider", kind=kind, provider=provider, outcome="ok")
        record("usage", **usage)
    (told,) = meter.drain()
    assert [each.provider for each in told.amounts] == ["ears", "second", "ears"]


async def test_a_daemon_counts_refuses_says_so_and_ends_the_call_of_a_caller(tmp_path: Path) -> None:
    agent = budgeted(tokens_per_day=1000, per_caller=DayBudget(tokens_per_day=700))
    async with running(tmp_path, Files({"desk": agent}), prices=PRICES) as daemon:
        link = daemon.registrations["desk"]
        first = await daemon.call("desk")
        usage = {"completion_tokens": 0, "cached_tokens": 0, "characters": 0}
        FakeSession.running[first].record("usage", prompt_tokens=600, **usage)
        await until(lambda: daemon.supervisor.budgets()[0].tokens == 600)
        assert not link.load().full
        FakeSession.running[first].record("usage", prompt_tokens=400, **usage)
        await until(lambda: daemon.session(first) is None)
        assert daemon.measures.of("sessions_total", agent="desk", reason="budget_used_up") == 1
        assert link.load().full
        assert isinstance(await link.offer(link.job()), Decline)
        whole, caller = daemon.supervisor.budgets()
        assert (whole.used_up, caller.caller, caller.tokens) == (("tokens_per_day",), "caller", 1000)
    async with running(tmp_path, Files({"desk": agent}), prices=PRICES, wait=False) as daemon:
        await until(lambda: "desk" in daemon.registrations)
        assert daemon.registrations["desk"].load().full, "a restart gives nothing back"
