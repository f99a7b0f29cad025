"""Deepgram's synthesis against a server that speaks its wire format; the sound it makes can be read back as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agentd_deepgram.config import DeepgramTTSSettings
from agentd_deepgram.tts import DeepgramTTS, create_tts

from agentd.errors import ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.tts import SpeechChunk
from tests.fakes.deepgram_server import KEY, DeepgramServer, Fault, deepgram_server, refusal, text_of


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with deepgram_server() as running:
        yield running


async def made(server: DeepgramServer, **changes: object) -> DeepgramTTS:
    plain = DeepgramTTSSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return await create_tts(replace(plain, **changes))  # type: ignore[arg-type]


async def each(*texts: str, pause_s: float = 0) -> AsyncIterator[str]:
    for text in texts:
        yield text
        await asyncio.sleep(pause_s)


async def speak(server: DeepgramServer, *texts: str, **changes: object) -> list[SpeechChunk]:
    tts = await made(server, **changes)
    return [chunk async for chunk in tts.synthesize(each(*texts), language="en")]


def heard(chunks: list[SpeechChunk], segment: int) -> str:
    return text_of(b"".join(chunk.frame.data for chunk in chunks if chunk.segment == segment))


async def test_each_segment_is_flushed_and_its_sound_arrives_whole(server: DeepgramServer) -> None:
    chunks = await speak(server, "How can I help?", "Take your time.")
    assert heard(chunks, 0) == "How can I help?"
    assert heard(chunks, 1) == "Take your time."
    assert [chunk.segment for chunk in chunks if chunk.last] == [0, 1]
    assert [chunk.segment for chunk in chunks] == sorted(chunk.segment for chunk in chunks)
    assert all(len(chunk.frame.data) % 2 == 0 for chunk in chunks)
    assert {chunk.frame.sample_rate_hz for chunk in chunks} == {24_000}
    connection = server.connections[0]
    assert connection.query == {"model": ["aura-2-thalia-en"], "encoding": ["linear16"], "sample_rate": ["24000"]}
    await asyncio.wait_for(connection.ended.wait(), 2)
    assert connection.messages == [
        {"type": "Speak", "text": "How can I help?"},
        {"type": "Flush"},
        {"type": "Speak", "text": "Take your time."},
        {"type": "Flush"},
        {"type": "Close"},
    ]


async def test_sound_is_passed_on_before_the_segment_is_complete(server: DeepgramServer) -> None:
    server.sound_gap_s = 0.05
    chunks = (await made(server)).synthesize(each("A long sentence of many words."), language=None)
    began = asyncio.get_running_loop().time()
    await anext(chunks)
    assert asyncio.get_running_loop().time() - began < 0.3
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_closing_the_generator_clears_and_closes_without_waiting(server: DeepgramServer) -> None:
    server.sound_gap_s = 0.05
    chunks = (await made(server)).synthesize(each("A long sentence of many words."), language=None)
    await anext(chunks)
    began = asyncio.get_running_loop().time()
    await chunks.aclose()  # type: ignore[attr-defined]
    assert asyncio.get_running_loop().time() - began < 0.05
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)
    assert server.connections[0].kinds == ["Speak", "Flush", "Clear", "Close"]


async def test_the_connection_is_opened_before_there_is_a_segment(server: DeepgramServer) -> None:
    ready = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        await ready.wait()
        yield "Now."

    chunks = (await made(server)).synthesize(slow(), language=None)
    first = asyncio.ensure_future(anext(chunks))
    async with asyncio.timeout(2):
        while not server.connections:
            await asyncio.sleep(0.01)
    ready.set()
    assert (await first).segment == 0
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_a_reply_without_segments_leaves_no_connection(server: DeepgramServer) -> None:
    assert await speak(server) == []
    for connection in server.connections:
        await asyncio.wait_for(connection.ended.wait(), 2)


async def test_a_blank_segment_ends_at_once(server: DeepgramServer) -> None:
    chunks = await speak(server, " ", "Two.")
    assert (chunks[0].segment, chunks[0].last, chunks[0].frame.data) == (0, True, b"")
    assert heard(chunks, 1) == "Two."


async def test_a_connection_lost_in_mid_segment_is_unavailability(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.2, kind="cut"))
    chunks: list[SpeechChunk] = []

    async def listen() -> None:
        async for chunk in (await made(server)).synthesize(each("A long sentence of many words."), language=None):
            chunks.append(chunk)

    with pytest.raises(ProviderUnavailable, match="lost"):
        await listen()
    assert "A long sentence".startswith(heard(chunks, 0)[:5])
    assert not any(chunk.last for chunk in chunks)


async def test_a_connection_closed_in_a_pause_of_the_reply_is_replaced(server: DeepgramServer) -> None:
    tts = await made(server)
    first_done, goon = asyncio.Event(), asyncio.Event()

    async def paused() -> AsyncIterator[str]:
        yield "One."
        first_done.set()
        await goon.wait()
        yield "Two."

    async def listen() -> list[SpeechChunk]:
        return [chunk async for chunk in tts.synthesize(paused(), language=None)]

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        await first_done.wait()
        await server.hang_up()
        goon.set()
    assert heard(listening.result(), 1) == "Two."
    assert len(server.connections) == 2


async def test_silence_of_the_service_is_a_timeout_and_sound_that_stops_too(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.0, kind="deaf"))
    with pytest.raises(ProviderTimeout, match=r"no sound for 0\.2 s"):
        await speak(server, "One.", first_audio_timeout=Duration(0.2))
    server.faults.append(Fault(after_s=0.05, kind="deaf"))
    with pytest.raises(ProviderTimeout, match=r"the sound stalled for 0\.2 s"):
        await speak(server, "A long sentence.", stall_timeout=Duration(0.2))


async def test_an_answer_without_sound_is_a_fault(server: DeepgramServer) -> None:
    server.silent_speech = True
    with pytest.raises(ProviderUnavailable, match="no sound"):
        await speak(server, "One.")


async def test_refusals_carry_deepgrams_words(server: DeepgramServer) -> None:
    with pytest.raises(ProviderRefused, match="No such model found"):
        await speak(server, "One.", model="aura-9")
    with pytest.raises(ProviderRefused, match="Invalid credentials"):
        await speak(server, "One.", api_key=Secret("literal", "wrong"))
    server.refusals.append(refusal(429, "TOO_MANY_REQUESTS", "Too many requests.", **{"retry-after": "2"}))
    with pytest.raises(ProviderUnavailable) as caught:
        await speak(server, "One.")
    assert caught.value.retry_after_s == 2.0


async def test_twenty_replies_at_once_do_not_mix(server: DeepgramServer) -> None:
    server.sound_gap_s = 0.01
    tts = await made(server)

    async def reply(number: int) -> str:
        return heard([chunk async for chunk in tts.synthesize(each(f"Number {number:c}."), language=None)], 0)

    codes = range(ord("A"), ord("A") + 20)
    assert await asyncio.gather(*map(reply, codes)) == [f"Number {code:c}." for code in codes]
