"""The agent's captions, written beside the sound and never ahead of it; a slow room must not delay the sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.aio import Channel, Closed
from agentd.session.room import Caption, Room

CAPACITY = 1_000  # words waiting for a slow room; the oldest go first


@dataclass(frozen=True, slots=True)
class _Step:
    kind: Literal["write", "close"]
    segment: int
    text: str = ""


class Captions:
    """The captions of one reply, one for each segment."""

    def __init__(self, room: Room, prefix: str) -> None:
        self._room = room
        self._prefix = prefix
        self._steps: Channel[_Step] = Channel(CAPACITY)
        self._open: dict[int, Caption] = {}

    def write(self, segment: int, delta: str) -> None:
        self._steps.force(_Step("write", segment, delta))

    def close(self, segment: int) -> None:
        self._steps.force(_Step("close", segment))

    def finish(self) -> None:
        self._steps.close()

    async def run(self) -> None:
        """Writes until `finish`; closes what is open, also when cancelled."""
        try:
            async for step in self._steps:
                await self._take(step)
        finally:
            await self._drain()

    async def _take(self, step: _Step) -> None:
        if step.kind == "write":
            if step.segment not in self._open:
                self._open[step.segment] = await self._room.open_caption(f"{self._prefix}-{step.segment}")
            await self._open[step.segment].write(step.text)
        elif step.segment in self._open:
            await self._open.pop(step.segment).close()

    async def _drain(self) -> None:
        self._steps.close()
        while len(self._steps):
            try:
                await self._take(await self._steps.receive())
            except Closed:
                break
        for segment in list(self._open):
            await self._open.pop(segment).close()
