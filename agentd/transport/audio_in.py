"""The caller's sound on the rtc SDK's AudioStream: one of the two seams under which a faster path can be put."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

from livekit import rtc

from agentd import aio
from agentd.audio import INPUT_HZ, AudioFrame

FRAME_MS = 64
"""Two windows of the voice activity detector, so nothing is cut anew. With one, an agent answered 16 ms sooner on an
idle machine, and took a third more CPU: docs/decisions/frames-in.md."""

_CHANNEL_FRAMES = 32  # 2 s for the session to lag behind; then the oldest goes
_STREAM_FRAMES = 64  # 4 s: live sound waits here while the sound from before the connection is played
_CLOSE_TIMEOUT_S = 1.0

Earlier = Callable[[], Awaitable[list[AudioFrame]]]
Start = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]


class RtcAudioIn:
    """One stream of 16 kHz frames over however many tracks, one after another. While it is not `heard`, what comes is
    thrown away."""

    def __init__(self, *, heard: bool = True) -> None:
        self.heard = heard
        self._channel: aio.Channel[AudioFrame] = aio.Channel(_CHANNEL_FRAMES)
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped_frames(self) -> int:
        return self._channel.dropped

    def take(self, track: rtc.RemoteAudioTrack, start: Start, earlier: Earlier | None = None) -> None:
        """Listens to `track` from now on, and to no other. `earlier` gives what was said before it began."""
        self.drop()
        self._task = start(self._read(track, earlier))

    def drop(self) -> None:
        """Listens to nothing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        self.drop()
        self._channel.close()

    async def frames(self) -> AsyncIterator[AudioFrame]:
        async for frame in self._channel:
            yield frame

    async def _read(self, track: rtc.RemoteAudioTrack, earlier: Earlier | None) -> None:
        stream = rtc.AudioStream(
            track, capacity=_STREAM_FRAMES, sample_rate=INPUT_HZ, num_channels=1, frame_size_ms=FRAME_MS
        )
        try:
            if earlier is not None:
                for frame in await earlier():
                    if self.heard:
                        await self._channel.send(frame)
            async for event in stream:
                if self.heard:
                    self._channel.force(AudioFrame(bytes(event.frame.data), INPUT_HZ))
        except aio.Closed:
            return
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await stream.aclose()
