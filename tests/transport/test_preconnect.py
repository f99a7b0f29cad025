from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from livekit import rtc

from agentd.audio import INPUT_HZ
from agentd.transport import preconnect
from agentd.transport.preconnect import PreconnectBuffers, decode
from tests.fakes.clock import run_virtual


def sine(hz: float, seconds: float, sample_hz: int) -> np.ndarray:
    return (np.sin(2 * np.pi * hz * np.arange(round(seconds * sample_hz)) / sample_hz) * 12_000).astype("<i2")


def loudest_hz(data: bytes) -> float:
    samples = np.frombuffer(data, "<i2")
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * INPUT_HZ / len(samples))


class FakeReader:
    def __init__(self, data: bytes, attributes: dict[str, str], mime_type: str = "audio/pcm") -> None:
        self.info = SimpleNamespace(attributes=attributes, mime_type=mime_type)
        self._data, self.closed = data, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), 15_000):
            yield self._data[at : at + 15_000]

    def close(self) -> None:
        self.closed = True


def reader(data: bytes, **kw: str) -> rtc.ByteStreamReader:
    attributes = {"trackId": "TR_1", "sampleRate": "48000", "channels": "1"}
    return cast(rtc.ByteStreamReader, FakeReader(data, attributes, **kw))


def test_pcm_of_any_rate_and_any_number_of_channels_becomes_16_khz_mono() -> None:
    left = sine(500, 1.0, 44_100)
    stereo = np.stack([left, left], axis=1).tobytes()
    sound = decode(stereo, "audio/pcm", {"sampleRate": "44100", "channels": "2"})
    assert sound is not None
    assert sound.duration_s == pytest.approx(1.0, abs=0.01)
    assert loudest_hz(sound.data) == pytest.approx(500, abs=5)


@pytest.mark.parametrize("container", ["webm", "ogg"])
def test_opus_as_browsers_record_it_is_read(container: str) -> None:
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(700, 1.0, 48_000)[None, :], format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    sound = decode(file.getvalue(), f"audio/{container};codecs=opus", {})
    assert sound is not None
    assert sound.duration_s == pytest.approx(1.0, abs=0.1)
    assert loudest_hz(sound.data) == pytest.approx(700, abs=10)


@pytest.mark.parametrize(
    ("mime_type", "attributes"),
    [
        ("audio/opus", {}),
        ("audio/pcm", {"sampleRate": "fast"}),
        ("audio/pcm", {"sampleRate": "0"}),
        ("audio/pcm", {"channels": "-1"}),
    ],
)
def test_garbage_is_dropped(mime_type: str, attributes: dict[str, str]) -> None:
    assert decode(b"\x00garbage", mime_type, attributes) is None


def test_a_buffer_is_played_once_in_frames_of_64_ms() -> None:
    async def story() -> tuple[int, int]:
        buffers = PreconnectBuffers()
        await buffers.read(reader(sine(500, 0.64, 48_000).tobytes()))
        first = await buffers.frames("TR_1")
        assert {frame.samples for frame in first} == {1024}
        return len(first), len(await buffers.frames("TR_1"))

    assert asyncio.run(asyncio.wait_for(story_with_short_wait(story), 5)) == (10, 0)


async def story_with_short_wait(story) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preconnect, "WAIT_S", 0.1)
        result: tuple[int, int] = await story()
        return result


def test_a_buffer_that_never_comes_is_waited_for_three_seconds() -> None:
    async def story() -> float:
        assert await PreconnectBuffers().frames("TR_1") == []
        return asyncio.get_running_loop().time()

    assert run_virtual(story()) == pytest.approx(3.0, abs=0.01)


def test_a_stale_buffer_is_dropped() -> None:
    async def story() -> int:
        buffers = PreconnectBuffers()
        await buffers.read(reader(sine(500, 0.64, 48_000).tobytes()))
        await asyncio.sleep(1.5)
        return len(await buffers.frames("TR_1"))

    assert run_virtual(story()) == 0


def test_a_buffer_that_is_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconnect, "LARGEST_BYTES", 20_000)

    async def story() -> bool:
        buffers = PreconnectBuffers()
        subject = reader(bytes(60_000))
        await buffers.read(subject)
        assert await buffers.frames("TR_1") == []
        return cast(FakeReader, subject).closed

    assert run_virtual(story())


def test_only_a_few_buffers_are_kept() -> None:
    async def story() -> int:
        buffers = PreconnectBuffers()
        for number in range(100):
            await buffers.read(cast(rtc.ByteStreamReader, FakeReader(b"", {"trackId": f"TR_{number}"})))
        return len(buffers._received)

    assert run_virtual(story()) == 8
