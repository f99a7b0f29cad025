"""A bounded, closable channel between tasks, and the clock.

Time is the running loop's `time()`: tests run on a loop whose clock jumps to the next timer
(`tests/fakes/clock.py`), so sleeps and time-outs cost nothing and are exact to the millisecond.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel was closed: nothing more can be sent."""


class Channel(Generic[T]):
    """A queue of at most `capacity` items between tasks of one loop.

    `send` waits for room; `send_nowait` answers False when there is none; `force` drops the oldest
    item instead, and counts it in `dropped`. Iteration ends when the channel is closed and empty.
    """

    __slots__ = ("_capacity", "_closed", "_items", "_waiters", "dropped")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Ends the channel. Items already in it can still be received; idempotent."""
        self._closed = True
        self._wake()

    def send_nowait(self, item: T) -> bool:
        """True when taken; False when the channel is full. Raises Closed."""
        if self._closed:
            raise Closed
        if len(self._items) >= self._capacity:
            return False
        self._items.append(item)
        self._wake()
        return True

    def force(self, item: T) -> None:
        """Takes the item always, dropping the oldest when full; does nothing when closed."""
        if self._closed:
            return
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._wake()

    async def send(self, item: T) -> None:
        while not self.send_nowait(item):
            await self._wait()

    async def receive(self) -> T:
        """The next item. Raises Closed when there is none and never will be."""
        while not self._items:
            if self._closed:
                raise Closed
            await self._wait()
        item = self._items.popleft()
        self._wake()
        return item

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            try:
                yield await self.receive()
            except Closed:
                return

    async def _wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        await future

    def _wake(self) -> None:
        while self._waiters:
            future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)


async def cancel_and_wait(task: asyncio.Task[object] | None) -> None:
    """Cancels `task` and waits until it has ended, whatever it ended with."""
    if task is None or task.done():
        return
    task.cancel()
    await asyncio.wait([task])


def end_with_sigterm() -> None:
    """From here on a termination signal cancels this task, as the interrupt key does, so that it tidies up."""
    task = asyncio.current_task()
    assert task is not None, "it is called in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def now() -> float:
    """Seconds on the running loop's clock; only differences mean anything."""
    return asyncio.get_running_loop().time()


async def every(interval_s: float, action: Callable[[], Awaitable[None] | None]) -> None:
    """Calls `action` every `interval_s`, without drift from the time that it takes."""
    due = now() + interval_s
    while True:
        await asyncio.sleep(max(0.0, due - now()))
        result = action()
        if result is not None:
            await result
        due = max(due + interval_s, now())


async def produced(produce: Callable[[Channel[T]], Awaitable[None]], capacity: int) -> AsyncGenerator[T]:
    """Yields what `produce` sends on a channel of this capacity while it runs as a task of this generator.

    An async generator may not yield inside a TaskGroup: this is how one is fed by several tasks. What `produce`
    raises is raised after the items that it sent (of an ExceptionGroup the first); closing the generator cancels
    it and waits for it.
    """
    channel: Channel[T] = Channel(capacity)

    async def run() -> None:
        try:
            await produce(channel)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            channel.close()

    task = asyncio.get_running_loop().create_task(run())
    try:
        while True:
            try:
                item = await channel.receive()
            except Closed:
                break
            yield item
        await task
    finally:
        await cancel_and_wait(task)
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not report it when the reader has gone
