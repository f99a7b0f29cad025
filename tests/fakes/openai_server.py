"""A local server that speaks OpenAI's HTTP interface: what it takes, refuses and sends is what api.openai.com does.

Answers are scripted per test; every request is kept, so that tests can assert on exactly what was sent.
"""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-test-key"
MODELS = {"gpt-4.1-mini", "gpt-4o-mini-transcribe", "whisper-1", "gpt-4o-mini-tts", "tts-1", "qwen3-32b"}
VOICES = {"alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"}
CHAT_MEMBERS = {
    "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "max_completion_tokens", "max_tokens",
    "temperature", "reasoning_effort", "stream", "stream_options", "top_p", "seed", "service_tier", "user",
    "web_search_options",
}  # fmt: skip


class Refusal(Exception):
    """An error answer, in OpenAI's envelope."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        kind = {401: "invalid_request_error", 429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        self.response = web.json_response(body, status=status, headers=dict(headers or {}))
        super().__init__(message)


@dataclass(kw_only=True)
class Answer:
    """A streamed completion. `raw` replaces the events that `chunks` would make."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    raw: bytes | None = None
    piece_bytes: int = 11  # SSE lines, JSON escapes and UTF-8 letters are all cut in two
    gap_s: float = 0.0  # between events
    keep_alives: int = 0  # comments before the first event
    keep_alive_gap_s: float = 0.05
    hang_after: int | None = None  # events; then only silence
    cut_after: int | None = None  # events; then the connection is reset
    done: bool = True  # whether `data: [DONE]` closes it
    error: Refusal | None = None


@dataclass(kw_only=True)
class Recorded:
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class OpenAIServer:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Recorded] = []
        self.answers: deque[Answer] = deque()
        self.transcript = "hello there"
        self.sound = bytes(range(256)) * 100
        self.sound_gap_s = 0.0
        self.lists_models = True
        self.list_s = 0.0  # how long that takes
        self.failures: deque[Refusal] = deque()  # each answers one request of any kind
        self.open_streams = 0
        self.most_streams = 0
        self.aborted = asyncio.Event()  # a client left in mid-answer
        self.connections: set[Any] = set()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.requests]

    async def models(self, request: web.Request) -> web.StreamResponse:
        """Of a server that keeps a list."""
        self._record(request, {})
        await asyncio.sleep(self.list_s)
        if not self.lists_models:
            raise Refusal(404, "Not Found")
        common = {"object": "model", "created": 1, "owned_by": "openai"}
        return web.json_response({"object": "list", "data": [{"id": name, **common} for name in sorted(MODELS)]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._record(request, body)
        check_chat(body)
        answer = self.answers.popleft() if self.answers else Answer(chunks=text_chunks("Hello."))
        if answer.error is not None:
            raise answer.error
        return await self._stream(request, answer, usage=body.get("stream_options", {}).get("include_usage", False))

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload = form.get("file")
        if not isinstance(upload, web.FileField):
            raise Refusal(400, "you must provide a file parameter")
        body: dict[str, Any] = {name: str(value) for name, value in form.items() if name != "file"}
        with upload.file as file:
            data = file.read()
        with wave.open(io.BytesIO(data)) as sound:
            body["wav"] = [sound.getnchannels(), sound.getsampwidth(), sound.getframerate(), sound.getnframes()]
            if sound.getnframes() < sound.getframerate() / 10:
                raise Refusal(400, "Audio file is too short. Minimum audio length is 0.1 seconds.", "audio_too_short")
        self._record(request, body)
        check_model(body)
        if len(str(body.get("language", "en"))) != 2:
            raise Refusal(400, "Language parameter must be specified in ISO-639-1 format.", "invalid_language_format")
        await asyncio.sleep(self.sound_gap_s)
        return web.json_response({"text": self.transcript})

    async def speak(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._record(request, body)
        check_model(body)
        check_speech(body)
        response = web.StreamResponse(headers={"content-type": "audio/pcm"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        with self._streaming():
            for at in range(0, len(self.sound), 1023):  # odd: samples are cut in two
                await response.write(self.sound[at : at + 1023])
                await asyncio.sleep(self.sound_gap_s)
        await response.write_eof()
        return response

    def _record(self, request: web.Request, body: dict[str, Any]) -> None:
        self.requests.append(Recorded(path=request.path, headers=request.headers, body=body))
        self.connections.add(request.transport)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, "Incorrect API key provided: sk-****.", "invalid_api_key")
        if self.failures:
            raise self.failures.popleft()

    async def _stream(self, request: web.Request, answer: Answer, *, usage: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        with self._streaming():
            for _ in range(answer.keep_alives):
                await response.write(b": keep-alive\n\n")
                await asyncio.sleep(answer.keep_alive_gap_s)
            for number, event in enumerate(events(answer, usage=usage)):
                if number == answer.hang_after:
                    await asyncio.sleep(3600)
                if number == answer.cut_after:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
                for at in range(0, len(event), answer.piece_bytes):
                    await response.write(event[at : at + answer.piece_bytes])
                    await asyncio.sleep(0)
                await asyncio.sleep(answer.gap_s)
        await response.write_eof()
        return response

    def _streaming(self) -> _Streaming:
        return _Streaming(self)


class _Streaming:
    """Counts open answers, and notes when a client leaves in the middle of one."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server

    def __enter__(self) -> None:
        self._server.open_streams += 1
        self._server.most_streams = max(self._server.most_streams, self._server.open_streams)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.open_streams -= 1
        if kind is not None:
            self._server.aborted.set()


def events(answer: Answer, *, usage: bool) -> list[bytes]:
    """The server-sent events of an answer."""
    if answer.raw is not None:
        return [answer.raw]
    chunks = list(answer.chunks)
    if usage:
        counts = {"prompt_tokens": 21, "completion_tokens": 7, "total_tokens": 28}
        chunks.append({"choices": [], "usage": {**counts, "prompt_tokens_details": {"cached_tokens": 4}}})
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1-mini"}
    lines = [json.dumps({**common, **chunk}, ensure_ascii=False) for chunk in chunks]
    return [f"data: {line}\n\n".encode() for line in [*lines, *(["[DONE]"] if answer.done else [])]]


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def text_chunks(*pieces: str, finish: str | None = "stop") -> list[dict[str, Any]]:
    """A role first, then the pieces, then the end, as OpenAI does it."""
    head = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    return [*head, chunk({}, finish)] if finish else head


def tool_chunks(*fragments: tuple[int, str | None, str | None, str]) -> list[dict[str, Any]]:
    """Fragments of tool calls: index, id and name (in a call's first only), arguments."""
    calls = [
        {"index": index, "function": {"arguments": arguments, **({"name": name} if name else {})},
         **({"id": call_id, "type": "function"} if call_id else {})}
        for index, call_id, name, arguments in fragments
    ]  # fmt: skip
    return [
        chunk({"role": "assistant", "content": None}),
        *(chunk({"tool_calls": [call]}) for call in calls),
        chunk({}, "tool_calls"),
    ]


def check_model(body: dict[str, Any]) -> None:
    if body.get("model") not in MODELS:
        model = body.get("model")
        raise Refusal(404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found")


def check_chat(body: dict[str, Any]) -> None:
    check_model(body)
    if unknown := sorted(set(body) - CHAT_MEMBERS):
        raise Refusal(400, f"Unrecognized request argument supplied: {unknown[0]}")
    if not body.get("messages"):
        raise Refusal(400, "Invalid 'messages': empty array.", "empty_array")
    if not 0 <= body.get("temperature", 1) <= 2:
        raise Refusal(400, "Invalid 'temperature': decimal above maximum value.", "decimal_above_max_value")
    for member in ("tool_choice", "parallel_tool_calls"):
        if member in body and not body.get("tools"):
            raise Refusal(400, f"Invalid value for '{member}': it is only allowed when 'tools' are specified.")
    if body.get("stream_options") and not body.get("stream"):
        raise Refusal(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    for tool in body.get("tools", []):
        if tool.get("type") != "function" or not tool.get("function", {}).get("name"):
            raise Refusal(400, "Missing required parameter: 'tools[0].function.name'.", "missing_required_parameter")
    check_messages(body["messages"])


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Tool messages answer the calls of the assistant message before them, and every call is answered."""
    open_calls: set[str] = set()
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in {"system", "developer", "user", "assistant", "tool"}:
            raise Refusal(400, f"Invalid value: '{role}'.", "invalid_value")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise Refusal(
                    400, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                )
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Refusal(400, "An assistant message with 'tool_calls' must be followed by tool messages.")
        open_calls = {call["id"] for call in message.get("tool_calls", [])}
        if content is None and not open_calls:
            raise Refusal(400, "Invalid value for 'content': expected a string, got null.")
    if open_calls:
        raise Refusal(400, "An assistant message with 'tool_calls' must be followed by tool messages.")


def check_speech(body: dict[str, Any]) -> None:
    if not 1 <= len(body.get("input", "")) <= 4096:
        raise Refusal(400, "Invalid 'input': string too long.", "string_above_max_length")
    if body.get("voice") not in VOICES:
        raise Refusal(400, f"Invalid value: '{body.get('voice')}'. Supported values are: 'alloy', ...", "invalid_value")
    if body.get("response_format") != "pcm":
        raise Refusal(400, "this fake has pcm only")
    if not 0.25 <= body.get("speed", 1) <= 4:
        raise Refusal(400, "Invalid 'speed'.")
    if body.get("instructions") and body["model"].startswith("tts-1"):
        raise Refusal(400, "Instructions are not supported with this model.")


@web.middleware
async def _refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except Refusal as refusal:
        return refusal.response
    return response


@asynccontextmanager
async def openai_server() -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer()
    app = web.Application(middlewares=[_refusals])
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/audio/transcriptions", server.transcribe)
    app.router.add_post("/v1/audio/speech", server.speak)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
