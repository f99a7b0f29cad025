"""Who may talk in a room where only one does at a time. Pure.

Whoever presses first has the floor until they release it, leave, or have had it for too long.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentd.session.room import HandAction

LONGEST_S = 120.0
"""Then the floor is free again, and what was said is the turn: a client that hangs must not silence a room."""


@dataclass(slots=True)
class TalkFloor:
    """`holder`: the identity of who has it; "" for nobody."""

    holder: str = ""
    since: float = 0.0

    def press(self, identity: str, action: HandAction, now: float) -> str:
        """Why that cannot be; "" when it is done."""
        if self.holder not in ("", identity):
            return "the floor is taken" if action == "begin" else "the floor is another's"
        if action == "begin":
            self.holder, self.since = identity, now
        elif not self.holder:
            return "press start_turn first"
        else:
            self.holder = ""
        return ""

    def free(self, identity: str) -> bool:
        """They have gone, or their time is over; whether they had it."""
        had = bool(identity) and self.holder == identity
        if had:
            self.holder = ""
        return had

    def overdue_s(self, now: float) -> float:
        """How long until whoever has the floor loses it."""
        return max(0.0, self.since + LONGEST_S - now)
