"""Deepgram's recognition against a server that speaks its wire format and recognises a toy language."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from agentd_deepgram import stream as stream_module
from agentd_deepgram.config import DeepgramSTTSettings
from agentd_deepgram.stream import DeepgramStream
from agentd_deepgram.stt import create_stt

from agentd.audio import AudioFrame, silence
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.stt import SpeechEvent
from tests.fakes.deepgram_server import KEY, DeepgramServer, Fault, deepgram_server, refusal, spoken

ORDER = "I need a table for four please"


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with deepgram_server() as running:
        yield running


def settings(server: DeepgramServer, **changes: object) -> DeepgramSTTSettings:
    plain = DeepgramSTTSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return replace(plain, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def stream(server: DeepgramServer, language: str | None = "en", **changes: object) -> AsyncIterator[Heard]:
    stt = await create_stt(settings(server, **changes))
    opened = await stt.stream(language=language)
    heard = Heard(opened)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(heard.listen())
        yield heard
        await opened.aclose()
        await listening
    await stt.aclose()


class Heard:
    """A stream and what came out of it."""

    def __init__(self, opened: DeepgramStream) -> None:
        self.stream = opened
        self.events: list[SpeechEvent] = []
        self.error: ProviderError | None = None
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        try:
            async for event in self.stream:
                self.events.append(event)
                await self._tell()
        except ProviderError as error:
            self.error = error
            await self._tell()

    async def say(self, frames: Iterable[AudioFrame]) -> None:
        for frame in frames:
            await self.stream.push(frame)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(8), self._news:
            await self._news.wait_for(happened)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    @property
    def finals(self) -> list[str]:
        return [event.transcript.text for event in self.events if event.kind == "final"]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


async def eventually(server: DeepgramServer, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(8), server.arrived:
        await server.arrived.wait_for(happened)


async def test_words_come_as_interims_then_one_final_then_the_end_of_the_turn(server: DeepgramServer) -> None:
    async with stream(server) as heard:
        await heard.say(spoken(0.2, ORDER, 0.5))
        await heard.until(lambda: "end_of_turn" in heard.kinds)
    assert heard.finals == [ORDER]
    assert heard.kinds[-2:] == ["final", "end_of_turn"]
    interims = [event.transcript.text for event in heard.events if event.kind == "interim"]
    assert interims
    assert all(ORDER.startswith(text) for text in interims)
    final = heard.events[-2]
    assert final.transcript.language == "en"
    assert final.transcript.confidence == pytest.approx(0.9)
    assert final.audio_end_s == pytest.approx(0.2 + 7 * 0.31 + 0.29, abs=0.05)


async def test_final_pieces_are_joined_until_the_speaker_pauses(server: DeepgramServer) -> None:
    """Deepgram settles a piece every few seconds; the turn is all of them."""
    async with stream(server) as heard:
        await heard.say(spoken(ORDER, 0.1, ORDER, 0.5))
        await heard.until(lambda: "end_of_turn" in heard.kinds)
    assert heard.finals == [f"{ORDER} {ORDER}"]


async def test_the_connection_asks_for_exactly_this(server: DeepgramServer) -> None:
    async with stream(server, "en-GB", keyterms=("Ozempic", "Hill Street"), numerals=True):
        pass
    connection = server.connections[0]
    assert connection.query == {
        "model": ["nova-3"],
        "language": ["en-GB"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "endpointing": ["300"],
        "utterance_end_ms": ["1000"],
        "smart_format": ["true"],
        "punctuate": ["true"],
        "numerals": ["true"],
        "keyterm": ["Ozempic", "Hill Street"],
    }
    assert connection.headers["authorization"] == f"Token {KEY}"


async def test_what_would_be_refused_is_not_asked_for(server: DeepgramServer) -> None:
    async with stream(server, interim_results=False, endpointing=None):
        pass
    query = server.connections[0].query
    assert query["endpointing"] == ["false"]
    assert "utterance_end_ms" not in query  # it needs interim results


async def test_flush_finalises_at_once_and_is_no_end_of_turn(server: DeepgramServer) -> None:
    async with stream(server) as heard:
        await heard.say(spoken("hello there"))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    assert heard.finals[0] == "hello there"
    assert "end_of_turn" not in heard.kinds
    assert "Finalize" in server.connections[0].kinds


async def test_flush_after_silence_answers_that_nobody_spoke(server: DeepgramServer) -> None:
    async with stream(server) as heard:
        await heard.stream.push(silence(0.5, 16_000))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    assert heard.finals == [""]


async def test_utterance_end_ends_the_turn_where_noise_hides_the_silence(server: DeepgramServer) -> None:
    async with stream(server, endpointing=None) as heard:
        await heard.say(spoken("hello there", 1.2))
        await heard.until(lambda: "end_of_turn" in heard.kinds)
        await heard.say(spoken(1.5))
    assert heard.kinds.count("end_of_turn") == 1
    assert heard.finals == ["hello there"]


async def test_closing_says_goodbye_and_gives_the_last_words(server: DeepgramServer) -> None:
    async with stream(server) as heard:
        await heard.say(spoken("hello there"))
        await eventually(server, lambda: server.connections[0].sound_bytes >= 19_000)
    assert heard.error is None
    assert server.connections[0].kinds == ["CloseStream"]
    assert server.connections[0].close_code == 1000


async def test_keep_alive_is_sent_while_there_is_no_sound(
    server: DeepgramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_S", 0.1)
    server.idle_s = 0.3
    async with stream(server) as heard:
        await eventually(server, lambda: server.connections[0].kinds.count("KeepAlive") >= 5)
        await heard.say(spoken("hello", 0.5))
        await heard.until(lambda: bool(heard.finals))
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(after_s=1.0, kind="cut"),
        Fault(after_s=1.0, kind="close", code=1011, reason="NET-0000"),
        Fault(after_s=1.0, kind="close", code=1000),
    ],
    ids=["reset", "1011", "1000"],
)
async def test_a_lost_connection_is_replaced_and_no_word_is_lost_or_doubled(
    server: DeepgramServer, fault: Fault
) -> None:
    server.faults.append(fault)
    async with stream(server) as heard:
        await heard.say(spoken(0.5, ORDER, 0.5))
        await heard.until(lambda: "end_of_turn" in heard.kinds)
    assert heard.finals == [ORDER]
    assert len(server.connections) == 2
    assert next(e for e in heard.events if e.kind == "final").audio_end_s == pytest.approx(0.5 + 2.17 + 0.29, abs=0.05)


async def test_settled_words_are_kept_and_not_sent_again(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=2.5, kind="cut"))
    async with stream(server) as heard:
        await heard.say(spoken("hello there", 0.5, 1.2, "I need", 0.5))
        await heard.until(lambda: len(heard.finals) == 2)
    assert heard.finals == ["hello there", "I need"]
    whole = sum(connection.sound_bytes for connection in server.connections) / 32_000
    assert whole < 3.5 + 1.7  # the first utterance went out once


async def test_a_flush_without_an_answer_is_repeated_over_the_new_connection(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.6, kind="deaf"))
    async with stream(server, stall_timeout=Duration(0.3)) as heard:
        await heard.say(spoken("hello there"))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    assert heard.finals[0] == "hello there"


async def test_a_half_open_connection_is_found_in_time_and_replaced(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.5, kind="deaf"))
    async with stream(server, stall_timeout=Duration(0.3)) as heard:
        began = asyncio.get_running_loop().time()
        await heard.say(spoken(0.2, ORDER, 0.5))
        await heard.until(lambda: "end_of_turn" in heard.kinds)
        took_s = asyncio.get_running_loop().time() - began
    assert heard.finals == [ORDER]
    assert len(server.connections) == 2
    assert took_s < 2.0


async def test_when_no_connection_is_to_be_had_the_stream_fails_with_the_last_reason(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.1, kind="cut"))
    async with stream(server, reconnect_window=Duration(0.3)) as heard:
        server.refusals.extend(refusal(503, "BUSY", "Overloaded") for _ in range(50))
        await heard.say(spoken(0.5))
        await heard.until(lambda: heard.error is not None)
        await heard.say(spoken(0.5))  # does not block
    assert isinstance(heard.error, ProviderUnavailable)
    assert "no connection for 0.3 s" in str(heard.error)


async def test_a_server_that_takes_and_drops_every_connection_is_given_up_too(server: DeepgramServer) -> None:
    server.faults.extend(Fault(after_s=0.0, kind="cut") for _ in range(100))
    async with stream(server, reconnect_window=Duration(0.3)) as heard:
        await heard.until(lambda: heard.error is not None)
    assert isinstance(heard.error, ProviderUnavailable)


async def test_sound_that_cannot_be_decoded_is_refused_without_another_try(server: DeepgramServer) -> None:
    server.faults.append(Fault(after_s=0.1, kind="close", code=1008, reason="DATA-0000 cannot decode"))
    async with stream(server) as heard:
        await heard.say(spoken(0.5))
        await heard.until(lambda: heard.error is not None)
    assert isinstance(heard.error, ProviderRefused)
    assert "DATA-0000" in str(heard.error)
    assert len(server.connections) == 1


HANDSHAKES = [
    (refusal(401, "INVALID_AUTH", "Invalid credentials."), ProviderRefused, None),
    (refusal(402, "ASR_PAYMENT_REQUIRED", "Project does not have enough credits."), ProviderRefused, None),
    (refusal(403, "INSUFFICIENT_PERMISSIONS", "No access to this model."), ProviderRefused, None),
    (refusal(429, "TOO_MANY_REQUESTS", "Too many requests.", **{"retry-after": "5"}), ProviderUnavailable, 5.0),
    (refusal(500, "INTERNAL", "Internal server error."), ProviderUnavailable, None),
    (refusal(504, "TIMEOUT", "Gateway time-out."), ProviderTimeout, None),
]


@pytest.mark.parametrize(("status", "error", "retry_after_s"), [(a.status, e, r) for a, e, r in HANDSHAKES])
async def test_refused_handshakes_map_to_the_error_tree(
    server: DeepgramServer, status: int, error: type[ProviderError], retry_after_s: float | None
) -> None:
    server.refusals.append(
        refusal(status, "CODE", "In Deepgram's words.", **({"retry-after": "5"} if retry_after_s else {}))
    )
    stt = await create_stt(settings(server))
    with pytest.raises(error, match="In Deepgram's words") as caught:
        await stt.stream(language="en")
    assert type(caught.value) is error
    assert caught.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_key": Secret("literal", "wrong-key-42")}, "Invalid credentials"),
        ({"model": "nova-9"}, "No such model"),
        ({"model": "nova-2", "keyterms": ("x",)}, "Keyterm is only supported"),
        ({"language": "xx"}, "No such model/language"),
    ],
)
async def test_what_deepgram_does_not_take_is_refused(
    server: DeepgramServer, changes: dict[str, object], message: str
) -> None:
    stt = await create_stt(settings(server, **changes))
    with pytest.raises(ProviderRefused, match=message) as caught:
        await stt.stream(language="en")
    assert "wrong-key-42" not in str(caught.value)


async def test_no_server_is_unavailability_and_a_mute_one_a_timeout() -> None:
    async with deepgram_server() as gone:
        pass
    with pytest.raises(ProviderUnavailable, match="no connection"):
        await (await create_stt(settings(gone))).stream(language="en")
    left = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as mute:
        gone.url = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        with pytest.raises(ProviderTimeout, match=r"no connection within 0\.2 s"):
            await (await create_stt(settings(gone, open_timeout=Duration(0.2)))).stream(language="en")
        await asyncio.wait_for(left.wait(), 2)


async def test_whole_utterances_are_refused_and_a_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
    stt = await create_stt(DeepgramSTTSettings())
    with pytest.raises(ProviderRefused):
        await stt.recognize(silence(1, 16_000), language="en")
    monkeypatch.delenv("DEEPGRAM_API_KEY")
    with pytest.raises(ProviderRefused, match="DEEPGRAM_API_KEY is not set"):
        await create_stt(DeepgramSTTSettings())


async def test_cancelling_the_listener_and_closing_drops_the_connection(server: DeepgramServer) -> None:
    stt = await create_stt(settings(server))
    opened = await stt.stream(language="en")
    listening = asyncio.create_task(Heard(opened).listen())
    await opened.push(silence(0.1, 16_000))
    await eventually(server, lambda: server.connections[0].sound_bytes > 0)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await opened.aclose()
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)


async def test_a_stream_that_nobody_listened_to_closes(server: DeepgramServer) -> None:
    opened = await (await create_stt(settings(server))).stream(language="en")
    await opened.aclose()
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)


async def test_twenty_streams_at_once_do_not_mix(server: DeepgramServer) -> None:
    stt = await create_stt(settings(server))
    texts = [f"{a} {b}" for a in ("hello", "I", "need", "a") for b in ("there", "table", "for", "four", "please")]

    async def call(text: str) -> str:
        opened = await stt.stream(language="en")
        heard = Heard(opened)
        async with asyncio.TaskGroup() as group:
            group.create_task(heard.listen())
            await heard.say(spoken(text, 0.5))
            await heard.until(lambda: "end_of_turn" in heard.kinds)
            await opened.aclose()
        return heard.finals[0]

    assert await asyncio.gather(*map(call, texts)) == texts
