"""A circuit breaker: an endpoint that is down is not asked again by every caller, who would each wait for it."""

from __future__ import annotations

FAILURES = 5  # in a row, before it opens
PAUSE_S = 10.0  # for which it stays open, before one call may try


class Breaker:
    """One a host. Pure: time is an argument."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_again_s = 0.0

    def permits(self, now_s: float) -> bool:
        """Whether a request may be made. After the pause, True for one, and for more once that one succeeded."""
        if self._failures < FAILURES:
            return True
        if now_s < self._closed_again_s:
            return False
        self._closed_again_s = now_s + PAUSE_S
        return True

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now_s: float) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_again_s = now_s + PAUSE_S
