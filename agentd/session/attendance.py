"""Whether somebody is there to talk with, and how long one is waited for."""

from __future__ import annotations

from agentd.aio import now

NO_CALLER_S = 300.0  # LiveKit's own limit for an empty room
AWAY_S = 60.0  # a caller whose connection failed is waited for this long


class Attendance:
    """One session's, from its beginning. Owned by the session's task."""

    def __init__(self) -> None:
        self.there = False
        self.met = False
        """The greeting or the bridge is on its way."""
        self.until: float | None = now() + NO_CALLER_S
        """When one who is not there is waited for no longer; None while somebody is."""

    def came(self) -> bool:
        """Whether it is the first time."""
        first, self.met = not self.met, True
        self.there, self.until = True, None
        return first

    def lost(self) -> None:
        """Their connection failed: they may come back."""
        self.there, self.until = False, now() + AWAY_S

    @property
    def over(self) -> str | None:
        """Why the call ends, if nobody is waited for any more."""
        if self.until is None or now() < self.until:
            return None
        return "caller_lost" if self.met else "no_caller"
