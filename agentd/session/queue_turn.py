"""One caller's turn in the queue, as the worker is told of it: it may be over before their room is joined."""

from __future__ import annotations

import asyncio

from agentd.aio import now

QUEUE_TIMEOUT = "queue_timeout"
"""The reason of the end of a call that got no place in time."""

ADMITTED = ""
"""The end of a wait for a place that was got."""


class Waiting:
    """One caller's turn in the queue, as the worker is told of it, at any time also before the room is joined."""

    def __init__(self, position: int, remaining_s: float) -> None:
        self.position = position
        self.until = now() + remaining_s
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        return self._over.done()

    def admit(self) -> None:
        self.end(ADMITTED)

    def end(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(reason)

    async def over(self) -> str:
        """Why the wait is over; ADMITTED: there is a place."""
        return await asyncio.shield(self._over)
