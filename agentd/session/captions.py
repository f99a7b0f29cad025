"""The agent's captions, written beside the sound and never ahead of it; a slow room must not delay the sound."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal

from agentd.aio import Channel, Closed
from agentd.session.room import Caption, Room

log = logging.getLogger(__name__)

CAPACITY = 1_000  # words waiting for a slow room; the oldest go first
ROOM_S = 2.0  # for one write, and for all that is left at the end: a room that hangs must not hold the reply


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
        try:
            async with asyncio.timeout(ROOM_S):
                await self._pass_on(step)
        except TimeoutError:
            log.warning("caption_dropped", extra={"segment": step.segment, "kind": step.kind})

    async def _pass_on(self, step: _Step) -> None:
        if step.kind == "write":
            if step.segment not in self._open:
                self._open[step.segment] = await self._room.open_caption(f"{self._prefix}-{step.segment}")
            await self._open[step.segment].write(step.text)
        elif step.segment in self._open:
            await self._open.pop(step.segment).close()

    async def _drain(self) -> None:
        self._steps.close()
        try:
            async with asyncio.timeout(ROOM_S):
                await self._pass_on_the_rest()
        except TimeoutError:
            log.warning("captions_not_closed", extra={"segments": sorted(self._open)})

    async def _pass_on_the_rest(self) -> None:
        while len(self._steps):
            try:
                await self._pass_on(await self._steps.receive())
            except Closed:
                break
        for segment in list(self._open):
            await self._open.pop(segment).close()
