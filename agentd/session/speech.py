"""Something that the agent is to say, as whoever asked for it holds it in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from typing import Literal

from agentd.tools.acts import Priority

SpeechState = Literal["queued", "speaking", "done"]

LOW, NORMAL, HIGH = 0, 5, 10  # as livekit-agents'
AGAIN = 6  # an answer that somebody else cut before anything of it was heard
FIRST = 100  # a greeting, or the bridge over a fault: before anything that was asked for
PRIORITIES: Mapping[Priority, int] = {"low": LOW, "normal": NORMAL, "high": HIGH}


class SpeechHandle:
    """One speech from its request to its end; `await` it to wait for that. Belongs to the session's event loop.

    `interrupted`: it was cut, cancelled or dropped before its last word was heard. It says nothing while `done` is
    False.
    """

    def __init__(self, id: str, cancel: Callable[[str, bool], None]) -> None:
        self.id = id
        self.state: SpeechState = "queued"
        self.interrupted = False
        self._cancel = cancel
        self._done = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    async def wait_for_playout(self) -> None:
        """Until it was heard to its end, or will not be."""
        await self._done.wait()

    def cancel(self, *, force: bool = False) -> None:
        """Takes it back: out of the queue, or cut if it is being said and may be; `force`: even if it may not."""
        if not self.done:
            self._cancel(self.id, force)

    def __await__(self) -> Generator[object, None, SpeechHandle]:
        yield from self._done.wait().__await__()
        return self

    # The session's side.

    def begin(self) -> None:
        self.state = "speaking"

    def finish(self, *, interrupted: bool) -> None:
        """Idempotent: the first end counts."""
        if not self.done:
            self.state = "done"
            self.interrupted = interrupted
            self._done.set()
