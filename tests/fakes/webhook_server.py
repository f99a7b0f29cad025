"""A webhook endpoint that answers as it is told, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Behaviour = Callable[["Received", web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came: `body` are the exact bytes."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class WebhookServer:
    """`script`: one behaviour a request; when it is used up, `default`."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    script: deque[Behaviour] = field(default_factory=deque)
    default: Behaviour = field(default_factory=lambda: respond({"ok": True}))
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def then(self, *behaviours: Behaviour) -> WebhookServer:
        self.script.extend(behaviours)
        return self

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        received = Received(
            method=request.method,
            path=request.path_qs,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        self.received.append(received)
        self.arrived.set()
        behaviour = self.script.popleft() if self.script else self.default
        return await behaviour(received, request)


def respond(
    value: Any = None,
    *,
    status: int = 200,
    text: str | None = None,
    body: bytes | None = None,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    async def behaviour(_received: Received, _request: web.Request) -> web.StreamResponse:
        content = body if body is not None else (text if text is not None else json.dumps(value)).encode()
        kind = content_type or ("application/json" if text is None and body is None else "text/plain")
        return web.Response(status=status, body=content, headers={"content-type": kind, **(headers or {})})

    return behaviour


def hang() -> Behaviour:
    """Never answers."""

    async def behaviour(_received: Received, _request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    return behaviour


def drip(chunk: bytes = b"x", interval_s: float = 0.05) -> Behaviour:
    """Headers at once, and then a body that does not end."""

    async def behaviour(_received: Received, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(chunk)
            await asyncio.sleep(interval_s)

    return behaviour


def reset() -> Behaviour:
    """Reads the request and closes the connection."""

    async def behaviour(_received: Received, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.Event().wait()
        raise AssertionError

    return behaviour


def gzip_bomb(size: int = 64 * 1024 * 1024) -> Behaviour:
    """A small body that unpacks to `size` bytes."""
    return respond(
        body=gzip.compress(bytes(size)), content_type="application/json", headers={"content-encoding": "gzip"}
    )


@asynccontextmanager
async def webhook_server() -> AsyncIterator[WebhookServer]:
    """A server on a loopback port of its own."""
    server = WebhookServer()
    application = web.Application(client_max_size=8 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
