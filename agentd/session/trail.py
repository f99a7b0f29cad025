"""Which agents have had a call, so that none is handed round and round. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a call is not handed over; `value`: the setting behind it, `why` in words for the model."""

    rule: str
    value: str
    why: str


@dataclass(slots=True)
class Trail:
    """One call's. `current`: who has it."""

    current: str
    seen: set[str] = field(default_factory=set)
    count: int = 0
    since_turn: set[tuple[str, str]] = field(default_factory=set)
    """Handoffs since the caller's last turn, by (from, to)."""

    def __post_init__(self) -> None:
        self.seen.add(self.current)

    def restore(self, agents: Iterable[str]) -> None:
        """The agents that an earlier incarnation had, in order, the first one and the present one among them."""
        names = list(agents)
        self.seen.update(names)
        self.count = max(0, len(names) - 1)

    def objection(self, agent: str, limit: int) -> Objection | None:
        """Why this agent is not to get the call; None when it may have it."""
        if agent == self.current:
            return Objection("handoff_to_itself", agent, "this agent has the call already")
        if (self.current, agent) in self.since_turn:
            value = f"{self.current} -> {agent}"
            return Objection("handoff_loop", value, f"{agent} has just had it, and the caller has said nothing since")
        if self.count >= limit:
            return Objection("max_handoffs", f"limits.max_handoffs={limit}", "it was handed over too often")
        return None

    def passed_to(self, agent: str) -> bool:
        """The call is this agent's now; whether for the first time."""
        first = agent not in self.seen
        self.since_turn.add((self.current, agent))
        self.current = agent
        self.seen.add(agent)
        self.count += 1
        return first

    def caller_spoke(self) -> None:
        self.since_turn.clear()
