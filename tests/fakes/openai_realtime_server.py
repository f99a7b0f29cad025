"""A local server that speaks OpenAI's Realtime API: what it takes, refuses and sends is what api.openai.com does.

It keeps a conversation for real: items have their order, names must be free or known, sound can be truncated only to
what there is. It hears by loudness. What it understands (`transcripts`) and answers (`answers`) is scripted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

KEY = "sk-test-key"
MODELS = {"gpt-realtime-2.1", "gpt-realtime"}
TONE_HZ = 440
VOICES = {"marin": TONE_HZ, "cedar": 620, "alloy": 300}
"""Each voice's one tone."""
SESSION_MEMBERS = {
    "type", "output_modalities", "instructions", "audio", "tools", "tool_choice", "max_output_tokens", "model",
    "include", "prompt", "tracing", "truncation", "parallel_tool_calls", "reasoning",
}  # fmt: skip
RESPONSE_MEMBERS = {
    "metadata", "instructions", "conversation", "input", "tools", "tool_choice", "output_modalities", "audio",
    "max_output_tokens",
}  # fmt: skip
RATE = 24_000
BYTES_PER_S = 2 * RATE
LETTERS_PER_S = 15
LOUD = 300  # of 32,767: from this level on it is speech


class Refusal(Exception):
    """An `error` event."""

    def __init__(self, message: str, code: str | None = None, kind: str = "invalid_request_error") -> None:
        self.error = {"type": kind, "code": code, "message": message, "param": None}
        super().__init__(message)


@dataclass(kw_only=True)
class Answer:
    """A scripted response: words, then calls as (name, arguments, call_id)."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    gap_s: float = 0.0  # between pieces of sound
    first_s: float = 0.0  # until the first of anything
    words_late_s: float = 0.0  # the transcript comes so much after its sound
    cut_after: int | None = None  # pieces of sound; then the connection is reset
    hang_after: int | None = None  # pieces of sound; then nothing
    fail: dict[str, Any] | None = None  # status_details.error of a response that failed
    status: str = "completed"


@dataclass(kw_only=True)
class Item:
    body: dict[str, Any]
    sound_s: float = 0.0

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def told(self) -> tuple[str, str]:
        """(role or type, text)"""
        body = self.body
        if body["type"] != "message":
            return body["type"], body.get("output") or f"{body.get('name')} {body.get('arguments')}"
        (part,) = body["content"] or [{}]
        return body["role"], part.get("text") or part.get("transcript") or ""


@dataclass(kw_only=True)
class Session:
    """One connection."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    received: list[dict[str, Any]] = field(default_factory=list)  # but for sound
    settings: dict[str, Any] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)  # all sound
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [item.told for item in self.items]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.received]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.received if event["type"] == kind]


class RealtimeServer:
    def __init__(self) -> None:
        self.url = ""
        self.sessions: list[Session] = []
        self.answers: deque[Answer] = deque()
        self.transcripts: deque[str | None] = deque()  # None: it fails
        self.transcript_s = 0.02  # how long one takes
        self.longest_s: float | None = None  # a session's life
        self.refusals: deque[web.Response] = deque()  # each answers one handshake
        self.limits: list[dict[str, Any]] = [{"name": "tokens", "limit": 9, "remaining": 5, "reset_seconds": 1.5}]
        self.changed = asyncio.Condition()
        self.sockets: set[web.WebSocketResponse] = set()

    @property
    def session(self) -> Session:
        return self.sessions[-1]

    async def until(self, true: Any, within_s: float = 5.0) -> None:
        """Waits until something has arrived."""
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(true)

    async def drop(self) -> None:
        """Resets every connection."""
        for socket in list(self.sockets):
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

    def stall(self) -> None:
        """Reads nothing more; the connections stay."""
        for socket in self.sockets:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.pause_reading()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        if self.refusals:
            return self.refusals.popleft()
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "Incorrect API key provided: sk-****.", "invalid_api_key")
        if request.query.get("model") not in MODELS:
            return refusal(404, "The model does not exist or you do not have access to it.", "model_not_found")
        socket = web.WebSocketResponse(max_msg_size=15 * 2**20)
        await socket.prepare(request)
        session = Session(query=dict(request.query), headers=request.headers)
        self.sessions.append(session)
        self.sockets.add(socket)
        try:
            async with asyncio.TaskGroup() as tasks:
                speaker = _Speaker(self, session, socket, request, tasks)
                await speaker.run()
                for task in speaker.tasks:
                    task.cancel()
        except* ConnectionResetError:
            pass
        finally:
            self.sockets.discard(socket)
            session.ended.set()
        return socket


class _Speaker:
    """Serves one connection."""

    def __init__(
        self,
        server: RealtimeServer,
        session: Session,
        socket: web.WebSocketResponse,
        request: web.Request,
        group: asyncio.TaskGroup,
    ) -> None:
        self._server = server
        self._session = session
        self._socket = socket
        self._request = request
        self._group = group
        self._events = 0
        self._names = 0
        self._buffer = bytearray()
        self._ears = _Ears()
        self._active: dict[str, asyncio.Task[None]] = {}  # responses by id
        self._default: str | None = None  # the one in the conversation
        self._spoken = ""  # the voice that it has spoken with
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        self._session.settings = {"type": "realtime", "model": self._session.query["model"]}
        await self._send("session.created", session={"id": self._name("sess"), **self._session.settings})
        longest_s = self._server.longest_s
        deadline = None if longest_s is None else asyncio.get_running_loop().time() + longest_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._serve()
        except TimeoutError:
            message = "Your session hit the maximum duration of 60 minutes."
            await self._refuse(Refusal(message, "session_expired"), None)
            await self._socket.close(code=1001)

    async def _serve(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                return
            event = json.loads(message.data)
            if event.get("type") != "input_audio_buffer.append":
                self._session.received.append(event)
            try:
                await self._take(event)
            except Refusal as refused:
                await self._refuse(refused, event.get("event_id"))
            async with self._server.changed:
                self._server.changed.notify_all()

    async def _take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "session.update":
                check_session(event["session"])
                if self._spoken and voice_of(event["session"]) != self._spoken:
                    message = "Cannot update a conversation's voice if assistant audio is present."
                    raise Refusal(message, "cannot_update_voice")
                self._session.settings |= event["session"]
                await self._send("session.updated", session=self._session.settings)
            case "input_audio_buffer.append":
                await self._hear(base64.b64decode(event["audio"]))
            case "input_audio_buffer.commit":
                if len(self._buffer) < 0.1 * BYTES_PER_S:
                    text = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio."
                    raise Refusal(text, "input_audio_buffer_commit_empty")
                await self._commit()
            case "input_audio_buffer.clear":
                self._buffer.clear()
                await self._send("input_audio_buffer.cleared")
            case "conversation.item.create":
                await self._create(event)
            case "conversation.item.delete":
                self._session.items.remove(self._item(event["item_id"], "item_delete_invalid_item_id"))
                await self._send("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.truncate":
                await self._truncate(event)
            case "response.create":
                await self._respond(event.get("response") or {})
            case "response.cancel":
                await self._cancel(event.get("response_id") or self._default)
            case other:
                raise Refusal(f"Invalid value: '{other}'.", "invalid_value")

    # The caller.

    async def _hear(self, data: bytes) -> None:
        if len(data) % 2:
            raise Refusal("Invalid 'audio'. Expected base64-encoded mono PCM16.", "invalid_value")
        self._session.heard += data
        self._buffer += data
        detection = self._session.settings.get("audio", {}).get("input", {}).get("turn_detection")
        if detection is None:
            return
        silence_s = detection.get("silence_duration_ms", 500) / 1000
        for began, at_s in self._ears.hear(data, silence_s):
            name = self._ears.item = self._ears.item or self._name("item")
            if began:
                await self._send("input_audio_buffer.speech_started", audio_start_ms=round(at_s * 1000), item_id=name)
            else:
                await self._send("input_audio_buffer.speech_stopped", audio_end_ms=round(at_s * 1000), item_id=name)
                await self._commit()

    async def _commit(self) -> None:
        name, self._ears.item = self._ears.item or self._name("item"), ""
        seconds = len(self._buffer) / BYTES_PER_S
        self._buffer.clear()
        content = [{"type": "input_audio", "transcript": None}]
        before = self._session.items[-1].id if self._session.items else None
        item = Item(body={"id": name, "type": "message", "role": "user", "content": content}, sound_s=seconds)
        self._session.items.append(item)
        await self._send("input_audio_buffer.committed", previous_item_id=before, item_id=name)
        await self._send("conversation.item.added", previous_item_id=before, item=item.body)
        self._start(self._transcribe(item))

    async def _transcribe(self, item: Item) -> None:
        text = self._server.transcripts.popleft() if self._server.transcripts else "hello"
        await asyncio.sleep(self._server.transcript_s)
        about = {"item_id": item.id, "content_index": 0}
        if text is None:
            error = {"type": "server_error", "code": None, "message": "Transcription failed.", "param": None}
            await self._send("conversation.item.input_audio_transcription.failed", **about, error=error)
            return
        for word in text.split(" "):
            await self._send("conversation.item.input_audio_transcription.delta", **about, delta=word + " ")
        item.body["content"][0]["transcript"] = text
        await self._send("conversation.item.input_audio_transcription.completed", **about, transcript=text)

    # Items.

    def _item(self, name: str, code: str) -> Item:
        for item in self._session.items:
            if item.id == name:
                return item
        raise Refusal(f"Item with item_id '{name}' was not found.", code)

    async def _create(self, event: dict[str, Any]) -> None:
        body = {"status": "completed", "object": "realtime.item", **event["item"]}
        check_item(body, self._session.items)
        after = event.get("previous_item_id")
        at = len(self._session.items)
        if after == "root":
            at = 0
        elif after is not None:
            at = self._session.items.index(self._item(after, "item_create_invalid_previous_item_id")) + 1
        self._session.items.insert(at, Item(body=body))
        await self._send("conversation.item.added", previous_item_id=after, item=body)
        await self._send("conversation.item.done", previous_item_id=after, item=body)

    async def _truncate(self, event: dict[str, Any]) -> None:
        item = self._item(event["item_id"], "item_truncate_invalid_item_id")
        if item.body.get("role") != "assistant":
            raise Refusal("Only model output audio messages can be truncated.", "invalid_value")
        if event["audio_end_ms"] > item.sound_s * 1000 + 1e-6:
            message = f"Audio content of {item.sound_s * 1000:.0f}ms is already shorter than {event['audio_end_ms']}ms"
            raise Refusal(message, "invalid_value")
        item.sound_s = event["audio_end_ms"] / 1000
        item.body["content"] = [{"type": "output_audio", "transcript": None}]
        about = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        await self._send("conversation.item.truncated", **about)

    # Responses.

    async def _respond(self, wanted: dict[str, Any]) -> None:
        if unknown := sorted(set(wanted) - RESPONSE_MEMBERS):
            raise Refusal(f"Unknown parameter: 'response.{unknown[0]}'.", "unknown_parameter")
        apart = wanted.get("conversation") == "none"
        if self._default is not None and not apart:
            text = f"Conversation already has an active response in progress: {self._default}."
            raise Refusal(text, "conversation_already_has_active_response")
        name = self._name("resp")
        if not apart:
            self._default = name
        self._active[name] = self._start(self._answer(name, wanted, apart=apart))
        await asyncio.sleep(0)  # it has begun before it can be cancelled

    async def _cancel(self, name: str | None) -> None:
        task = self._active.get(name or "")
        if task is None:
            raise Refusal("Cancellation failed: no active response found", "response_cancel_not_active")
        task.cancel()

    async def _answer(self, name: str, wanted: dict[str, Any], *, apart: bool) -> None:
        answer = self._script(wanted)
        about = {"id": name, "object": "realtime.response", "metadata": wanted.get("metadata"), "output": []}
        await self._send("response.created", response={**about, "status": "in_progress", "usage": None})
        await self._send("rate_limits.updated", rate_limits=self._server.limits)
        status, details = answer.status, None
        try:
            await asyncio.sleep(answer.first_s)
            if answer.fail is not None:
                status, details = "failed", {"type": "failed", "error": answer.fail}
            else:
                await self._output(name, answer, apart=apart)
        except asyncio.CancelledError:
            status, details = "cancelled", {"type": "cancelled", "reason": "client_cancelled"}
        self._active.pop(name, None)
        if self._default == name:
            self._default = None
        usage = {
            "total_tokens": 30, "input_tokens": 20, "output_tokens": 10,
            "input_token_details": {"cached_tokens": 5, "text_tokens": 8, "audio_tokens": 12},
        }  # fmt: skip
        done = {**about, "status": status, "status_details": details, "usage": usage}
        await self._send("response.done", response=done)

    def _script(self, wanted: dict[str, Any]) -> Answer:
        """What is to be said word for word is said so, whatever the script says."""
        said = str(wanted.get("instructions") or "").partition("<say>")[2].partition("</say>")[0]
        if said:
            return Answer(text=said)
        return self._server.answers.popleft() if self._server.answers else Answer(text="Hello.")

    async def _output(self, name: str, answer: Answer, *, apart: bool) -> None:
        index = 0
        if answer.text:
            await self._message(name, answer, apart=apart)
            index += 1
        for call_name, arguments, call_id in answer.calls:
            body = {"id": self._name("item"), "type": "function_call", "call_id": call_id, "name": call_name}
            about = {"response_id": name, "output_index": index}
            begun = {**body, "arguments": "", "status": "in_progress"}
            await self._send("response.output_item.added", **about, item=begun)
            item = {**body, "arguments": arguments, "status": "completed"}
            told = {**about, "item_id": body["id"], "call_id": call_id}
            await self._send("response.function_call_arguments.delta", **told, delta=arguments)
            await self._send("response.function_call_arguments.done", **told, name=call_name, arguments=arguments)
            await self._send("response.output_item.done", **about, item=item)
            self._session.items.append(Item(body=item))
            index += 1

    async def _message(self, name: str, answer: Answer, *, apart: bool) -> None:
        speaks = self._session.settings.get("output_modalities") != ["text"]
        kind = "output_audio" if speaks else "output_text"
        item = Item(body={"id": self._name("item"), "type": "message", "role": "assistant", "content": []})
        about = {"response_id": name, "output_index": 0}
        await self._send("response.output_item.added", **about, item={**item.body, "status": "in_progress"})
        if not apart:
            self._session.items.append(item)
        told = {**about, "item_id": item.id, "content_index": 0}
        await self._send("response.content_part.added", **told, part={"type": kind})
        item.body["content"] = [{"type": kind, "transcript" if speaks else "text": answer.text}]
        status = "incomplete"
        try:
            if speaks:
                await self._speak(item, answer, told)
            else:
                for word in words_of(answer.text):
                    await self._send("response.output_text.delta", **told, delta=word)
                    await asyncio.sleep(answer.gap_s)
            status = "completed"
        finally:
            await self._send("response.output_item.done", **about, item={**item.body, "status": status})

    async def _speak(self, item: Item, answer: Answer, told: dict[str, Any]) -> None:
        """A piece of sound a word; the words go ahead of it, or come late."""
        words = list(words_of(answer.text))
        if not answer.words_late_s:
            for word in words:
                await self._send("response.output_audio_transcript.delta", **told, delta=word)
        for number, word in enumerate(words):
            if number == answer.cut_after:
                assert self._request.transport is not None
                self._request.transport.abort()
                raise ConnectionResetError
            if number == answer.hang_after:
                await asyncio.sleep(3600)
            self._spoken = voice_of(self._session.settings)
            data = tone(len(word) / LETTERS_PER_S, VOICES[self._spoken])
            item.sound_s += len(data) / BYTES_PER_S
            await self._send("response.output_audio.delta", **told, delta=base64.b64encode(data).decode())
            await asyncio.sleep(answer.gap_s)
        if answer.words_late_s:
            await asyncio.sleep(answer.words_late_s)
            for word in words:
                await self._send("response.output_audio_transcript.delta", **told, delta=word)
        await self._send("response.output_audio.done", **told)
        await self._send("response.output_audio_transcript.done", **told, transcript=answer.text)

    # The wire.

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._group.create_task(work)
        self.tasks.append(task)
        return task

    async def _refuse(self, refused: Refusal, event_id: str | None) -> None:
        error = {**refused.error, "event_id": event_id}
        self._session.errors.append(error)
        await self._send("error", error=error)

    async def _send(self, kind: str, **members: Any) -> None:
        self._events += 1
        await self._socket.send_json({"type": kind, "event_id": f"event_{self._events}", **members})

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}_{len(self._server.sessions)}_{self._names}"


class _Ears:
    """Loudness in steps of 20 ms; speech begins with 60 ms of it."""

    STEP = 2 * RATE // 50

    def __init__(self) -> None:
        self._rest = b""
        self._loud = 0
        self._position = 0  # steps
        self._last_loud = 0
        self._speaking = False
        self.item = ""  # the name that the utterance will have

    def hear(self, data: bytes, silence_s: float) -> Iterator[tuple[bool, float]]:
        """(begins, or ends; where, with the silence)"""
        data = self._rest + data
        whole = len(data) - len(data) % self.STEP
        self._rest = data[whole:]
        for at in range(0, whole, self.STEP):
            self._position += 1
            step = data[at : at + self.STEP]
            loud = max(abs(int.from_bytes(step[n : n + 2], "little", signed=True)) for n in range(0, self.STEP, 64))
            self._loud = self._loud + 1 if loud >= LOUD else 0
            if self._loud:
                self._last_loud = self._position
            if self._loud == 3 and not self._speaking:
                self._speaking = True
                yield True, (self._position - 3) * 0.02
            elif self._speaking and (self._position - self._last_loud) * 0.02 >= silence_s - 1e-9:
                self._speaking = False
                yield False, self._position * 0.02


def words_of(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split(" ")):
        yield word if number == 0 else f" {word}"


def tone(seconds: float, hertz: float = TONE_HZ) -> bytes:
    samples = round(seconds * RATE)
    sound = (round(8_000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(samples))
    return b"".join(value.to_bytes(2, "little", signed=True) for value in sound)


def voice_of(session: dict[str, Any]) -> str:
    return str(session.get("audio", {}).get("output", {}).get("voice", "marin"))


def check_session(session: dict[str, Any]) -> None:
    if session.get("type") != "realtime":
        raise Refusal("Missing required parameter: 'session.type'.", "missing_required_parameter")
    if unknown := sorted(set(session) - SESSION_MEMBERS):
        raise Refusal(f"Unknown parameter: 'session.{unknown[0]}'.", "unknown_parameter")
    if session.get("output_modalities") not in (None, ["audio"], ["text"]):
        raise Refusal("Invalid modalities. Supported combinations are: ['text'] and ['audio'].", "invalid_value")
    audio = session.get("audio", {})
    for side in audio.values():
        if side.get("format") not in (None, {"type": "audio/pcm", "rate": RATE}):
            raise Refusal("Invalid value for 'session.audio.format'.", "invalid_value")
    if voice_of(session) not in VOICES:
        raise Refusal("Invalid value for 'session.audio.output.voice'.", "invalid_value")
    language = (audio.get("input", {}).get("transcription") or {}).get("language", "en")
    if len(language) not in (2, 3):
        raise Refusal("Invalid value for 'session.audio.input.transcription.language'.", "invalid_value")
    detection = audio.get("input", {}).get("turn_detection")
    if detection is not None and detection.get("type") not in ("server_vad", "semantic_vad"):
        raise Refusal("Invalid value for 'session.audio.input.turn_detection.type'.", "invalid_value")
    for tool in session.get("tools", ()):
        if set(tool) - {"type", "name", "description", "parameters"} or tool.get("type") != "function":
            raise Refusal("Unknown parameter in 'session.tools[0]'.", "unknown_parameter")


def check_item(body: dict[str, Any], items: list[Item]) -> None:
    if len(body.get("id", "")) > 32:
        raise Refusal("Invalid 'item.id': string too long. Expected at most 32 characters.", "string_above_max_length")
    if any(item.id == body.get("id") for item in items):
        raise Refusal(f"Item with id '{body['id']}' already exists.", "item_create_duplicate_item_id")
    if body["type"] == "function_call_output":
        if not any(item.body.get("call_id") == body["call_id"] for item in items):
            raise Refusal(f"Tool call ID '{body['call_id']}' not found in conversation.", "invalid_tool_call_id")
    elif body["type"] == "message":
        wanted = {"user": "input_text", "system": "input_text", "assistant": "output_text"}[body["role"]]
        if any(part["type"] != wanted for part in body["content"]):
            raise Refusal(f"Invalid value for 'item.content[0].type': use '{wanted}'.", "invalid_value")
    elif body["type"] != "function_call":
        raise Refusal(f"Invalid value: '{body['type']}'.", "invalid_value")


def refusal(status: int, message: str, code: str, **headers: str) -> web.Response:
    """An answer as OpenAI gives it in place of 101."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


@asynccontextmanager
async def realtime_server() -> AsyncIterator[RealtimeServer]:
    server = RealtimeServer()
    app = web.Application()
    app.router.add_get("/v1/realtime", server.connect)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
