"""`asyncio.timeout` as Python 3.11.4 has it, for the older ones: Debian 12 comes with 3.11.2.

There, in a task that has been cancelled and cleans up, a timeout ends with CancelledError instead of TimeoutError, and
takes the clean-up, and what should follow it, along: a worker that died was never replaced. Our own code, the SDKs and
aiohttp all clean up so; hence the class is mended, and not its users.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


def mend_timeouts(timeout: type[asyncio.Timeout] = asyncio.Timeout) -> None:
    """From now on `timeout` counts only the cancellations that were asked for inside its block."""
    enter, leave = timeout.__aenter__, timeout.__aexit__
    cancelled_before: dict[asyncio.Timeout, int] = {}

    async def aenter(self: asyncio.Timeout) -> asyncio.Timeout:
        task = asyncio.current_task()
        entered = await enter(self)
        cancelled_before[self] = task.cancelling() if task else 0
        return entered

    async def aexit(
        self: asyncio.Timeout,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        before, task = cancelled_before.pop(self), asyncio.current_task()
        expired = self.expired() and isinstance(exc_val, asyncio.CancelledError)
        await leave(self, exc_type, exc_val, exc_tb)
        if expired and task is not None and task.cancelling() <= before:
            raise TimeoutError from exc_val

    timeout.__aenter__ = aenter  # type: ignore[method-assign]
    timeout.__aexit__ = aexit  # type: ignore[method-assign]
