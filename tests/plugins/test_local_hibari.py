"""hibari: what it says can be understood, and it never fetches anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from agentd_local import hibari_tts, whisper
from agentd_local.config import HibariSettings, WhisperSettings

from agentd.audio import AudioFrame, concat, level_dbfs, resample
from agentd.errors import ProviderRefused
from agentd.providers.tts import SpeechChunk
from tests.speech import word_error_rate

pytest.importorskip("hibari")


@pytest.fixture(scope="module")
def tts() -> hibari_tts.HibariTTS:
    return hibari_tts.load(HibariSettings())


@pytest.fixture(scope="module")
def stt() -> whisper.WhisperSTT:
    pytest.importorskip("ctranslate2")
    return whisper.load(WhisperSettings())


async def segments(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def chunks(tts: hibari_tts.HibariTTS, *texts: str) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.synthesize(segments(*texts), language="en-GB")]


async def sound(tts: hibari_tts.HibariTTS, *texts: str) -> AudioFrame:
    return concat([chunk.frame for chunk in await chunks(tts, *texts)], tts.sample_rate_hz)


@pytest.mark.parametrize(
    "text",
    [
        "Your table is booked for Friday evening.",
        "Sorry, I did not get that. For how many people?",
        "We are open from noon to ten, every day but Monday.",
    ],
)
async def test_what_it_says_is_understood(tts: hibari_tts.HibariTTS, stt: whisper.WhisperSTT, text: str) -> None:
    heard = await stt.recognize(resample(await sound(tts, text), 16_000), language="en")
    assert word_error_rate(text, heard.text) <= 0.12


async def test_segments_come_in_order_each_with_one_last_chunk(tts: hibari_tts.HibariTTS) -> None:
    found = await chunks(tts, "One sentence. And another.", "", "The end.")
    assert [(chunk.segment, chunk.last) for chunk in found] == [
        (0, False), (0, False), (0, True), (1, True), (2, False), (2, True),
    ]  # fmt: skip
    assert all(chunk.frame.sample_rate_hz == 24_000 and not chunk.words for chunk in found)
    assert all(level_dbfs(chunk.frame) > -40 for chunk in found if not chunk.last)
    assert not tts.aligned


async def test_it_speaks_at_once_and_does_not_halt_between_segments(tts: hibari_tts.HibariTTS) -> None:
    for chunk in await chunks(tts, "Is there a car park,", "near the house? Please tell me."):
        if chunk.frame.data:
            loud = np.flatnonzero(np.abs(chunk.frame.array()) > 500) / 24_000
            assert loud[0] < 0.1
            assert chunk.frame.duration_s - loud[-1] < 0.3


def test_silence_alone_stays_short_silence() -> None:
    assert len(hibari_tts.without_silence(np.zeros(24_000, np.float32))) == 4_800
    assert len(hibari_tts.without_silence(np.zeros(0, np.float32))) == 0


async def test_the_first_segment_sounds_before_the_second_is_written(tts: hibari_tts.HibariTTS) -> None:
    written = asyncio.Event()

    async def slow_writer() -> AsyncIterator[str]:
        yield "The first."
        await written.wait()
        yield "The second."

    async with aclosing(tts.synthesize(slow_writer(), language=None)) as reply:  # type: ignore[type-var]
        first = await anext(reply)
        assert first.frame.data
        written.set()
        assert [chunk.segment async for chunk in reply if chunk.last] == [0, 1]


async def test_equal_settings_give_equal_sound_and_speed_shortens_it(tts: hibari_tts.HibariTTS) -> None:
    text = "Good morning to everybody."
    normal = await sound(tts, text)
    assert (await sound(tts, text)).data == normal.data
    other = await hibari_tts.create_tts(HibariSettings(seed=7, speed=1.5))
    quick = await sound(other, text)
    assert 0.5 < quick.duration_s / normal.duration_s < 0.85
    await other.aclose()


async def test_ten_replies_at_once_sound_as_they_do_alone(tts: hibari_tts.HibariTTS) -> None:
    texts = [f"This is caller number {number}." for number in range(10)]
    alone = [(await sound(tts, text)).data for text in texts]
    together = await asyncio.gather(*(sound(tts, text) for text in texts))
    assert [frame.data for frame in together] == alone


@pytest.mark.parametrize("voice", ["nobody", "emma"])
async def test_a_voice_that_is_not_here_is_refused_and_nothing_is_fetched(
    voice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("hibari tried to reach the network")

    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(ProviderRefused, match=f'voice "{voice}"'):
        await hibari_tts.create_tts(HibariSettings(voice=voice))
    assert list(tmp_path.iterdir()) == []


async def test_another_language_is_refused(tts: hibari_tts.HibariTTS) -> None:
    with pytest.raises(ProviderRefused, match="English only"):
        _ = [chunk async for chunk in tts.synthesize(segments("Guten Tag."), language="de-DE")]
