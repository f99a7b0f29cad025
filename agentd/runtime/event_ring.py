"""The latest events of all calls, for those who follow them: a bounded memory that every reader reads at its own pace.

A reader has no queue: it asks for what came after its place. One that is too slow, or comes back too late, learns how
many it has missed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from agentd.tools.spec import Event

EVENTS_KEPT = 5_000
BYTES_KEPT = 8 * 1024 * 1024
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """An event and its place. `size`: about what it takes, in bytes."""

    number: int
    event: Event
    size: int


@dataclass(frozen=True, slots=True)
class Reading:
    """`after`: the place from which to read on. `missed`: events that had gone before they could be read."""

    events: tuple[Kept, ...]
    after: int
    missed: int


class EventRing:
    """Owned by the supervisor; on its loop. Ids are "BOOT-NUMBER", so that none of another daemon's is mistaken."""

    def __init__(self, *, events: int = EVENTS_KEPT, size: int = BYTES_KEPT) -> None:
        self._most, self._largest = events, size
        self._boot = secrets.token_hex(4)
        self._kept: deque[Kept] = deque()
        self._size = 0
        self._last = 0  # the number of the newest
        self._news = asyncio.Event()
        self.closed = False

    @property
    def newest(self) -> int:
        """The place after everything that is known."""
        return self._last

    @property
    def oldest(self) -> int:
        """The place before everything that is kept."""
        return self._last - len(self._kept)

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            self._last += 1
            kept = Kept(self._last, event, 200 + len(str(event.data)))
            self._kept.append(kept)
            self._size += kept.size
            while len(self._kept) > self._most or (self._size > self._largest and len(self._kept) > 1):
                self._size -= self._kept.popleft().size
        self._wake()

    def read(self, after: int) -> Reading:
        """At most `AT_ONCE` events after this place."""
        start = max(after, self.oldest)
        skipped = start - self.oldest
        events = tuple(islice(self._kept, skipped, skipped + AT_ONCE))
        return Reading(events, start + len(events), start - after)

    async def wait(self, after: int) -> None:
        """Until there is something after this place, or nothing more will come."""
        while self._last <= after and not self.closed:
            await self._news.wait()

    def close(self) -> None:
        """Nothing more will come; who waits is told."""
        self.closed = True
        self._wake()

    def id_of(self, number: int) -> str:
        return f"{self._boot}-{number}"

    def place_of(self, event_id: str) -> int:
        """The place after the event of this id. Of another daemon's id, or of one that cannot be read: before all that
        is kept, with one more missed, as nobody knows how many there were."""
        boot, _, number = event_id.rpartition("-")
        if boot == self._boot and number.isdecimal() and int(number) <= self._last:
            return int(number)
        return self.oldest - 1

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
