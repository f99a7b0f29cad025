"""An event loop whose clock jumps to the next timer when nothing else is to be done.

`asyncio.sleep`, `asyncio.timeout` and `loop.time()` are exact and cost no real time. What waits for the world (a
network, a process, a thread) says so by `real_time()`: as long as somebody does, the clock goes as clocks do.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

NOBODY_S = 5.0
"""With no timer only a thread or a socket can wake the loop: bounded, so that a deadlock shows."""


class _JumpingSelector(selectors.DefaultSelector):
    """Real I/O is still served; a wait with a time-out moves the clock instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self.real = 0

    def select(self, timeout: float | None = None) -> Any:
        if self.real:
            return self._wait(timeout)
        if timeout is None:
            return super().select(NOBODY_S)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.elapsed += timeout
        return ready

    def _wait(self, timeout: float | None) -> Any:
        began = time.monotonic()
        ready = super().select(timeout)
        self.elapsed += time.monotonic() - began
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.elapsed

    @contextmanager
    def real_time(self) -> Iterator[None]:
        self._jumping.real += 1
        try:
            yield
        finally:
            self._jumping.real -= 1


@contextmanager
def real_time() -> Iterator[None]:
    """What is awaited inside takes as long as it takes. Does nothing on a loop of another kind."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        yield
        return
    with loop.real_time():
        yield


def run_virtual(main: Coroutine[Any, Any, T], *, limit_s: float = 3600) -> T:
    """Runs `main` in virtual time; raises TimeoutError when it takes more than `limit_s` virtual seconds."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            return await main

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(bounded())
