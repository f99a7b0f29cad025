"""The admin server: puts health, figures, API, token endpoint and talk page behind their guards."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from agentd.admin.agents import AgentsApi
from agentd.admin.api import Api
from agentd.admin.approvals import ApprovalsApi
from agentd.admin.callbacks import Callbacks
from agentd.admin.deeds import Audit, asking, recording
from agentd.admin.described import Minting
from agentd.admin.dispatches import Dispatch, DispatchesApi
from agentd.admin.events import EventStream
from agentd.admin.fleet import FleetApi
from agentd.admin.guards import CALLBACKS, host_allowed, is_open, origin_allowed
from agentd.admin.health import Health
from agentd.admin.history import HistoryApi
from agentd.admin.metrics import Metrics
from agentd.admin.openapi import openapi
from agentd.admin.problems import Refused, problem
from agentd.admin.rate import RateLimit
from agentd.admin.roles import LOCAL, known, needed
from agentd.admin.settings import AdminSettings, TokenEndpointSettings, check_bind, parse_addr
from agentd.admin.talk import TalkPage
from agentd.admin.token_endpoint import PATHS as TOKEN_PATHS
from agentd.admin.token_endpoint import TokenEndpoint
from agentd.admin.tools import ToolsApi
from agentd.aio import now
from agentd.config.agent_files import AgentFiles
from agentd.runtime.event_ring import EventRing
from agentd.runtime.status import Daemon, Measure, MeasureSink

MAX_BODY_BYTES = 256 * 1024
CLOSE_WITHIN_S = 2.0
BACKLOG = 128
BURST_S = 2.0  # of requests at once, after a pause
GUESSES = 20.0  # of tokens, at once; then so many a second
GUESSES_PER_S = 1.0
UNNAMED = frozenset({"/", "/livez"})  # probes come under any Host, and these answers tell nothing


@asynccontextmanager
async def serve_admin(
    daemon: Daemon,
    settings: AdminSettings,
    metrics: Metrics,
    token_endpoint: TokenEndpointSettings | None = None,
    audit: Audit | None = None,
    agent_files: AgentFiles | None = None,
    dispatch: Dispatch | None = None,
    listening: list[socket.socket] | None = None,
) -> AsyncIterator[str]:
    """Serves until the block ends; gives the bound HOST:PORT. `audit` keeps what operators did; `agent_files` are where
    agents come from; `dispatch` calls them into rooms.

    `listening`: sockets that listen already, of which those at the address are used; holds all that are, afterwards.

    Raises UnsafeBind for an address that may not be or cannot be read, OSError for one that is taken.
    """
    check_bind(settings)
    host, port = parse_addr(settings.addr)
    metrics.follow(daemon)
    application = admin_application(daemon, settings, metrics, token_endpoint, audit, agent_files, dispatch)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_WITHIN_S)
    await runner.setup()
    try:
        handed = [] if listening is None else listening
        sockets = _at(handed, host, port) or await asyncio.to_thread(_listen, host, port)
        for unused in set(handed) - set(sockets):
            unused.close()
        handed[:] = sockets
        for each in sockets:
            await web.SockSite(runner, each).start()
        yield _bound(runner)
    finally:
        await runner.cleanup()


def _at(listening: Sequence[socket.socket], host: str, port: int) -> list[socket.socket]:
    """Those of an earlier process that are where this one is to listen."""
    if not port:
        return []
    wanted = {found[4][:2] for found in _addresses(host, port)}
    return [each for each in listening if each.getsockname()[:2] in wanted]


def _listen(host: str, port: int) -> list[socket.socket]:
    """Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in _addresses(host, port):
            sockets.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _addresses(host: str, port: int) -> list[Any]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list({each[4]: each for each in found}.values())


def _bound(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def admin_application(
    daemon: Daemon,
    settings: AdminSettings,
    metrics: Metrics,
    token_endpoint: TokenEndpointSettings | None = None,
    audit: Audit | None = None,
    agent_files: AgentFiles | None = None,
    dispatch: Dispatch | None = None,
) -> web.Application:
    guards = [
        _addressed(settings),
        _from_allowed_pages(token_endpoint),
        _known(settings, metrics, callers=token_endpoint is not None and token_endpoint.public),
        _problems,  # what it makes of a refusal still gets the headers of the guards
        recording(audit),
    ]
    tells_content = bool(settings.known)
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=guards)
    application.add_routes(Health(daemon, metrics).routes())
    agents = AgentsApi(daemon, agent_files, writable=settings.write_agents)
    application.add_routes(agents.routes())
    application.add_routes(DispatchesApi(daemon, dispatch).routes())
    told = described(settings, token_endpoint)
    application.add_routes(Api(daemon, agents.tag, told, tells_content=tells_content).routes())
    application.add_routes(FleetApi(daemon).routes())
    application.add_routes(ToolsApi(daemon, agent_files).routes())
    application.add_routes(HistoryApi(daemon, tells_content=tells_content).routes())
    application.add_routes(ApprovalsApi(daemon, tells_content=tells_content).routes())
    application.add_routes(Callbacks(daemon, metrics).routes())
    application.add_routes(EventStream(daemon.events(), metrics, tells_content=tells_content).routes())
    application.on_shutdown.append(_end_streams(daemon.events()))
    if token_endpoint:
        application.add_routes(TokenEndpoint(daemon, token_endpoint).routes())
    if token_endpoint and token_endpoint.public:
        application.add_routes([web.options(path, _preflight) for path in TOKEN_PATHS])
    if token_endpoint and token_endpoint.public and settings.talk_page:
        application.add_routes(TalkPage(daemon, token_endpoint).routes())
    return application


def described(settings: AdminSettings, token_endpoint: TokenEndpointSettings | None) -> dict[str, Any]:
    """The OpenAPI document of what is served."""
    minting: Minting = "off"
    if token_endpoint:
        minting = "public" if token_endpoint.public else "operators"
    return openapi(guarded=bool(settings.known), minting=minting, talk=settings.talk_page)


def _end_streams(ring: EventRing) -> Callable[[web.Application], Awaitable[None]]:
    """Readers wait for what comes next: without this, the end of the server would wait for them."""

    async def end(_: web.Application) -> None:
        ring.close()

    return end


def _not_malformed(record: logging.LogRecord) -> bool:
    """Requests that are no HTTP are the client's fault, and the line would hold what it sent."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


logging.getLogger("aiohttp.server").addFilter(_not_malformed)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes every refusal a problem+json."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem(refused.status, refused.detail, headers=refused.headers, **refused.members)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(error.status, f"{request.method} {request.path}: {error.reason}", headers=allow)


def _addressed(settings: AdminSettings) -> Middleware:
    @web.middleware
    async def addressed(request: web.Request, handler: Handler) -> web.StreamResponse:
        unnamed = request.path in UNNAMED or request.path.startswith(CALLBACKS)
        if unnamed or host_allowed(request.host, settings.hosts) or _trusted(request, settings):
            return await handler(request)
        return problem(
            403,
            f"the Host {request.host!r} is none of ours: use the IP address or localhost, or name it in admin.hosts",
        )

    return addressed


def _trusted(request: web.Request, settings: AdminSettings) -> bool:
    """A request that knows a token is no rebound page's."""
    return known(request.headers.get("Authorization"), settings.known) is not None


def _from_allowed_pages(token_endpoint: TokenEndpointSettings | None) -> Middleware:
    token_origins = token_endpoint.origins if token_endpoint else ()

    @web.middleware
    async def from_allowed_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        allowed = token_origins if request.path in TOKEN_PATHS else ()
        if not origin_allowed(origin, request.host, allowed):
            return problem(403, f"pages of {origin} may not ask here")
        response = await handler(request)
        if origin is not None:
            response.headers.update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
        return response

    return from_allowed_pages


def _known(settings: AdminSettings, measures: MeasureSink, *, callers: bool) -> Middleware:
    """Who asks, whether they may, and not too often. `callers`: whoever comes may ask for a caller's token."""
    asked = RateLimit(settings.rate_limit, settings.rate_limit * BURST_S) if settings.rate_limit else None
    guessed = RateLimit(GUESSES_PER_S, GUESSES)

    @web.middleware
    async def with_role(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_open(request.path):
            return await handler(request)
        operators, address = settings.known, request.remote or ""
        named = known(request.headers.get("Authorization"), operators)
        who = named if operators else LOCAL
        open_to_all = callers and request.path in TOKEN_PATHS
        if who is None and not open_to_all:
            return _too_often(guessed.take(address, now()), measures, "guesses") or _unknown()
        key = f"operator {named.name}" if named else f"address {address}"
        if asked is not None and (refusal := _too_often(asked.take(key, now()), measures, "requests")):
            return refusal
        role = needed(request.method, request.path)
        if who is not None and role not in who.roles and not open_to_all:
            may = ", ".join(sorted(who.roles))
            return problem(403, f"the token of {who.name} may {may}; this asks for {role}")
        acting = asking.set(who if named or not open_to_all else None)
        try:
            return await handler(request)
        finally:
            asking.reset(acting)

    return with_role


def _unknown() -> web.Response:
    challenge = {"WWW-Authenticate": 'Bearer realm="agentd"'}
    return problem(401, "send Authorization: Bearer and an admin token", headers=challenge)


def _too_often(wait_s: float, measures: MeasureSink, what: str) -> web.Response | None:
    if not wait_s:
        return None
    measures.apply(Measure(name="admin_refused_total", labels={"reason": what}))
    seconds = math.ceil(wait_s)
    return problem(429, f"too many {what}: ask again in {seconds} s", headers={"Retry-After": str(seconds)})


async def _preflight(_: web.Request) -> web.Response:
    """A browser asks before it sends JSON to another site; the origin was checked before this."""
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers)
