"""Where a caller waits for a place: in the call's room, before there is a session.

They hear which they are in the queue, and a hold sound. What happens in the room meanwhile is kept for the session that
begins when they have their place; what they say is not: nobody listened.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agentd.aio import Channel, cancel_and_wait, now
from agentd.audio import AudioFrame, resample
from agentd.config.busy import POSITION, CallQueue
from agentd.config.definition import AgentDefinition
from agentd.config.folder import FileRefused
from agentd.errors import ProviderError
from agentd.session import resilience
from agentd.session.phrases import phrase
from agentd.session.queue_turn import QUEUE_TIMEOUT, Waiting
from agentd.session.room import CallerLeft, CallerLinked, Room, RoomClosed, RoomEvent
from agentd.session.setup import Providers
from agentd.session.synthesis import at_rate
from agentd.session.templating import rendered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FRAME_S = 0.02
PLAYED_OUT_S = 0.4  # between our last sample and the caller's ear
APOLOGY_S = 15.0
"""What the apology may take; a synthesiser that hangs may not hold the caller any longer."""

SAY_S = 20.0  # the same of an announcement: the hold sound goes on without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Who speaks to the caller: the agent whom they called. `variables`: those of the call over the file's. `hold`:
    reads a hold sound of the agents' directory; it may raise FileRefused."""

    definition: AgentDefinition
    providers: Providers
    variables: Mapping[str, Any]
    options: CallQueue
    hold: Callable[[str], AudioFrame]


class Foyer:
    """One caller's wait in a connected room. `room`: the same room, for the session afterwards."""

    def __init__(self, room: Room, host: Host, waiting: Waiting) -> None:
        self.room = KeptRoom(room)
        self._host = host
        self._waiting = waiting

    async def wait(self) -> str:
        """Until there is a place (ADMITTED), or the reason for which the call ends: queue_timeout, caller_left, what
        the room was closed for, or what it was told."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (self._watch(), self._entertain(), self._ignore_sound())]
            try:
                async with asyncio.timeout_at(self._waiting.until):
                    reason = await self._waiting.over()
            except TimeoutError:
                reason = QUEUE_TIMEOUT
            for task in tasks:
                await cancel_and_wait(task)
        self.room.audio_out.clear()
        if reason == QUEUE_TIMEOUT:
            await self._apologise()
        return reason

    async def _watch(self) -> None:
        """Keeps what happens for the session, and ends the wait with the call."""
        while (event := await self.room.next_kept()) is not None:
            match event:
                case CallerLeft(final=True):
                    self._waiting.end("caller_left")
                case RoomClosed(reason=reason):
                    self._waiting.end(reason)

    async def _ignore_sound(self) -> None:
        async for _ in self.room.audio_in():
            pass

    async def _entertain(self) -> None:
        await self.room.somebody.wait()
        options = self._host.options
        hold = await self._hold_sound()
        at = 0
        while True:
            position = self._waiting.position
            text = options.say or phrase("queue", self._host.definition.language)
            await self._say(text, SAY_S, **{POSITION: position})
            until = now() + options.every
            while now() < until:
                at = await self._play(hold, at)

    async def _play(self, sound: AudioFrame, at: int) -> int:
        """A frame of the sound from this byte on; the byte after it."""
        size = 2 * round(FRAME_S * sound.sample_rate_hz)
        piece = sound.data[at : at + size]
        await self.room.audio_out.write(AudioFrame(piece.ljust(size, b"\0"), sound.sample_rate_hz))
        return at + size if at + size < len(sound.data) else 0

    async def _hold_sound(self) -> AudioFrame:
        rate, file = self.room.audio_out.sample_rate_hz, self._host.options.audio
        if file is not None:
            try:
                sound = await asyncio.to_thread(self._host.hold, file)
                if sound.samples:
                    return await asyncio.to_thread(resample, sound, rate)
            except FileRefused as error:
                logger.warning("hold sound not read", extra={"file": file, "reason": str(error)})
        return soft_tone(rate)

    async def _apologise(self) -> None:
        text = self._host.options.apology or phrase("queue_timeout", self._host.definition.language)
        await self._say(text, APOLOGY_S)
        await asyncio.sleep(self.room.audio_out.queued_s + PLAYED_OUT_S)

    async def _say(self, template: str, most_s: float, **more: object) -> None:
        """Speaks and shows it. Without a synthesiser, or when all fail, it is shown."""
        definition = self._host.definition
        text = rendered(template, {**definition.variables, **self._host.variables, **more})
        caption = await self.room.open_caption(f"queue-{self._waiting.position}-{now():.3f}")
        await caption.write(text)
        try:
            async with asyncio.timeout(most_s):
                await self._speak(text)
        except (ProviderError, TimeoutError) as error:
            logger.warning("not spoken to who waits", extra={"reason": str(error) or type(error).__name__})
        finally:
            await caption.close()

    async def _speak(self, text: str) -> None:
        voices, out = self._host.providers.tts, self.room.audio_out
        if not voices:
            return
        segments: Channel[str] = Channel(1)
        segments.send_nowait(text)
        segments.close()
        sound = resilience.synthesize(voices, segments, self._host.definition.language, _unrecorded)
        async with aclosing(at_rate(sound, out.sample_rate_hz)) as chunks:
            async for chunk in chunks:
                await out.write(chunk.frame)


class KeptRoom:
    """A Room (agentd.session.room) whose events are read here first, and told again to the session in the end."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._source = room.events().__aiter__()
        self._kept: list[RoomEvent] = []
        self._coming: asyncio.Future[RoomEvent] | None = None
        self.somebody = asyncio.Event()  # the caller is there

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)

    async def next_kept(self) -> RoomEvent | None:
        """The next event, which stays for the session as well; None: there is no other."""
        try:
            event = await self._next()
        except StopAsyncIteration:
            return None
        self._kept.append(event)
        if isinstance(event, CallerLinked):
            self.somebody.set()
        return event

    async def events(self) -> AsyncIterator[RoomEvent]:
        while self._kept:
            yield self._kept.pop(0)
        with suppress(StopAsyncIteration):
            while True:
                yield await self._next()

    async def _next(self) -> RoomEvent:
        """One event at a time is waited for, by whoever reads: no event is lost when the reader changes."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(_anext(self._source))  # outlives its reader: the next one waits on
        event = await asyncio.shield(self._coming)
        self._coming = None
        return event


async def _anext(source: AsyncIterator[RoomEvent]) -> RoomEvent:
    return await anext(source)


def _unrecorded(kind: str, /, **data: Any) -> None:
    """The call has no journal yet."""


@lru_cache(maxsize=4)
def soft_tone(rate_hz: int) -> AudioFrame:
    """Two soft notes and a rest, of 4 s in all: what a caller hears where the file names no sound. They rise and die
    away slowly, some 24 dB below full scale."""
    import numpy as np

    def note(hz: float, begins_s: float, lasts_s: float) -> NDArray[np.float64]:
        at = np.arange(round(4.0 * rate_hz)) / rate_hz - begins_s
        envelope = np.where((at >= 0) & (at < lasts_s), np.sin(math.pi * np.clip(at / lasts_s, 0, 1)) ** 2, 0.0)
        return np.asarray(envelope * np.sin(2 * math.pi * hz * at))

    sound = 0.09 * (note(392.0, 0.0, 1.2) + note(523.25, 0.8, 1.6))
    return AudioFrame((sound * 32767).astype("<i2").tobytes(), rate_hz)
