"""ElevenLabs' synthesis against a server that speaks its wire format; the sound it makes can be read back as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from agentd_elevenlabs.alignment import Words
from agentd_elevenlabs.config import ElevenLabsTTSSettings
from agentd_elevenlabs.tts import ElevenLabsTTS, create_tts

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.tts import SpeechChunk, TimedWord
from tests.fakes.deepgram_server import text_of
from tests.fakes.elevenlabs_server import ANNA, KEY, RACHEL, ElevenLabsServer, Fault, elevenlabs_server, refusal


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with elevenlabs_server() as running:
        yield running


async def made(server: ElevenLabsServer, **changes: object) -> ElevenLabsTTS:
    plain = ElevenLabsTTSSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return await create_tts(replace(plain, **changes))  # type: ignore[arg-type]


async def each(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def speak(server: ElevenLabsServer, *texts: str, language: str = "en-GB", **changes: object) -> list[SpeechChunk]:
    tts = await made(server, **changes)
    return [chunk async for chunk in tts.synthesize(each(*texts), language=language)]


def heard(chunks: list[SpeechChunk], segment: int) -> str:
    return text_of(b"".join(chunk.frame.data for chunk in chunks if chunk.segment == segment))


def words(chunks: list[SpeechChunk], segment: int) -> list[TimedWord]:
    return [word for chunk in chunks if chunk.segment == segment for word in chunk.words]


async def test_each_segment_is_a_context_and_its_sound_arrives_whole(server: ElevenLabsServer) -> None:
    chunks = await speak(server, "How can I help?", "Take your time.")
    assert heard(chunks, 0) == "How can I help?"
    assert heard(chunks, 1) == "Take your time."
    assert [chunk.segment for chunk in chunks if chunk.last] == [0, 1]
    assert {chunk.frame.sample_rate_hz for chunk in chunks} == {24_000}
    connection = server.connections[0]
    assert connection.path == f"/v1/text-to-speech/{RACHEL}/multi-stream-input"
    assert connection.headers["xi-api-key"] == KEY
    assert {name: values[0] for name, values in connection.query.items()} == {
        "model_id": "eleven_flash_v2_5",
        "output_format": "pcm_24000",
        "inactivity_timeout": "180",
        "sync_alignment": "true",
        "auto_mode": "true",
        "apply_text_normalization": "auto",
        "language_code": "en",
    }
    await asyncio.wait_for(connection.ended.wait(), 2)
    assert connection.messages == [
        {"text": " ", "context_id": "segment-0"},
        {"text": "How can I help? ", "context_id": "segment-0", "flush": True},
        {"context_id": "segment-0", "close_context": True},
        {"text": " ", "context_id": "segment-1"},
        {"text": "Take your time. ", "context_id": "segment-1", "flush": True},
        {"context_id": "segment-1", "close_context": True},
        {"close_socket": True},
    ]


async def test_only_the_voice_settings_that_are_given_are_sent(server: ElevenLabsServer) -> None:
    await speak(server, "One.", speed=1.1, stability=0.0)
    assert server.connections[0].messages[0]["voice_settings"] == {"speed": 1.1, "stability": 0.0}


async def test_a_model_of_one_language_is_not_told_which(server: ElevenLabsServer) -> None:
    await speak(server, "One.", model="eleven_multilingual_v2")
    assert "language_code" not in server.connections[0].query


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize("letters", [1, 3, 7, 100])
async def test_words_are_timed_whatever_the_messages_cut(
    server: ElevenLabsServer, letters: int, relative: bool
) -> None:
    server.letters_a_message, server.relative_times = letters, relative
    timed = words(await speak(server, "How can I help, John?"), 0)
    assert [word.text for word in timed] == ["How ", "can ", "I ", "help, ", "John?"]
    assert [round(word.start_s, 2) for word in timed] == [0.0, 0.08, 0.16, 0.2, 0.32]
    assert [round(word.end_s, 2) for word in timed] == [0.08, 0.16, 0.2, 0.32, 0.42]


async def test_the_times_of_a_later_segment_begin_at_zero_again(server: ElevenLabsServer) -> None:
    first = words(await speak(server, "One two.", "Six ten."), 1)[0]
    assert (first.text, first.start_s, round(first.end_s, 2)) == ("Six ", 0.0, 0.08)


async def test_samples_cut_in_two_are_put_together(server: ElevenLabsServer) -> None:
    server.odd_bytes = True
    chunks = await speak(server, "How can I help, John?")
    assert heard(chunks, 0) == "How can I help, John?"
    assert all(len(chunk.frame.data) % 2 == 0 for chunk in chunks)


def test_an_alignment_without_times_gives_no_words() -> None:
    assert Words().push({}, 0.0) == []
    assert Words().push({"chars": ["a"], "charStartTimesMs": None, "charDurationsMs": None}, 0.0) == []
    assert Words().flush() == []


async def test_a_voice_of_the_account_is_found_by_its_name(server: ElevenLabsServer) -> None:
    await speak(server, "One.", voice="anna")
    assert f"/{ANNA}/" in server.connections[0].path
    assert server.lookups[0]["search"] == "anna"


async def test_ids_and_known_names_need_no_look_up(server: ElevenLabsServer) -> None:
    await made(server, voice=ANNA)
    await made(server, voice="RACHEL")
    assert server.lookups == []


async def test_an_unknown_voice_is_refused_with_what_to_do(server: ElevenLabsServer) -> None:
    with pytest.raises(ProviderRefused, match='the account has no voice "Nobody": give its id'):
        await made(server, voice="Nobody")
    with pytest.raises(ProviderRefused, match="Invalid API key") as caught:
        await made(server, voice="Anna", api_key=Secret("literal", "wrong-key-42"))
    assert "wrong-key-42" not in str(caught.value)


async def test_a_look_up_that_fails_is_not_retried_by_the_sdk(server: ElevenLabsServer) -> None:
    server.refusals.append(refusal(503, "system_busy", "Busy.", **{"retry-after": "0"}))
    with pytest.raises(ProviderUnavailable, match="HTTP 503: Busy") as caught:
        await made(server, voice="Anna")
    assert caught.value.retry_after_s == 0.0
    assert server.lookups == []


async def test_closing_the_generator_closes_the_connection_without_waiting(server: ElevenLabsServer) -> None:
    server.sound_gap_s = 0.05
    chunks = (await made(server)).synthesize(each("A long sentence of many words."), language=None)
    await anext(chunks)
    began = asyncio.get_running_loop().time()
    await chunks.aclose()  # type: ignore[attr-defined]
    assert asyncio.get_running_loop().time() - began < 0.05
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)
    assert server.connections[0].messages[-1] == {"close_socket": True}


async def test_a_reply_without_segments_and_a_blank_segment_ask_for_nothing(server: ElevenLabsServer) -> None:
    assert await speak(server) == []
    chunks = await speak(server, " ")
    assert [(chunk.segment, chunk.last) for chunk in chunks] == [(0, True)]
    for connection in server.connections:
        await asyncio.wait_for(connection.ended.wait(), 2)
        assert connection.messages in ([], [{"close_socket": True}])


async def test_a_connection_closed_in_a_pause_of_the_reply_is_replaced(server: ElevenLabsServer) -> None:
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


FAULTS = [
    (Fault(after_s=0.2, kind="cut"), ProviderUnavailable, "lost"),
    (Fault(after_s=0.2, kind="close", code=1011, reason="internal"), ProviderUnavailable, "1011 internal"),
    (Fault(after_s=0.0, kind="close", code=1008, reason="quota_exceeded"), ProviderRefused, "1008 quota_exceeded"),
    (Fault(after_s=0.0, kind="deaf"), ProviderTimeout, "no sound for 0.2 s"),
    (Fault(after_s=0.2, kind="deaf"), ProviderTimeout, "the sound stalled for 0.2 s"),
]


@pytest.mark.parametrize(
    ("fault", "error", "message"), FAULTS, ids=[f"{f.kind}-{f.code}-{f.after_s}" for f, _, _ in FAULTS]
)
async def test_connections_that_fail_map_to_the_error_tree(
    server: ElevenLabsServer, fault: Fault, error: type[ProviderError], message: str
) -> None:
    server.faults.append(fault)
    with pytest.raises(error, match=message) as caught:
        await speak(
            server, "A long sentence of many words.", first_audio_timeout=Duration(0.2), stall_timeout=Duration(0.2)
        )
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ProviderRefused), (403, ProviderRefused), (429, ProviderUnavailable), (500, ProviderUnavailable)],
)
async def test_refused_handshakes_map_to_the_error_tree(
    server: ElevenLabsServer, status: int, error: type[ProviderError]
) -> None:
    server.refusals.append(refusal(status, "code", "In ElevenLabs' words.", **{"retry-after": "3"}))
    with pytest.raises(error, match="In ElevenLabs' words") as caught:
        await speak(server, "One.")
    assert caught.value.retry_after_s == (3.0 if status == 429 or status == 500 else None)


async def test_what_elevenlabs_does_not_take_is_refused_in_its_words(server: ElevenLabsServer) -> None:
    with pytest.raises(ProviderRefused, match="model_not_found: A model with model ID eleven_v9"):
        await speak(server, "One.", model="eleven_v9")
    with pytest.raises(ProviderRefused, match="voice_not_found"):
        await speak(server, "One.", voice="NobodyNobodyNobody12")


async def test_an_answer_without_sound_is_a_fault(server: ElevenLabsServer) -> None:
    server.silent_speech = True
    with pytest.raises(ProviderUnavailable, match="no sound"):
        await speak(server, "One.")


async def test_twenty_replies_at_once_do_not_mix(server: ElevenLabsServer) -> None:
    server.sound_gap_s = 0.01
    tts = await made(server)

    async def reply(code: int) -> str:
        return heard([chunk async for chunk in tts.synthesize(each(f"Number {code:c}."), language=None)], 0)

    codes = range(ord("A"), ord("A") + 20)
    assert await asyncio.gather(*map(reply, codes)) == [f"Number {code:c}." for code in codes]
