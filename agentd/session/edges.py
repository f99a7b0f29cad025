"""The ways out of one agent that need no word of the model's: which of its handoffs is due. Pure: variables, events and
times come in, what fires comes out, with the setting behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentd.config.event_names import names_for
from agentd.config.expressions import is_true
from agentd.config.handoffs import Handoff
from agentd.tools.acts import HandOff
from agentd.tools.spec import Event


@dataclass(slots=True)
class Edges:
    """One agent's, from the moment in which it has the call. `held`: expressions that were true then: they fire once
    they have been false in between."""

    handoffs: Sequence[Handoff]
    since: float  # when it got the call
    held: set[int] = field(default_factory=set)
    silent_fired: set[int] = field(default_factory=set)  # of the present silence

    @classmethod
    def of(cls, handoffs: Sequence[Handoff], now: float, variables: Mapping[str, Any] | None) -> Edges:
        """`variables`: those with which the agent begins; None: what is true already fires."""
        edges = cls(handoffs, now)
        if variables is not None:
            edges.held = {n for n, each in edges._by("if") if is_true(each.if_ or "", variables)}
        return edges

    def at_boundary(self, variables: Mapping[str, Any]) -> HandOff | None:
        """The first whose expression has become true."""
        found: HandOff | None = None
        for number, each in self._by("if"):
            holds = is_true(each.if_ or "", variables)
            if holds and number not in self.held and found is None:
                found = HandOff.by(each, number)
                self.held.add(number)
            elif not holds:
                self.held.discard(number)
        return found

    def on_event(self, event: Event, variables: Mapping[str, Any]) -> HandOff | None:
        """The first that is on it."""
        values = {**variables, "event": dict(event.data)}
        for number, each in self._by("on"):
            if event.type in names_for(each.on or "") and _allowed(each, values):
                return HandOff.by(each, number)
        return None

    def silence_ends(self, last_heard: float) -> float | None:
        """When the next one that waits for silence may be due. `last_heard`: of either side."""
        return min((self._silent_until(each, last_heard) for _, each in self._waiting(last_heard)), default=None)

    def after_silence(self, last_heard: float, now: float, variables: Mapping[str, Any]) -> HandOff | None:
        """The first whose silence is over; each once in a silence."""
        for number, each in self._waiting(last_heard):
            if now >= self._silent_until(each, last_heard):
                self.silent_fired.add(number)
                if _allowed(each, variables):
                    return HandOff.by(each, number)
        return None

    def sounded(self) -> None:
        """The silence is over."""
        self.silent_fired.clear()

    def _by(self, trigger: str) -> list[tuple[int, Handoff]]:
        return [(number, each) for number, each in enumerate(self.handoffs) if each.trigger == trigger]

    def _waiting(self, last_heard: float) -> list[tuple[int, Handoff]]:
        return [(n, each) for n, each in self._by("after_silence") if n not in self.silent_fired]

    def _silent_until(self, handoff: Handoff, last_heard: float) -> float:
        return max(last_heard, self.since) + float(handoff.after_silence or 0.0)


def ways_out(handoffs: Sequence[Handoff], variables: Mapping[str, Any]) -> dict[str, bool]:
    """The model's tools for handing over, by name, and whether it may see each now."""
    return {each.tool_name: _allowed(each, variables) for each in handoffs if each.when is not None}


def _allowed(handoff: Handoff, values: Mapping[str, Any]) -> bool:
    return handoff.if_ is None or is_true(handoff.if_, values)
