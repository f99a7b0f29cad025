"""An event loop whose clock jumps to the next timer when nothing else is to be done.

`asyncio.sleep`, `asyncio.timeout` and `loop.time()` are exact and cost no real time. A test asks for it with
the fixture `virtual_time` (see tests/conftest.py) or runs `run_virtual(coroutine)`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Real I/O is still served; a wait with a time-out moves the clock instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(5.0)  # only a thread or a socket can wake us: bounded, so that a deadlock shows
        ready = super().select(0)
        if not ready and timeout > 0:
            self.elapsed += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed


class VirtualTimePolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualTimeLoop()


def run_virtual(main: Coroutine[Any, Any, T], *, limit_s: float = 3600) -> T:
    """Runs `main` in virtual time; raises TimeoutError when it takes more than `limit_s` virtual seconds."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            return await main

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(bounded())
