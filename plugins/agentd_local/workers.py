"""A few threads on which one model serves many calls, with a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

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
        self._under_way: set[Future[Any]] = set()  # also what nobody waits for any more
        self._executor = ThreadPoolExecutor(parallel, thread_name_prefix=provider)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        self._under_way = {future for future in self._under_way if not future.done()}
        return not self._under_way

    async def run(self, function: Callable[[], T]) -> T:
        """The function's value. Raises ProviderUnavailable when too many wait."""
        if self._taken >= self._limit:
            raise ProviderUnavailable(self._provider, f"{self._taken} requests are waiting already")
        self._taken += 1
        future = self._executor.submit(function)
        self._under_way.add(future)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Drops what waits; does not wait for what runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)
