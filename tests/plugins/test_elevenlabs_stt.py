"""ElevenLabs' realtime recognition against a server that speaks its wire format."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from agentd_elevenlabs import stream as stream_module
from agentd_elevenlabs.config import ElevenLabsSTTSettings
from agentd_elevenlabs.stream import ElevenLabsStream
from agentd_elevenlabs.stt import create_stt

from agentd.audio import AudioFrame, silence
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.stt import SpeechEvent
from tests.fakes.deepgram_server import spoken
from tests.fakes.elevenlabs_server import KEY, ElevenLabsServer, Fault, elevenlabs_server, refusal

ORDER = "I need a table for four please"


@pytest.fixture
async def server() -> AsyncIterator[ElevenLabsServer]:
    async with elevenlabs_server() as running:
        yield running


def settings(server: ElevenLabsServer, **changes: object) -> ElevenLabsSTTSettings:
    plain = ElevenLabsSTTSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return replace(plain, **changes)  # type: ignore[arg-type]


class Heard:
    """A stream and what came out of it."""

    def __init__(self, opened: ElevenLabsStream) -> None:
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

    async def say(self, frames: list[AudioFrame]) -> None:
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


@asynccontextmanager
async def stream(server: ElevenLabsServer, language: str | None = "en-GB", **changes: object) -> AsyncIterator[Heard]:
    stt = await create_stt(settings(server, **changes))
    heard = Heard(await stt.stream(language=language))
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(heard.listen())
        yield heard
        await heard.stream.aclose()
        await listening
    await stt.aclose()


async def test_partials_then_what_flush_commits(server: ElevenLabsServer) -> None:
    async with stream(server) as heard:
        await heard.say(spoken(0.2, ORDER))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
        await heard.say(spoken("hello there"))
        await heard.stream.flush()
        await heard.until(lambda: len(heard.finals) == 2)
    assert heard.error is None
    assert heard.finals == [ORDER, "hello there"]
    interims = [event.transcript.text for event in heard.events if event.kind == "interim"]
    assert interims[0] == "I"
    assert {event.kind for event in heard.events} == {"interim", "final"}
    finals = [event for event in heard.events if event.kind == "final"]
    assert finals[0].audio_end_s == pytest.approx(2.37, abs=0.01)
    assert finals[1].audio_end_s == pytest.approx(2.37 + 0.62, abs=0.02)
    assert finals[0].transcript.language == "en-GB"


async def test_the_connection_asks_for_exactly_this_and_sound_goes_in_tenths_of_a_second(
    server: ElevenLabsServer,
) -> None:
    async with stream(server, keyterms=("Ozempic", "Hill Street"), no_verbatim=True) as heard:
        await heard.say(spoken(0.35))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    connection = server.connections[0]
    assert connection.query == {
        "model_id": ["scribe_v2_realtime"],
        "audio_format": ["pcm_16000"],
        "commit_strategy": ["manual"],
        "language_code": ["en"],
        "include_timestamps": ["false"],
        "keyterms": ["Ozempic", "Hill Street"],
        "no_verbatim": ["true"],
    }
    assert connection.headers["xi-api-key"] == KEY
    sizes = [len(base64.b64decode(message["audio_base_64"])) for message in connection.messages]
    assert sizes == [3200, 3200, 3200, 1600, 0]
    assert [message["commit"] for message in connection.messages] == [False] * 4 + [True]


async def test_flush_of_too_little_sound_answers_that_nobody_spoke(server: ElevenLabsServer) -> None:
    async with stream(server) as heard:
        await heard.say(spoken(0.2))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    assert heard.finals == [""]
    assert not any(message["commit"] for message in server.connections[0].messages)


async def test_with_its_own_vad_elevenlabs_ends_turns(server: ElevenLabsServer) -> None:
    async with stream(server, commit="vad", vad_silence=Duration(0.5)) as heard:
        await heard.say(spoken("hello there", 0.8))
        await heard.until(lambda: any(event.kind == "end_of_turn" for event in heard.events))
    assert heard.finals == ["hello there"]
    assert server.connections[0].query["vad_silence_threshold_secs"] == ["0.5"]
    stt = await create_stt(settings(server, commit="vad"))
    assert stt.capabilities.endpointing


async def test_silence_keeps_the_session_open_while_there_is_no_sound(
    server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_S", 0.05)
    async with stream(server):
        async with asyncio.timeout(3):
            while len(server.connections[0].messages) < 3:
                await asyncio.sleep(0.01)


FAULTS = [
    (Fault(after_s=0.3, kind="cut"), ProviderUnavailable, "lost"),
    (Fault(after_s=0.3, kind="close", code=1011, reason="internal"), ProviderUnavailable, "1011 internal"),
    (Fault(after_s=0.3, kind="close", code=1008, reason="policy"), ProviderRefused, "1008 policy"),
    (Fault(after_s=0.3, kind="error", reason="quota_exceeded"), ProviderRefused, "quota_exceeded"),
    (Fault(after_s=0.3, kind="error", reason="rate_limited"), ProviderUnavailable, "rate_limited"),
    (Fault(after_s=0.3, kind="error", reason="error"), ProviderUnavailable, "in ElevenLabs' words"),
    (Fault(after_s=0.3, kind="deaf"), ProviderUnavailable, "half-open"),
]


@pytest.mark.parametrize(("fault", "error", "message"), FAULTS, ids=[f"{f.kind}-{f.reason}" for f, _, _ in FAULTS])
async def test_a_stream_that_fails_says_why(
    server: ElevenLabsServer, fault: Fault, error: type[ProviderError], message: str
) -> None:
    server.faults.append(fault)
    async with stream(server, stall_timeout=Duration(0.3)) as heard:
        await heard.say(spoken("hello there"))
        await heard.until(lambda: heard.error is not None)
        await heard.say(spoken("hello there"))  # neither raises nor blocks
        await heard.stream.flush()
    assert type(heard.error) is error
    assert message in str(heard.error)


async def test_a_throttled_commit_is_no_fault(server: ElevenLabsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SHORTEST_COMMIT_S", 0.0)
    async with stream(server) as heard:
        await heard.say(spoken(0.1))
        await heard.stream.flush()  # answered by commit_throttled
        await heard.say(spoken("hello"))
        await heard.stream.flush()
        await heard.until(lambda: bool(heard.finals))
    assert heard.error is None
    assert heard.finals == ["hello"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_key": Secret("literal", "wrong-key-42")}, "auth_error"),
        ({"model": "scribe_v9"}, "scribe_v9 is not available"),
        ({"keyterms": ("a term of far too many letters",)}, "keyterms"),
    ],
)
async def test_what_elevenlabs_does_not_take_is_refused_when_the_stream_opens(
    server: ElevenLabsServer, changes: dict[str, object], message: str
) -> None:
    stt = await create_stt(settings(server, **changes))
    with pytest.raises(ProviderRefused, match=message) as caught:
        await stt.stream(language="en")
    assert "wrong-key-42" not in str(caught.value)
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)


async def test_refused_handshakes_map_to_the_error_tree(server: ElevenLabsServer) -> None:
    stt = await create_stt(settings(server))
    server.refusals.append(refusal(429, "rate_limited", "Slow down.", **{"retry-after": "4"}))
    with pytest.raises(ProviderUnavailable, match="Slow down") as caught:
        await stt.stream(language="en")
    assert caught.value.retry_after_s == 4.0
    server.refusals.append(refusal(403, "forbidden", "Not yours."))
    with pytest.raises(ProviderRefused, match="Not yours"):
        await stt.stream(language="en")


async def test_no_server_is_unavailability_and_a_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with elevenlabs_server() as gone:
        pass
    with pytest.raises(ProviderUnavailable, match="no connection"):
        await (await create_stt(settings(gone))).stream(language="en")
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    with pytest.raises(ProviderRefused, match="ELEVENLABS_API_KEY is not set"):
        await create_stt(ElevenLabsSTTSettings())


async def test_a_server_that_says_nothing_is_a_timeout(server: ElevenLabsServer) -> None:
    left = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as mute:
        server.url = f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}"
        stt = await create_stt(settings(server, open_timeout=Duration(0.2)))
        with pytest.raises(ProviderTimeout, match=r"no connection within 0\.2 s"):
            await stt.stream(language="en")
        await asyncio.wait_for(left.wait(), 2)


async def test_cancelling_the_listener_and_closing_drops_the_connection(server: ElevenLabsServer) -> None:
    opened = await (await create_stt(settings(server))).stream(language="en")
    listening = asyncio.create_task(Heard(opened).listen())
    await opened.push(silence(0.2, 16_000))
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await opened.aclose()
    await asyncio.wait_for(server.connections[0].ended.wait(), 2)


async def test_twenty_streams_at_once_do_not_mix(server: ElevenLabsServer) -> None:
    stt = await create_stt(settings(server))
    texts = [f"{a} {b}" for a in ("hello", "I", "need", "a") for b in ("there", "table", "for", "four", "please")]

    async def call(text: str) -> str:
        heard = Heard(await stt.stream(language="en"))
        async with asyncio.TaskGroup() as group:
            group.create_task(heard.listen())
            await heard.say(spoken(text))
            await heard.stream.flush()
            await heard.until(lambda: bool(heard.finals))
            await heard.stream.aclose()
        return heard.finals[0]

    assert await asyncio.gather(*map(call, texts)) == texts
