"""Which steps of `when_busy` each agent has taken, and who is told: its calls, the log, those who follow the events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from agentd.aio import now
from agentd.config.busy import BusyStep
from agentd.config.definition import AgentDefinition
from agentd.runtime.daemon_events import busy_changed
from agentd.runtime.jobs import Session
from agentd.runtime.ladder import Ladder, steps_at
from agentd.runtime.status import BetweenWorkers
from agentd.tools.acts import Act, GiveUp
from agentd.tools.event import Event

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyState:
    """`given_up`: what its calls do without now; `llm_step`: the step whose model its new calls have."""

    given_up: GiveUp = field(default_factory=GiveUp)
    llm_step: int | None = None


NOT_BUSY = BusyState()


class Busy:
    """Owned by the supervisor. `fraction`: how full an agent is; `tell`: has a session act (raises BetweenWorkers,
    KeyError)."""

    def __init__(
        self,
        *,
        serving: Callable[[str], AgentDefinition | None],
        fraction: Callable[[AgentDefinition], float],
        tell: Callable[[str, Act], object],
        told: Callable[[Event], None],
    ) -> None:
        self._serving = serving
        self._fraction = fraction
        self._tell = tell
        self._told = told
        self._ladders: dict[str, Ladder] = {}
        self._states: dict[str, BusyState] = {}
        self._known: dict[tuple[str, int], GiveUp] = {}  # what each incarnation of a call was told

    def of(self, agent: str) -> BusyState:
        """What holds for a call that begins now."""
        definition = self._serving(agent)
        if definition is None or not definition.when_busy:
            self._ladders.pop(agent, None)
            if step := self._states.pop(agent, NOT_BUSY).given_up.step:
                self._say(agent, step, GiveUp(), ())
            return NOT_BUSY
        loads = tuple(step.load for step in definition.when_busy)
        ladder = self._ladders.get(agent)
        if ladder is None or ladder.loads != loads:
            ladder = self._ladders[agent] = Ladder(loads)
        load, before = self._fraction(definition), self._states.get(agent, NOT_BUSY)
        level = ladder.step(load, now())
        early, llm_step = steps_at(definition.when_busy, level)
        if (level, early) == (before.given_up.step, before.given_up.early):
            load = before.given_up.load  # for which the step was taken
        state = BusyState(given_up=GiveUp(step=level, load=load, early=early), llm_step=llm_step)
        self._states[agent] = state
        if level != before.given_up.step:
            self._say(agent, before.given_up.step, state.given_up, definition.when_busy)
        return state

    def began(self, session: Session, given_up: GiveUp) -> None:
        """This incarnation of the call was told so at its start."""
        self._known[session.id, session.incarnation] = given_up

    def tick(self, agents: Iterable[str], sessions: Iterable[Session]) -> None:
        """To be called about once a second, with those who serve and all calls: takes and leaves steps, and tells the
        calls that have a place."""
        for agent in agents:
            self.of(agent)
        running = {(each.id, each.incarnation): each for each in sessions if each.queued_at is None and each.worker}
        self._known = {key: given for key, given in self._known.items() if key in running}
        for key, session in running.items():
            wanted = self._states.get(session.agent, NOT_BUSY).given_up
            if self._known.get(key) == wanted:
                continue
            with suppress(BetweenWorkers, KeyError):
                if key in self._known or wanted.step:
                    self._tell(session.id, wanted)
                self._known[key] = wanted

    def steps(self) -> Mapping[str, int]:
        """By agent, up to which step things are given up."""
        return {agent: state.given_up.step for agent, state in self._states.items()}

    def _say(self, agent: str, before: int, given_up: GiveUp, steps: tuple[BusyStep, ...]) -> None:
        entered = given_up.step > before
        what = [name for step in steps[: given_up.step] for name in named(step)]
        extra = {"agent": agent, "step": given_up.step, "load": round(given_up.load, 2), "given_up": ", ".join(what)}
        logger.warning("busy step entered" if entered else "busy step left", extra=extra)
        self._told(busy_changed(agent, before, given_up, what))


def named(step: BusyStep) -> list[str]:
    """The keys of what a step gives up."""
    keys = {"preemptive": step.preemptive, "llm": step.llm, "queue": step.queue, "refuse": step.refuse or None}
    return [key for key, value in keys.items() if value is not None]
