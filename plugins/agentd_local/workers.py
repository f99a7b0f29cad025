"""A few threads on which one model serves many calls, with a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentd.errors import ProviderUnavailable

T = TypeVar("T")


class BoundedThreads:
    """Runs functions on `parallel` threads; refuses when `max_waiting` more are already waiting.

    A caller that is cancelled gives its place back: what has not begun never runs, what runs goes on
    to its end, and its answer is dropped.
    """

    def __init__(self, provider: str, *, parallel: int, max_waiting: int) -> None:
        self._provider = provider
        self._limit = parallel + max_waiting
        self._taken = 0
        self._executor = ThreadPoolExecutor(parallel, thread_name_prefix=provider)

    async def run(self, function: Callable[[], T]) -> T:
        """The function's value. Raises ProviderUnavailable when too many wait."""
        if self._taken >= self._limit:
            raise ProviderUnavailable(self._provider, f"{self._taken} requests are waiting already")
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, function)
        try:
            return await future
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Drops what waits; does not wait for what runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)
