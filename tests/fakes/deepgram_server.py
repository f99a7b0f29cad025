"""A local server that speaks Deepgram's v1/listen and v1/speak.

It recognises for real, if a simple language: a word is a stretch of samples that all have the word's number as
value, silence is 0 (`spoken` makes such sound). So a test of reconnecting sees whether words are lost or doubled.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from agentd.audio import AudioFrame

KEY = "dg-test-key"
WORDS = ("", "hello", "there", "I", "need", "a", "table", "for", "four", "please")
LISTEN_MODELS = {"nova-3", "nova-2"}
SPEAK_MODELS = {"aura-2-thalia-en", "aura-2-andromeda-en"}
LANGUAGES = {"en", "en-GB", "en-US", "de", "multi"}
NET_0001 = "Deepgram did not receive audio data or a text message within the timeout window. See NET-0001"
BOOLEANS = ("interim_results", "smart_format", "punctuate", "numerals")
LISTEN_PARAMETERS = {
    "model", "language", "encoding", "sample_rate", "channels", "endpointing", "utterance_end_ms", "keyterm",
    "mip_opt_out", *BOOLEANS,
}  # fmt: skip
STEP = 160  # samples: 10 ms


def spoken(*parts: str | float, sample_rate_hz: int = 16_000, word_s: float = 0.3) -> list[AudioFrame]:
    """Frames of 20 ms: a text is its words one after the other, a number is so many seconds of silence."""
    data = bytearray()
    for part in parts:
        if isinstance(part, (int, float)):
            data += bytes(2 * round(part * sample_rate_hz))
            continue
        for word in part.split():
            data += WORDS.index(word).to_bytes(2, "little") * round(word_s * sample_rate_hz)
            data += bytes(2 * STEP)
    size = 2 * sample_rate_hz // 50
    return [AudioFrame(bytes(data[at : at + size]), sample_rate_hz) for at in range(0, len(data), size)]


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with one connection once it has taken so much sound (seconds)."""

    after_s: float
    kind: str  # "cut": TCP reset; "deaf": stops reading, the connection stays; "close": with code and reason
    code: int = 1011
    reason: str = ""


@dataclass(kw_only=True)
class Connection:
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    messages: list[dict[str, Any]] = field(default_factory=list)  # the text frames
    sound_bytes: int = 0
    close_code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kinds(self) -> list[str]:
        return [message.get("type", "") for message in self.messages]


class DeepgramServer:
    def __init__(self) -> None:
        self.url = ""
        self.connections: list[Connection] = []
        self.refusals: deque[web.Response] = deque()  # each answers one handshake
        self.faults: deque[Fault] = deque()  # each for one connection
        self.idle_s = 10.0  # then NET-0001
        self.silent_speech = False  # v1/speak makes no sound
        self.sound_gap_s = 0.0  # between frames of v1/speak
        self.frame_bytes = 3841  # odd: samples are cut in two
        self.arrived = asyncio.Condition()
        self._sockets: set[web.WebSocketResponse] = set()

    async def listen(self, request: web.Request) -> web.StreamResponse:
        connection = self._accepted(request, check_listen)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        recogniser = Recogniser(connection.query)
        fault = self.faults.popleft() if self.faults else None
        try:
            await self._listen(request, socket, connection, recogniser, fault)
        finally:
            connection.close_code = socket.close_code
            connection.ended.set()
        return socket

    async def _listen(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        connection: Connection,
        recogniser: Recogniser,
        fault: Fault | None,
    ) -> None:
        while True:
            if fault is not None and recogniser.position_s >= fault.after_s:
                await self._fail(request, socket, fault)
                return
            try:
                message = await socket.receive(timeout=self.idle_s)
            except TimeoutError:
                await socket.close(code=1011, message=NET_0001.encode())
                return
            if message.type is WSMsgType.BINARY:
                connection.sound_bytes += len(message.data)
                await _send(socket, recogniser.take(message.data))
            elif message.type is WSMsgType.TEXT:
                if not await self._command(socket, connection, recogniser, message):
                    return
            else:
                return
            async with self.arrived:
                self.arrived.notify_all()

    async def _command(
        self, socket: web.WebSocketResponse, connection: Connection, recogniser: Recogniser, message: WSMessage
    ) -> bool:
        """Whether the connection goes on."""
        try:
            command = json.loads(message.data)
        except ValueError:
            command = {}
        connection.messages.append(command)
        match command.get("type"):
            case "KeepAlive":
                return True
            case "Finalize":
                await _send(socket, recogniser.finalize(from_finalize=True))
                return True
            case "CloseStream":
                await _send(socket, [*recogniser.finalize(), metadata(recogniser.position_s)])
                await socket.close()
                return False
        error = {"type": "Error", "variant": "SchemaError", "description": "unknown message", "message": message.data}
        await _send(socket, [error])
        return True

    async def _fail(self, request: web.Request, socket: web.WebSocketResponse, fault: Fault) -> None:
        assert request.transport is not None
        if fault.kind == "cut":
            request.transport.abort()
        elif fault.kind == "close":
            await socket.close(code=fault.code, message=fault.reason.encode())
        else:
            request.transport.pause_reading()
            await asyncio.sleep(3600)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        connection = self._accepted(request, check_speak)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Metadata", "request_id": "r", "model_name": "m", "model_version": "1",
                                "model_uuid": "u"})  # fmt: skip
        fault = self.faults.popleft() if self.faults else None
        speaking: asyncio.Task[None] | None = None
        self._sockets.add(socket)
        text, flushes = "", 0
        try:
            async for message in socket:
                command = json.loads(message.data)
                connection.messages.append(command)
                match command.get("type"):
                    case "Speak":
                        text += command["text"]
                    case "Flush":
                        speaking = asyncio.create_task(self._sound(request, socket, text, flushes, speaking, fault))
                        text, flushes = "", flushes + 1
                    case "Clear":
                        if speaking is not None:
                            speaking.cancel()
                        await socket.send_json({"type": "Cleared", "sequence_id": flushes})
                    case "Close":
                        await socket.close()
        finally:
            self._sockets.discard(socket)
            if speaking is not None:
                speaking.cancel()
            connection.close_code = socket.close_code
            connection.ended.set()
        return socket

    async def _sound(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        text: str,
        number: int,
        before: asyncio.Task[None] | None,
        fault: Fault | None,
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        data = b"" if self.silent_speech else sound_of(text)
        for at in range(0, len(data), self.frame_bytes):
            if fault is not None and at / 48_000 >= fault.after_s:
                await self._fail(request, socket, fault)
                return
            await socket.send_bytes(data[at : at + self.frame_bytes])
            await asyncio.sleep(self.sound_gap_s)
        await socket.send_json({"type": "Flushed", "sequence_id": number})

    async def hang_up(self) -> None:
        """Closes every open connection, as Deepgram does with idle ones."""
        for socket in list(self._sockets):
            await socket.close(code=1011, message=NET_0001.encode())

    def _accepted(self, request: web.Request, check: Any) -> Connection:
        """A connection that passes Deepgram's checks; raises the answer that refuses it."""
        query = {name: request.query.getall(name) for name in request.query}
        if self.refusals:
            raise _Refused(self.refusals.popleft())
        if request.headers.get("authorization") != f"Token {KEY}":
            raise _Refused(refusal(401, "INVALID_AUTH", "Invalid credentials."))
        if wrong := check(query):
            raise _Refused(refusal(400, "Bad Request", wrong))
        connection = Connection(path=request.path, query=query, headers=request.headers)
        self.connections.append(connection)
        return connection


class Recogniser:
    """Deepgram's way of giving results, over the language of `spoken`."""

    LONGEST_S = 3.0  # then a piece is final although the speaker goes on

    def __init__(self, query: dict[str, list[str]]) -> None:
        self._interim = query.get("interim_results") == ["true"]
        endpointing = query.get("endpointing", ["10"])[0]
        self._endpointing_s = None if endpointing == "false" else int(endpointing) / 1000
        utterance_end = query.get("utterance_end_ms")
        self._utterance_end_s = int(utterance_end[0]) / 1000 if utterance_end else None
        self._rest = b""
        self._words: list[tuple[str, float, float]] = []
        self._last_value = 0
        self._begin_s = 0.0
        self._interim_at = 1.0
        self._last_word_end: float | None = None  # of an utterance that has not ended
        self._spoke = False
        self.position_s = 0.0

    def take(self, data: bytes) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        data = self._rest + data
        whole = len(data) - len(data) % (2 * STEP)
        self._rest = data[whole:]
        for at in range(0, whole, 2 * STEP):
            out += self._step(int.from_bytes(data[at : at + 2], "little"))
        return out

    def _step(self, value: int) -> list[dict[str, Any]]:
        self.position_s = round(self.position_s + 0.01, 6)
        if value:
            self._hear(value)
        self._last_value = value
        quiet_s = self.position_s - self._last_word_end if self._last_word_end is not None else None
        if self._spoke and quiet_s is not None and self._endpointing_s is not None and quiet_s >= self._endpointing_s:
            self._spoke = False
            return self.finalize(speech_final=True)
        if quiet_s is not None and self._utterance_end_s is not None and quiet_s >= self._utterance_end_s:
            end = self._last_word_end
            self._last_word_end = None
            return [*self.finalize(), {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end}]
        if self.position_s - self._begin_s >= self.LONGEST_S and not value:
            return self.finalize()
        if self._interim and self.position_s >= self._interim_at:
            self._interim_at = self.position_s + 1.0
            return [self._results(is_final=False)]
        return []

    def _hear(self, value: int) -> None:
        if value != self._last_value:
            self._words.append((WORDS[value], self.position_s - 0.01, self.position_s))
        word, start, _ = self._words[-1] if self._words else (WORDS[value], self.position_s, 0.0)
        if self._words:
            self._words[-1] = (word, start, self.position_s)
        self._last_word_end, self._spoke = self.position_s, True

    def finalize(self, *, speech_final: bool = False, from_finalize: bool = False) -> list[dict[str, Any]]:
        message = self._results(is_final=True, speech_final=speech_final, from_finalize=from_finalize)
        self._words.clear()
        self._begin_s, self._interim_at = self.position_s, self.position_s + 1.0
        if from_finalize:
            self._spoke, self._last_value = False, 0
        return [message]

    def _results(self, *, is_final: bool, speech_final: bool = False, from_finalize: bool = False) -> dict[str, Any]:
        words = [
            {"word": word, "punctuated_word": word, "start": start, "end": end, "confidence": 0.9}
            for word, start, end in self._words
        ]
        best = {"transcript": " ".join(word for word, _, _ in self._words), "confidence": 0.9, "words": words}
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": self._begin_s,
            "duration": round(self.position_s - self._begin_s, 6),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [best]},
            "metadata": {
                "request_id": "r",
                "model_uuid": "u",
                "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
            },
        }


class _Refused(Exception):
    def __init__(self, response: web.Response) -> None:
        self.response = response
        super().__init__(response.status)


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    """An answer as Deepgram gives it in place of 101."""
    body = {"err_code": code, "err_msg": message, "request_id": "r"}
    return web.json_response(body, status=status, headers={"dg-error": message, **headers})


def metadata(duration_s: float) -> dict[str, Any]:
    return {"type": "Metadata", "transaction_key": "deprecated", "request_id": "r", "sha256": "0", "created": "now",
            "duration": duration_s, "channels": 1}  # fmt: skip


def sound_of(text: str) -> bytes:
    """The sound of a text at v1/speak: 20 ms at 24 kHz a letter, all samples the letter's code."""
    return b"".join(ord(letter).to_bytes(2, "little") * 480 for letter in text)


def text_of(data: bytes) -> str:
    """What `sound_of` said; letters that follow each other twice must not be in it."""
    values = [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data) - 1, 2)]
    return "".join(chr(value) * (sum(1 for _ in run) // 480) for value, run in groupby(values))


def check_listen(query: dict[str, list[str]]) -> str:
    """Why Deepgram refuses these parameters; empty when it does not."""
    if unknown := sorted(set(query) - LISTEN_PARAMETERS):
        return f"Unknown query parameter {unknown[0]}."
    value = {name: values[0] for name, values in query.items()}
    if value.get("model") not in LISTEN_MODELS:
        return "Bad Request: No such model/language/tier combination found."
    if value.get("language", "en") not in LANGUAGES:
        return "Bad Request: No such model/language/tier combination found."
    if value.get("encoding") != "linear16" or value.get("sample_rate") != "16000":
        return "Bad Request: encoding and sample_rate do not fit."
    if any(value.get(name, "true") not in {"true", "false"} for name in BOOLEANS):
        return "Bad Request: failed to deserialize query parameters."
    if "keyterm" in value and value["model"] != "nova-3":
        return "Bad Request: Keyterm is only supported with Nova-3."
    if value.get("endpointing", "false") != "false" and not value["endpointing"].isdigit():
        return "Bad Request: failed to deserialize query parameters: endpointing"
    if "utterance_end_ms" in value:
        if value.get("interim_results") != "true":
            return "Bad Request: utterance_end_ms requires interim_results=true."
        if not value["utterance_end_ms"].isdigit() or int(value["utterance_end_ms"]) < 1000:
            return "Bad Request: utterance_end_ms must be at least 1000."
    return ""


def check_speak(query: dict[str, list[str]]) -> str:
    value = {name: values[0] for name, values in query.items()}
    if value.get("model") not in SPEAK_MODELS:
        return "Bad Request: No such model found."
    if value.get("encoding") != "linear16" or value.get("sample_rate") not in {"8000", "16000", "24000", "48000"}:
        return "Bad Request: unsupported audio format."
    return ""


async def _send(socket: web.WebSocketResponse, messages: Iterable[dict[str, Any]]) -> None:
    for message in messages:
        await socket.send_json(message)


@web.middleware
async def _refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except _Refused as refused:
        return refused.response
    except ConnectionResetError:  # the client left; nobody reads the answer
        return web.Response()
    return response


@asynccontextmanager
async def deepgram_server() -> AsyncIterator[DeepgramServer]:
    server = DeepgramServer()
    app = web.Application(middlewares=[_refusals])
    app.router.add_get("/v1/listen", server.listen)
    app.router.add_get("/v1/speak", server.speak)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
