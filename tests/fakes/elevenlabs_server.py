"""A local server that speaks ElevenLabs' voices, multi-stream-input and realtime recognition.

Speech has the sound of the Deepgram fake's synthesis, recognition knows the toy language of its recogniser.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from tests.fakes.deepgram_server import WORDS, sound_of

KEY = "xi-test-key"
RACHEL = "21m00Tcm4TlvDq8ikWAM"
ANNA = "AnnaAnnaAnnaAnna1234"
VOICES = {RACHEL: "Rachel", ANNA: "Anna - Warm, Calm"}
SPEECH_MODELS = {"eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_multilingual_v2"}
SPEECH_PARAMETERS = {
    "model_id", "output_format", "inactivity_timeout", "sync_alignment", "auto_mode", "apply_text_normalization",
    "language_code", "enable_logging", "enable_ssml_parsing", "seed",
}  # fmt: skip
MOST_CONTEXTS = 5
CHUNK_LIMIT_S = 2.0


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with one connection once it has made or taken so much sound (seconds)."""

    after_s: float
    kind: str  # "cut": TCP reset; "deaf": stops reading and writing; "close": with code; "error": a message, then 1008
    code: int = 1011
    reason: str = ""


@dataclass(kw_only=True)
class Connection:
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    messages: list[dict[str, Any]] = field(default_factory=list)
    sound_s: float = 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ElevenLabsServer:
    def __init__(self) -> None:
        self.url = ""
        self.connections: list[Connection] = []
        self.lookups: list[dict[str, str]] = []
        self.refusals: deque[web.Response] = deque()  # each answers one handshake or look-up
        self.faults: deque[Fault] = deque()
        self.silent_speech = False
        self.sound_gap_s = 0.0
        self.letters_a_message = 7
        self.odd_bytes = False  # whether messages cut samples in two
        self.relative_times = True  # as documented; else counted from the segment's begin
        self._sockets: set[web.WebSocketResponse] = set()

    async def voices(self, request: web.Request) -> web.StreamResponse:
        self._check_key(request)
        self.lookups.append(dict(request.query))
        wanted = request.query.get("search", "").casefold()
        found = [{"voice_id": i, "name": n} for i, n in VOICES.items() if wanted in n.casefold()]
        return web.json_response({"voices": found, "has_more": False, "total_count": len(found)})

    async def speak(self, request: web.Request) -> web.StreamResponse:
        self._check_key(request)
        socket, connection = await self._accepted(request)
        contexts: dict[str, _Context] = {}
        fault = self.faults.popleft() if self.faults else None
        try:
            if wrong := check_speech(request.match_info["voice"], request.query):
                await refuse(socket, *wrong)
                return socket
            async for message in socket:
                command = json.loads(message.data)
                connection.messages.append(command)
                if command.get("close_socket"):
                    await socket.close()
                elif wrong := check_command(command, contexts):
                    await refuse(socket, *wrong)
                else:
                    self._obey(request, socket, connection, contexts, command, fault)
        finally:
            for context in contexts.values():
                context.stop()
            self._left(socket, connection)
        return socket

    def _obey(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        connection: Connection,
        contexts: dict[str, _Context],
        command: dict[str, Any],
        fault: Fault | None,
    ) -> None:
        name = command["context_id"]
        context = contexts.setdefault(name, _Context(name))
        context.text += "" if command.get("close_context") else command.get("text", "")
        if command.get("close_context"):
            context.closing.set()
            contexts.pop(name)
        elif command.get("flush"):
            context.speaking = asyncio.create_task(self._sound(request, socket, connection, context, fault))

    async def _sound(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        connection: Connection,
        context: _Context,
        fault: Fault | None,
    ) -> None:
        text, sent_ms, rest = "" if self.silent_speech else context.text.strip(), 0, b""
        for at in range(0, len(text), self.letters_a_message):
            if fault is not None and connection.sound_s >= fault.after_s:
                await self._fail(request, socket, fault)
                return
            letters = text[at : at + self.letters_a_message]
            data = rest + sound_of(letters)
            cut = len(data) - 1 if self.odd_bytes and at + self.letters_a_message < len(text) else len(data)
            data, rest = data[:cut], data[cut:]
            begin_ms = 0 if self.relative_times else sent_ms
            times = {
                "chars": list(letters),
                "charStartTimesMs": [begin_ms + 20 * number for number in range(len(letters))],
                "charDurationsMs": [20] * len(letters),
            }
            await socket.send_json(
                {
                    "audio": base64.b64encode(data).decode(),
                    "isFinal": None,
                    "contextId": context.name,
                    "alignment": times,
                    "normalizedAlignment": times,
                }
            )
            sent_ms += 20 * len(letters)
            connection.sound_s += 0.02 * len(letters)
            await asyncio.sleep(self.sound_gap_s)
        await context.closing.wait()  # a context that stays open has no final message
        await socket.send_json({"audio": None, "isFinal": True, "contextId": context.name})

    async def recognize(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            raise _Refused(self.refusals.popleft())
        socket, connection = await self._accepted(request)
        try:
            if request.headers.get("xi-api-key") != KEY:
                await socket.send_json({"message_type": "auth_error", "error": "You must be authenticated."})
                await socket.close(code=1008)
            elif wrong := check_recognition(connection.query):
                await socket.send_json({"message_type": "invalid_request", "error": wrong})
                await socket.close(code=1008)
            else:
                config = {"sample_rate": 16000, "audio_format": "pcm_16000"}
                await socket.send_json({"message_type": "session_started", "session_id": "s", "config": config})
                await self._recognize(request, socket, connection)
        finally:
            self._left(socket, connection)
        return socket

    async def _recognize(self, request: web.Request, socket: web.WebSocketResponse, connection: Connection) -> None:
        fault = self.faults.popleft() if self.faults else None
        ear = _Ear(commits_itself=connection.query["commit_strategy"] == ["vad"])
        async for message in socket:
            command = parsed(message)
            connection.messages.append(command)
            if command.get("message_type") != "input_audio_chunk":
                await socket.send_json({"message_type": "input_error", "error": "unknown message_type"})
                continue
            for answer in ear.take(base64.b64decode(command["audio_base_64"]), commit=command["commit"]):
                await socket.send_json(answer)
            connection.sound_s = ear.position_s
            if fault is not None and connection.sound_s >= fault.after_s:
                await self._fail(request, socket, fault)
                return

    async def _fail(self, request: web.Request, socket: web.WebSocketResponse, fault: Fault) -> None:
        assert request.transport is not None
        if fault.kind == "cut":
            request.transport.abort()
        elif fault.kind == "close":
            await socket.close(code=fault.code, message=fault.reason.encode())
        elif fault.kind == "error":
            await socket.send_json({"message_type": fault.reason, "error": "in ElevenLabs' words"})
            await socket.close(code=1008)
        else:
            request.transport.pause_reading()
            await asyncio.sleep(3600)

    async def hang_up(self) -> None:
        """Closes every open connection, as ElevenLabs does with idle ones."""
        for socket in list(self._sockets):
            await refuse(socket, "input_timeout_exceeded", "Have not received a new text input within the timeout.")

    def _check_key(self, request: web.Request) -> None:
        if self.refusals:
            raise _Refused(self.refusals.popleft())
        if request.headers.get("xi-api-key") != KEY:
            raise _Refused(refusal(401, "invalid_api_key", "Invalid API key"))

    async def _accepted(self, request: web.Request) -> tuple[web.WebSocketResponse, Connection]:
        query = {name: request.query.getall(name) for name in request.query}
        connection = Connection(path=request.path, query=query, headers=request.headers)
        self.connections.append(connection)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        return socket, connection

    def _left(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        self._sockets.discard(socket)
        connection.ended.set()


class _Context:
    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.closing = asyncio.Event()
        self.speaking: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.speaking is not None:
            self.speaking.cancel()


class _Ear:
    """Scribe's way of giving transcripts, over the toy language."""

    def __init__(self, *, commits_itself: bool) -> None:
        self._commits_itself = commits_itself
        self._words: list[str] = []
        self._last_value = 0
        self._uncommitted_s = 0.0
        self._quiet_s = 0.0
        self.position_s = 0.0

    def take(self, data: bytes, *, commit: bool) -> list[dict[str, Any]]:
        if len(data) / 32_000 > CHUNK_LIMIT_S:
            return [{"message_type": "chunk_size_exceeded", "error": "Chunk size exceeded."}]
        before = len(self._words)
        for at in range(0, len(data) - 1, 320):
            self._hear(int.from_bytes(data[at : at + 2], "little"))
        self.position_s += len(data) / 32_000
        self._uncommitted_s += len(data) / 32_000
        if commit and self._uncommitted_s < 0.3 - 1e-9:
            return [{"message_type": "commit_throttled", "error": "Commit request throttled: too little audio."}]
        if commit or (self._commits_itself and self._words and self._quiet_s >= 0.5):
            text, self._uncommitted_s = " ".join(self._words), 0.0
            self._words.clear()
            return [{"message_type": "committed_transcript", "text": text}]
        if len(self._words) > before:
            return [{"message_type": "partial_transcript", "text": " ".join(self._words)}]
        return []

    def _hear(self, value: int) -> None:
        self._quiet_s = 0.0 if value else self._quiet_s + 0.01
        if value and value != self._last_value:
            self._words.append(WORDS[value])
        self._last_value = value


class _Refused(Exception):
    def __init__(self, response: web.Response) -> None:
        self.response = response
        super().__init__(response.status)


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    return web.json_response({"detail": {"status": code, "message": message}}, status=status, headers=headers)


async def refuse(socket: web.WebSocketResponse, name: str, message: str) -> None:
    """multi-stream-input takes the connection, then says what is wrong and closes with 1008."""
    await socket.send_json({"message": message, "error": name, "code": 1008})
    await socket.close(code=1008, message=message.encode()[:120])


def parsed(message: WSMessage) -> dict[str, Any]:
    assert message.type is WSMsgType.TEXT
    command = json.loads(message.data)
    assert set(command) <= {"message_type", "audio_base_64", "commit", "sample_rate", "previous_text"}
    assert command["sample_rate"] == 16_000
    return dict(command)


def check_speech(voice: str, query: Mapping[str, str]) -> tuple[str, str] | None:
    if unknown := sorted(set(query) - SPEECH_PARAMETERS):
        return "invalid_parameters", f"Unknown parameter {unknown[0]}."
    if voice not in VOICES:
        return "voice_not_found", f"A voice with voice_id {voice} does not exist."
    if query.get("model_id") not in SPEECH_MODELS:
        return "model_not_found", f"A model with model ID {query.get('model_id')} does not exist."
    if "language_code" in query and not query["model_id"].endswith("_v2_5"):
        return "unsupported_language", f"Model {query['model_id']} does not support the parameter language_code."
    if not 1 <= int(query.get("inactivity_timeout", "20")) <= 180:
        return "invalid_parameters", "inactivity_timeout must be at most 180."
    if query.get("output_format") != "pcm_24000":
        return "invalid_parameters", "this fake has pcm_24000 only"
    return None


def check_command(command: dict[str, Any], contexts: Mapping[str, object]) -> tuple[str, str] | None:
    name = command.get("context_id")
    if command.get("close_context"):
        return None if name in contexts else ("invalid_context", f"Context {name} does not exist.")
    if name not in contexts:
        if command.get("text") != " ":
            return "invalid_message", "A context begins with a single space."
        if len(contexts) >= MOST_CONTEXTS:
            return "max_contexts_exceeded", f"At most {MOST_CONTEXTS} contexts are allowed."
        stability = command.get("voice_settings", {}).get("stability", 0.5)
        if not 0 <= stability <= 1:
            return "invalid_voice_settings", "stability must be between 0 and 1."
        return None
    if "voice_settings" in command:
        return "invalid_message", "voice_settings can only be provided in the first message."
    if not command.get("text", "").endswith(" "):
        return "invalid_message", "text should end with a single space."
    return None


def check_recognition(query: dict[str, list[str]]) -> str:
    """Why ElevenLabs refuses these parameters; empty when it does not."""
    if query.get("model_id") != ["scribe_v2_realtime"]:
        return f"Model {query.get('model_id', [''])[0]} is not available for realtime."
    if query.get("audio_format") != ["pcm_16000"] or query.get("commit_strategy") not in (["manual"], ["vad"]):
        return "invalid audio_format or commit_strategy"
    if len(query.get("language_code", ["en"])[0]) not in (2, 3):
        return "language_code must be ISO 639-1 or ISO 639-3."
    if len(query.get("keyterms", [])) > 50 or any(len(term) > 20 for term in query.get("keyterms", [])):
        return "At most 50 keyterms of 20 characters."
    return ""


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
async def elevenlabs_server() -> AsyncIterator[ElevenLabsServer]:
    server = ElevenLabsServer()
    app = web.Application(middlewares=[_refusals])
    app.router.add_get("/v2/voices", server.voices)
    app.router.add_get("/v1/text-to-speech/{voice}/multi-stream-input", server.speak)
    app.router.add_get("/v1/speech-to-text/realtime", server.recognize)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
