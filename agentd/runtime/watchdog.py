"""What a service manager's watchdog is fed with: work that was done, not time that went by.

The supervisor's own turn feeds it at its end, so that a loop that hangs feeds nothing; and it does so only while those
that it waits for make progress. What is looked after elsewhere is not counted here: a worker that hangs is killed by
the pool, a server that is away is tried again by its registration. Only when nobody did that is the supervisor stuck.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agentd.runtime.pool import Pool
from agentd.runtime.registrations import Registrations

logger = logging.getLogger(__name__)

WORKER_GRACE_S = 5.0
"""How long a worker may stay silent beyond its patience: the pool ends it in the second after that."""

REGISTRATION_SILENCE_S = 60.0
"""The longest that a registration does nothing, on purpose, is the 30 s before a refused key is tried again."""


class Watchdog:
    """`feed`: tells the service manager that there was progress."""

    def __init__(self, pool: Pool, registrations: Registrations, feed: Callable[[], None]) -> None:
        self._pool = pool
        self._registrations = registrations
        self._feed = feed
        self._told: tuple[str, ...] = ()

    def tick(self) -> None:
        """Called when the supervisor has done the work of a turn."""
        stuck = self._stuck()
        if stuck and stuck != self._told:
            logger.error("no progress was made: the watchdog was not fed", extra={"reason": "; ".join(stuck)})
        self._told = stuck
        if not stuck:
            self._feed()

    def _stuck(self) -> tuple[str, ...]:
        workers = self._pool.overdue(WORKER_GRACE_S)
        registrations = self._registrations.idle(REGISTRATION_SILENCE_S)
        return (
            *(f"{name} is silent and was not replaced" for name in workers),
            *(f"the registration of {name} neither stands nor tries" for name in registrations),
        )
