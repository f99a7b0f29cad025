"""What the caller said before the agent was there: one byte stream, played ahead of live sound (item 12)."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from livekit import rtc

from agentd import aio
from agentd.audio import INPUT_HZ, AudioFrame, Rechunker, resample
from agentd.transport.audio_in import FRAME_MS

TOPIC = "lk.agent.pre-connect-audio-buffer"
WAIT_S = 3.0
STALE_S = 1.0
LARGEST_BYTES = 4 * 1024 * 1024  # 40 s of 48 kHz PCM
_BUFFERS_KEPT = 8  # as many people as are heard

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    data: bytes
    mime_type: str
    attributes: Mapping[str, str]
    at: float


class PreconnectBuffers:
    """Buffers by track, each used once. `accept` is the SDK's handler and must be registered before connecting."""

    def __init__(self) -> None:
        self._received: OrderedDict[str, asyncio.Future[_Received]] = OrderedDict()

    async def read(self, reader: rtc.ByteStreamReader) -> None:
        """Takes one stream in. Too much, or a broken one, is dropped."""
        attributes = dict(reader.info.attributes or {})
        data = bytearray()
        try:
            async for chunk in reader:
                data += chunk
                if len(data) > LARGEST_BYTES:
                    log.warning("early sound dropped: too long", extra={"bytes": len(data)})
                    reader.close()
                    return
        except rtc.StreamError as error:
            log.info("early sound dropped: its stream broke", extra={"reason": str(error)})
            return
        future = self._of(attributes.get("trackId", ""))
        if not future.done():
            future.set_result(
                _Received(data=bytes(data), mime_type=reader.info.mime_type, attributes=attributes, at=aio.now())
            )

    async def frames(self, track_sid: str) -> list[AudioFrame]:
        """The buffer of this track as 16 kHz frames; empty when none comes within 3 s, or it is over 1 s old."""
        try:
            async with asyncio.timeout(WAIT_S):
                received = await asyncio.shield(self._of(track_sid))
        except TimeoutError:
            log.info("early sound was announced and did not come", extra={"track": track_sid})
            return []
        finally:
            self._received.pop(track_sid, None)
        if aio.now() - received.at > STALE_S:
            log.info("early sound dropped: stale", extra={"track": track_sid})
            return []
        sound = await asyncio.to_thread(decode, received.data, received.mime_type, received.attributes)
        return [] if sound is None else _cut(sound)

    def _of(self, track_sid: str) -> asyncio.Future[_Received]:
        future = self._received.get(track_sid)
        if future is None:
            future = self._received[track_sid] = asyncio.get_running_loop().create_future()
            while len(self._received) > _BUFFERS_KEPT:
                self._received.popitem(last=False)
        return future


def decode(data: bytes, mime_type: str, attributes: Mapping[str, str]) -> AudioFrame | None:
    """A buffer as 16 kHz mono sound; None when it cannot be read.

    Opus (in WebM or Ogg, what browsers record) needs PyAV, which comes with the `local` extra.
    """
    if any(word in mime_type for word in ("opus", "webm", "ogg")):
        return _decode_opus(data)
    try:
        hz, channels = int(attributes.get("sampleRate", 48_000)), int(attributes.get("channels", 1))
        if hz <= 0 or channels <= 0:
            raise ValueError(f"{hz} Hz, {channels} channels")
    except ValueError as error:
        log.info("early sound dropped: bad attributes", extra={"reason": str(error)})
        return None
    return resample(AudioFrame(_mono(data, channels), hz), INPUT_HZ)


def _mono(data: bytes, channels: int) -> bytes:
    import numpy as np

    whole = data[: len(data) - len(data) % (2 * channels)]
    if channels == 1:
        return whole
    mixed: bytes = np.frombuffer(whole, "<i2").reshape(-1, channels).mean(axis=1).astype("<i2").tobytes()
    return mixed


def _decode_opus(data: bytes) -> AudioFrame | None:
    try:
        import av
    except ImportError:
        log.warning("early sound dropped: reading Opus needs PyAV (pip install av)")
        return None
    try:
        with av.open(io.BytesIO(data), "r") as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_HZ)
            parts = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            parts += resampler.resample(None)
    except (av.error.FFmpegError, IndexError) as error:
        log.info("early sound dropped: no readable Opus", extra={"reason": str(error)})
        return None
    return AudioFrame(b"".join(bytes(part.planes[0])[: 2 * part.samples] for part in parts), INPUT_HZ)


def _cut(sound: AudioFrame) -> list[AudioFrame]:
    chunker = Rechunker(INPUT_HZ * FRAME_MS // 1000, INPUT_HZ)
    return chunker.push(sound)
