"""OpenAI's realtime models against a server that speaks their wire format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from agentd_openai.config import OpenAIRealtimeSettings
from agentd_openai.realtime import OpenAIConnection, create_realtime

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, silence
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, JsonObject, Secret
from agentd.providers.llm import Message, ToolCall, ToolResult, ToolSchema, Usage
from agentd.providers.realtime import (
    AddItem,
    CallMade,
    CancelResponse,
    CommandRefused,
    CommitSound,
    Configuration,
    Configure,
    ItemBegun,
    RealtimeEvent,
    RemoveItem,
    Respond,
    ResponseEnded,
    SoundMade,
    SpeechBegan,
    SpeechStopped,
    TruncateItem,
    UtteranceKept,
    UtteranceWords,
    WordsMade,
)
from tests.fakes.openai_realtime_server import KEY, Answer, RealtimeServer, realtime_server, refusal

E = TypeVar("E")


@pytest.fixture
async def server() -> AsyncIterator[RealtimeServer]:
    async with realtime_server() as running:
        yield running


class Client:
    """A connection, and what came over it."""

    def __init__(self, connection: OpenAIConnection) -> None:
        self.connection = connection
        self.events: list[RealtimeEvent] = []
        self._source = aiter(connection)

    async def until(self, kind: type[E], count: int = 1) -> E:
        """Reads until so many events of this kind have come in all; the last of them."""
        async with asyncio.timeout(5):
            while len(self.of(kind)) < count:
                self.events.append(await anext(self._source))
        return self.of(kind)[count - 1]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def send(self, *commands: object) -> None:
        for command in commands:
            await self.connection.send(command)  # type: ignore[arg-type]

    async def hear(self, *frames: AudioFrame) -> None:
        for frame in frames:
            await self.connection.hear(frame)


@asynccontextmanager
async def client(
    server: RealtimeServer, configuration: Configuration | None = None, **changes: object
) -> AsyncIterator[Client]:
    settings = OpenAIRealtimeSettings(api_key=Secret("literal", KEY), base_url=server.url)
    realtime = await create_realtime(replace(settings, **changes))  # type: ignore[arg-type]
    try:
        connection = await realtime.connect(configuration or Configuration(instructions="Be brief."))
        try:
            yield Client(connection)
        finally:
            await connection.aclose()
    finally:
        await realtime.aclose()


def loud(seconds: float) -> AudioFrame:
    """A tone of 200 Hz at 16 kHz."""
    t = np.arange(round(seconds * INPUT_HZ)) / INPUT_HZ
    return AudioFrame((8000 * np.sin(2 * np.pi * 200 * t)).astype("<i2").tobytes(), INPUT_HZ)


async def test_the_session_is_configured_before_it_is_used(server: RealtimeServer) -> None:
    tool = ToolSchema(name="book", description="Books.", parameters={"type": "object", "properties": {}})
    configuration = Configuration(instructions="Be brief.", tools=(tool,), language="en-GB")
    extra: JsonObject = {"tracing": "auto"}
    async with client(server, configuration, noise_reduction="far_field", max_output_tokens=99, extra_session=extra):
        pass
    pcm = {"type": "audio/pcm", "rate": 24_000}
    (update,) = server.session.of("session.update")
    assert update["session"] == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": pcm,
                "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
                "turn_detection": None,
                "noise_reduction": {"type": "far_field"},
            },
            "output": {"format": pcm, "voice": "marin", "speed": 1.0},
        },
        "tools": [
            {"type": "function", "name": "book", "description": "Books.",
             "parameters": {"type": "object", "properties": {}}}
        ],
        "tool_choice": "auto",
        "max_output_tokens": 99,
        "tracing": "auto",
    }  # fmt: skip
    assert server.session.query == {"model": "gpt-realtime-2.1"}


async def test_a_response_streams_its_words_and_its_sound_and_counts_its_tokens(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="We open at nine."))
    async with client(server) as caller:
        await caller.send(Respond(response="r1", instructions="Greet.", tool_choice="none"))
        ended = await caller.until(ResponseEnded)
    (begun,) = caller.of(ItemBegun)
    assert "".join(event.text for event in caller.of(WordsMade)) == "We open at nine."
    assert {event.item for event in caller.of(SoundMade)} == {begun.item}
    sound_s = sum(event.frame.duration_s for event in caller.of(SoundMade))
    assert sound_s == pytest.approx(len("We open at nine.") / 15, abs=0.001)
    assert {event.frame.sample_rate_hz for event in caller.of(SoundMade)} == {OUTPUT_HZ}
    assert ended == ResponseEnded(response="r1", usage=Usage(prompt_tokens=20, completion_tokens=10, cached_tokens=5))
    (created,) = server.session.of("response.create")
    assert created["response"] == {
        "metadata": {"agentd_response": "r1"}, "instructions": "Greet.", "tool_choice": "none",
    }  # fmt: skip


async def test_what_the_caller_says_arrives_at_24_khz_and_comes_back_as_words(server: RealtimeServer) -> None:
    server.transcripts.append("when do you open")
    async with client(server) as caller:
        await caller.hear(*[loud(0.1)] * 8)
        await caller.send(CommitSound())
        words = await caller.until(UtteranceWords, 5)
    (kept,) = caller.of(UtteranceKept)
    assert words == UtteranceWords(item=kept.item, text="when do you open", final=True)
    assert [event.text for event in caller.of(UtteranceWords)][:2] == ["when ", "when do "]
    heard = np.frombuffer(bytes(server.session.heard), "<i2").astype(float)
    assert len(heard) / OUTPUT_HZ == pytest.approx(0.8, abs=0.002)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * OUTPUT_HZ / len(heard) == pytest.approx(200, abs=2)


async def test_a_transcription_that_failed_is_told_as_such(server: RealtimeServer) -> None:
    server.transcripts.append(None)
    async with client(server) as caller:
        await caller.hear(loud(0.5))
        await caller.send(CommitSound())
        words = await caller.until(UtteranceWords)
    assert words.text is None
    assert words.final


async def test_the_models_own_detection_tells_where_speech_begins_and_ends_and_answers_nothing(
    server: RealtimeServer,
) -> None:
    async with client(server, Configuration(detects_turns=True), vad="server", silence=Duration(0.3)) as caller:
        await caller.hear(silence(0.4, INPUT_HZ), loud(0.6), silence(0.6, INPUT_HZ))
        await caller.until(UtteranceKept)
    (began,), (stopped,) = caller.of(SpeechBegan), caller.of(SpeechStopped)
    assert began.at_s == pytest.approx(0.4, abs=0.03)
    assert stopped.at_s == pytest.approx(1.0, abs=0.03)  # without the silence that OpenAI counts to it
    detection = server.session.settings["audio"]["input"]["turn_detection"]
    assert detection == {
        "type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300, "create_response": False,
        "interrupt_response": False,
    }  # fmt: skip
    assert "response.create" not in server.session.kinds


async def test_a_call_of_a_tool_comes_whole_and_its_result_goes_back(server: RealtimeServer) -> None:
    server.answers.extend([Answer(calls=(("book", '{"people": 2}', "call_1"),)), Answer(text="Booked.")])
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        await caller.until(ResponseEnded)
        (made,) = caller.of(CallMade)
        result = ToolResult(call_id="call_1", name="book", content="ok")
        await caller.send(AddItem(id="result", item=result, after=made.item), Respond(response="r2"))
        await caller.until(ResponseEnded, 2)
    assert made.call == ToolCall(id="call_1", name="book", arguments='{"people": 2}')
    assert server.session.told == [
        ("function_call", 'book {"people": 2}'), ("function_call_output", "ok"), ("assistant", "Booked."),
    ]  # fmt: skip
    assert server.session.errors == []


async def test_items_are_put_where_they_belong_and_taken_out(server: RealtimeServer) -> None:
    async with client(server) as caller:
        await caller.send(
            AddItem(id="b", item=Message(role="user", text="second"), after=None),
            AddItem(id="a", item=Message(role="system", text="first"), after=None),
            AddItem(id="c", item=Message(role="assistant", text="third"), after="b"),
            AddItem(id="d", item=ToolCall(id="call_1", name="book", arguments="{}"), after="c"),
            RemoveItem("b"),
            Respond(response="r1"),
        )
        await caller.until(ResponseEnded)
    assert server.session.told == [
        ("system", "first"), ("assistant", "third"), ("function_call", "book {}"), ("assistant", "Hello."),
    ]  # fmt: skip
    assert server.session.errors == []


async def test_what_was_not_heard_of_an_answer_is_cut_off(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="We open at nine and close at five."))
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        await caller.until(ResponseEnded)
        (begun,) = caller.of(ItemBegun)
        await caller.send(TruncateItem(id=begun.item, heard_s=0.7499))
        await server.until(lambda: "conversation.item.truncate" in server.session.kinds)
        await caller.send(Respond(response="r2"))
        await caller.until(ResponseEnded, 2)
    assert server.session.items[0].sound_s == 0.749  # rounded down: more than there is would be refused
    assert server.session.told[0] == ("assistant", "")
    assert server.session.errors == []


async def test_a_cancelled_response_ends_without_an_error_and_its_broken_call_is_none(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="One two three four five six.", gap_s=0.2))
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        await caller.until(SoundMade)
        await caller.send(CancelResponse("r1"))
        ended = await caller.until(ResponseEnded)
        await caller.send(CancelResponse("r1"))  # too late, which is no fault
        await caller.send(Respond(response="r2"))
        await caller.until(ResponseEnded, 2)
    assert ended.error is None
    assert [error["code"] for error in server.session.errors] == ["response_cancel_not_active"]
    assert caller.of(CommandRefused) == []


async def test_a_response_apart_is_not_in_the_conversation(server: RealtimeServer) -> None:
    async with client(server) as caller:
        await caller.send(Respond(response="r1", instructions="Say: <say>Hello there.</say>", apart=True))
        await caller.until(ResponseEnded)
    assert "".join(event.text for event in caller.of(WordsMade)) == "Hello there."
    assert server.session.items == []


async def test_without_a_voice_the_answer_is_text(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="We open at nine."))
    async with client(server, Configuration(speaks=False)) as caller:
        await caller.send(Respond(response="r1"))
        await caller.until(ResponseEnded)
    assert "".join(event.text for event in caller.of(WordsMade)) == "We open at nine."
    assert caller.of(SoundMade) == []
    assert "output" not in server.session.settings["audio"]


async def test_words_may_come_after_their_sound(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="Late words.", words_late_s=0.05))
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        await caller.until(ResponseEnded)
    kinds = [type(event) for event in caller.events if isinstance(event, SoundMade | WordsMade)]
    assert kinds == [SoundMade, SoundMade, WordsMade, WordsMade]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ({"type": "server_error", "code": None, "message": "Sorry."}, ProviderUnavailable),
        ({"type": "requests", "code": "rate_limit_exceeded", "message": "Slow down."}, ProviderUnavailable),
        ({"type": "insufficient_quota", "code": "insufficient_quota", "message": "Pay."}, ProviderRefused),
    ],
)
async def test_a_failed_response_says_whether_another_try_may_help(
    server: RealtimeServer, failure: dict[str, str], error: type[ProviderError]
) -> None:
    server.limits = [{"name": "tokens", "limit": 9, "remaining": 0, "reset_seconds": 1.5}]
    server.answers.append(Answer(fail=failure))
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        ended = await caller.until(ResponseEnded)
    assert type(ended.error) is error
    assert ended.error.message == failure["message"]
    assert ended.error.retry_after_s == (1.5 if failure["code"] == "rate_limit_exceeded" else None)


async def test_a_refused_command_is_named(server: RealtimeServer) -> None:
    async with client(server) as caller:
        await caller.send(CommitSound())
        refused = await caller.until(CommandRefused)
        assert refused.command == CommitSound()
        assert "buffer too small" in refused.error.message
        server.answers.append(Answer(text="One two three.", gap_s=0.1))
        await caller.send(Respond(response="r1"))
        await caller.until(SoundMade)
        await caller.send(Respond(response="r2"))
        assert (await caller.until(CommandRefused, 2)).command == Respond(response="r2")
        await caller.send(AddItem(id="x", item=ToolResult(call_id="?", name="book", content="ok"), after=None))
        assert isinstance((await caller.until(CommandRefused, 3)).command, AddItem)


async def test_settings_can_change_in_mid_call(server: RealtimeServer) -> None:
    async with client(server) as caller:
        await caller.send(Configure(Configuration(instructions="Answer in German.", language="de-DE")), CommitSound())
        await caller.until(CommandRefused)
    assert server.session.settings["instructions"] == "Answer in German."
    assert server.session.settings["audio"]["input"]["transcription"]["language"] == "de"


async def test_a_connection_that_is_reset_is_lost(server: RealtimeServer) -> None:
    server.answers.append(Answer(text="One two three four.", cut_after=2))
    async with client(server) as caller:
        await caller.send(Respond(response="r1"))
        with pytest.raises(ProviderUnavailable, match="the connection was lost"):
            await caller.until(ResponseEnded)
        await caller.hear(loud(0.1))  # raises nothing: reading has said it
    assert len(caller.of(SoundMade)) <= 2


async def test_a_half_open_connection_is_found_by_pings(server: RealtimeServer) -> None:
    async with client(server, stall_timeout=Duration(0.4)) as caller:
        server.stall()
        with pytest.raises(ProviderUnavailable):
            await caller.until(ResponseEnded)


async def test_a_session_that_has_lasted_its_time_is_lost(server: RealtimeServer) -> None:
    server.longest_s = 0.2
    async with client(server) as caller:
        with pytest.raises(ProviderUnavailable, match="maximum duration"):
            await caller.until(ResponseEnded)


async def test_a_handshake_that_is_refused_names_the_reason(server: RealtimeServer) -> None:
    with pytest.raises(ProviderRefused, match="HTTP 401: Incorrect API key"):
        async with client(server, api_key=Secret("literal", "sk-wrong")):
            pass
    with pytest.raises(ProviderRefused, match="HTTP 404: The model does not exist"):
        async with client(server, model="gpt-unreal"):
            pass
    server.refusals.append(refusal(429, "Rate limit reached.", "rate_limit_exceeded", **{"retry-after": "2"}))
    with pytest.raises(ProviderUnavailable, match="HTTP 429: Rate limit reached") as busy:
        async with client(server):
            pass
    assert busy.value.retry_after_s == 2


async def test_a_voice_that_is_not_there_is_refused_when_connecting(server: RealtimeServer) -> None:
    with pytest.raises(ProviderRefused, match=r"audio\.output\.voice"):
        async with client(server, voice="nobody"):
            pass
    await server.session.ended.wait()


async def test_nobody_there_is_found_out_in_time(unused_tcp_port: int) -> None:
    settings = OpenAIRealtimeSettings(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    realtime = await create_realtime(settings)
    with pytest.raises(ProviderUnavailable, match="no connection"):
        await realtime.connect(Configuration())
    await realtime.aclose()


async def test_a_server_that_never_answers_is_given_up(server: RealtimeServer) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    settings = OpenAIRealtimeSettings(base_url=f"http://127.0.0.1:{port}/v1", open_timeout=Duration(0.2))
    realtime = await create_realtime(settings)
    with pytest.raises(ProviderTimeout, match=r"no connection within 0\.2 s"):
        await realtime.connect(Configuration())
    await realtime.aclose()
    listener.close()
