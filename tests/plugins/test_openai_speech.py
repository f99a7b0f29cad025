"""OpenAI's recognition and synthesis against a server that speaks their wire format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agentd_openai.config import OpenAISTTSettings, OpenAITTSSettings
from agentd_openai.stt import create_stt
from agentd_openai.tts import create_tts

from agentd.audio import silence
from agentd.errors import ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.stt import Transcript
from agentd.providers.tts import SpeechChunk
from tests.fakes.openai_server import KEY, OpenAIServer, Refusal, openai_server

SPOKEN = silence(1.5, 16_000)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with openai_server() as running:
        yield running


async def recognize(server: OpenAIServer, language: str | None = "en-GB", **changes: object) -> Transcript:
    plain = OpenAISTTSettings(api_key=Secret("literal", KEY), base_url=server.url)
    stt = await create_stt(replace(plain, **changes))  # type: ignore[arg-type]
    try:
        return await stt.recognize(SPOKEN, language=language)
    finally:
        await stt.aclose()


def tts_settings(server: OpenAIServer, **changes: object) -> OpenAITTSSettings:
    plain = OpenAITTSSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return replace(plain, **changes)  # type: ignore[arg-type]


async def each(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def speak(server: OpenAIServer, *texts: str, **changes: object) -> list[SpeechChunk]:
    tts = await create_tts(tts_settings(server, **changes))
    try:
        return [chunk async for chunk in tts.synthesize(each(*texts), language="en")]
    finally:
        await tts.aclose()


async def test_an_utterance_is_uploaded_as_wav_and_its_text_returned(server: OpenAIServer) -> None:
    assert await recognize(server, prompt="Ozempic") == Transcript(text="hello there", language="en-GB")
    assert server.bodies == [
        {
            "model": "gpt-4o-mini-transcribe",
            "language": "en",
            "prompt": "Ozempic",
            "response_format": "json",
            "wav": [1, 2, 16_000, 24_000],
        }
    ]


async def test_without_a_language_none_is_sent(server: OpenAIServer) -> None:
    assert (await recognize(server, language=None)).language is None
    assert "language" not in server.bodies[0]


async def test_sound_too_short_for_the_service_is_silence_without_a_request(server: OpenAIServer) -> None:
    stt = await create_stt(OpenAISTTSettings(api_key=Secret("literal", KEY), base_url=server.url))
    assert await stt.recognize(silence(0.05, 16_000), language="en") == Transcript(text="")
    assert server.requests == []
    await stt.aclose()


async def test_recognition_has_a_deadline(server: OpenAIServer) -> None:
    server.sound_gap_s = 1.0
    with pytest.raises(ProviderTimeout, match=r"no transcript within 0\.1 s"):
        await recognize(server, timeout=Duration(0.1))


async def test_recognition_errors_are_mapped(server: OpenAIServer) -> None:
    server.failures.append(Refusal(429, "slow down", headers={"retry-after": "3"}))
    with pytest.raises(ProviderUnavailable) as caught:
        await recognize(server)
    assert caught.value.retry_after_s == 3.0


async def test_streams_are_refused(server: OpenAIServer) -> None:
    stt = await create_stt(OpenAISTTSettings(api_key=Secret("literal", KEY), base_url=server.url))
    assert not stt.capabilities.streaming
    with pytest.raises(ProviderRefused):
        await stt.stream(language="en")
    await stt.aclose()


async def test_each_segment_is_one_request_and_its_sound_arrives_whole(server: OpenAIServer) -> None:
    chunks = await speak(server, "One.", "Two.", voice="nova", speed=1.2, instructions="Warmly.")
    for number in (0, 1):
        sound = b"".join(chunk.frame.data for chunk in chunks if chunk.segment == number)
        assert sound == server.sound
    assert [chunk.segment for chunk in chunks if chunk.last] == [0, 1]
    assert {chunk.frame.sample_rate_hz for chunk in chunks} == {24_000}
    assert all(len(chunk.frame.data) % 2 == 0 for chunk in chunks)
    assert server.bodies[0] == {
        "model": "gpt-4o-mini-tts",
        "voice": "nova",
        "input": "One.",
        "response_format": "pcm",
        "speed": 1.2,
        "instructions": "Warmly.",
    }
    assert len(server.connections) == 1


async def test_a_blank_segment_ends_at_once_without_a_request(server: OpenAIServer) -> None:
    chunks = await speak(server, " ", "Two.")
    assert (chunks[0].segment, chunks[0].last, chunks[0].frame.data) == (0, True, b"")
    assert [body["input"] for body in server.bodies] == ["Two."]


async def test_sound_is_passed_on_before_the_segment_is_complete(server: OpenAIServer) -> None:
    server.sound_gap_s = 0.05  # 26 pieces: 1.3 s in all
    tts = await create_tts(tts_settings(server))
    began = asyncio.get_running_loop().time()
    chunks = tts.synthesize(each("One."), language=None)
    await anext(chunks)
    assert asyncio.get_running_loop().time() - began < 0.6
    await chunks.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(server.aborted.wait(), 2)  # closing the generator closed the connection
    await tts.aclose()


async def test_no_sound_in_time_and_stalled_sound_are_timeouts(server: OpenAIServer) -> None:
    server.sound_gap_s = 0.5
    with pytest.raises(ProviderTimeout, match="stalled"):
        await speak(server, "One.", stall_timeout=Duration(0.1))
    with pytest.raises(ProviderTimeout, match="no sound in time"):
        await speak(server, "One.", first_audio_timeout=Duration(0.1))


async def test_an_answer_without_sound_is_a_fault(server: OpenAIServer) -> None:
    server.sound = b""
    with pytest.raises(ProviderUnavailable, match="no sound"):
        await speak(server, "One.")


async def test_an_unknown_voice_is_refused(server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="Invalid value: 'rachel'"):
        await speak(server, "One.", voice="rachel")


async def test_twenty_replies_at_once_share_one_client(server: OpenAIServer) -> None:
    server.sound_gap_s = 0.02
    tts = await create_tts(tts_settings(server))

    async def reply() -> int:
        return sum([chunk.frame.samples async for chunk in tts.synthesize(each("One."), language=None)])

    assert await asyncio.gather(*(reply() for _ in range(20))) == [len(server.sound) // 2] * 20
    assert server.most_streams == 20
    await tts.aclose()
