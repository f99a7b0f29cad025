"""Events that wait for a session's hooks: bounded, in order, and what is lost is counted. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from agentd.session.causes import Causes
from agentd.session.numbered_hooks import NumberedHook
from agentd.tools.spec import Event

EVENTS_WAITING = 100  # of one session
LAST = ("agent_left", "close")
"""What is told when the call is over."""

ONCE = frozenset({"session_started", "agent_entered", "participant_linked", *LAST})
"""Those that a call begins and ends with: they are never the ones that go."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event, the hooks that it is for, and those that brought it about."""

    event: Event
    hooks: tuple[NumberedHook, ...]
    causes: Causes


@dataclass(slots=True)
class HookQueue:
    """The oldest go first when there are too many. `dropped`: how many of each type went since it was last taken."""

    capacity: int = EVENTS_WAITING
    waiting: deque[Waiting] = field(default_factory=deque)
    dropped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, event: Waiting) -> None:
        self.waiting.append(event)
        if len(self.waiting) > self.capacity:
            self._drop(next((each for each in self.waiting if each.event.type not in ONCE), self.waiting[0]))

    def take(self) -> Waiting:
        """The oldest. Raises IndexError when there is none."""
        return self.waiting.popleft()

    def leave_only(self, types: Collection[str]) -> None:
        """Drops all others."""
        for each in [each for each in self.waiting if each.event.type not in types]:
            self._drop(each)

    def take_dropped(self) -> dict[str, int]:
        """What was lost since this was last asked, by type."""
        dropped, self.dropped = dict(self.dropped), Counter()
        return dropped

    def _drop(self, event: Waiting) -> None:
        self.waiting.remove(event)
        self.dropped[event.event.type] += 1
