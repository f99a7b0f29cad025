"""The agent's voice on the rtc SDK's AudioSource: one of the two seams under which a faster path can be put."""

from __future__ import annotations

import asyncio
import logging

from livekit import rtc

from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.errors import RoomLost

QUEUE_MS = 300  # the SDK's own queue: never filled, because a full one makes a write wait where clear() breaks it
AHEAD_S = 0.1  # sound handed over before it is due: short, so that an interruption is heard at once
TAKEN_WITHIN_S = 2.0  # it takes milliseconds; an answer that is lost must not silence the agent for good
LARGEST_WRITE_S = 0.1  # larger frames cost less, but clear() cannot cut what waits in the SDK

log = logging.getLogger(__name__)


class RtcAudioOut:
    """Implements agentd.session.room.AudioOut.

    The gate holds sound back while nobody can hear it: before the track is subscribed to, and while the
    connection is being mended. It is then late, not lost. After `close`, sound passes in real time into nothing.
    """

    def __init__(self) -> None:
        self.source = rtc.AudioSource(OUTPUT_HZ, 1, queue_size_ms=QUEUE_MS)
        self._gate = asyncio.Event()
        self._closed = False
        self._clears = 0  # a write that was under way when the queue was cleared fails, and is not missed

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def queued_s(self) -> float:
        return self.source.queued_duration

    def open_gate(self) -> None:
        self._gate.set()

    def close_gate(self) -> bool:
        """Whether it was open, so that what is queued now goes to nobody."""
        was_open = self._gate.is_set() and not self._closed
        if was_open:
            self._gate.clear()
        return was_open

    async def write(self, frame: AudioFrame) -> None:
        if frame.sample_rate_hz != OUTPUT_HZ:
            raise ValueError(f"the room takes {OUTPUT_HZ} Hz, not {frame.sample_rate_hz}")
        step = round(LARGEST_WRITE_S * OUTPUT_HZ) * BYTES_PER_SAMPLE
        for at in range(0, len(frame.data), step):
            await self._write(frame.data[at : at + step])

    async def _write(self, data: bytes) -> None:
        await self._gate.wait()
        samples = len(data) // BYTES_PER_SAMPLE
        if self._closed:
            await asyncio.sleep(samples / OUTPUT_HZ)
            return
        while (early_s := self.source.queued_duration - AHEAD_S) > 0:  # noqa: ASYNC110 -- the SDK tells no one when sound was sent
            await asyncio.sleep(early_s)
        clears = self._clears
        try:
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await self.source.capture_frame(rtc.AudioFrame(data, OUTPUT_HZ, 1, samples))
        except TimeoutError:
            log.warning("sound handed over without an answer", extra={"duration_s": samples / OUTPUT_HZ})
        except Exception as error:  # the SDK raises nothing narrower
            if clears == self._clears and not self._closed:
                raise RoomLost(f"the agent's track takes no sound: {error}") from error

    def clear(self) -> None:
        if not self._closed:
            self._clears += 1
            self.source.clear_queue()

    async def drained(self) -> None:
        if not self._closed:
            await self.source.wait_for_playout()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.source.clear_queue()  # also wakes those who wait for it to drain
            self._gate.set()
            await self.source.aclose()
