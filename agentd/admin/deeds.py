"""What operators did, for the audit log: who, from where, what, when, and what came of it. Never what was said."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agentd.admin.problems import Refused
from agentd.admin.roles import Operator
from agentd.errors import AgentdError

logger = logging.getLogger(__name__)

asking: ContextVar[Operator | None] = ContextVar("asking", default=None)
"""Whose request is being answered; callers, who ask for their tokens, are no operators."""
SHOWN = ("operator", "address", "deed", "method", "path", "status", "session")
Audit = Callable[[Mapping[str, Any]], object]
"""Keeps an entry for good. Raises AgentdError when it cannot."""

CONTENT_PATHS = ("/journal", "/history", "/variables")
"""Reading what was said is a deed, too."""
PATHS = ("/v1/", "/api/token")
_NOTED: web.RequestKey[dict[str, Any]] = web.RequestKey("deed", dict)
_ONE = {
    "agents": "agent",
    "approvals": "approval",
    "dispatches": "dispatch",
    "rollouts": "rollout",
    "sessions": "session",
    "speeches": "speech",
}
_DONE = {"GET": ("read",), "HEAD": ("read",), "PUT": ("write",), "DELETE": ("delete",)}


def is_deed(method: str, path: str) -> bool:
    if not path.startswith(PATHS):
        return False
    return method not in ("GET", "HEAD", "OPTIONS") or path.endswith(CONTENT_PATHS)


def deed_of(method: str, route: str) -> str:
    """The name of what a request to a route asks for: session.say, agent.write, reload; "" without a route. Pure."""
    parts = [part for part in route.split("/")[2:] if part and not part.startswith("{")]
    return ".".join((*(_ONE.get(part, part) for part in parts), *_DONE.get(method, ()))) if parts else ""


def note(request: web.Request, **told: Any) -> None:
    """What else the log says of this deed: names, never what was said."""
    request[_NOTED] = {**request.get(_NOTED, {}), **told}


def recording(audit: Audit | None) -> Middleware:
    """Tells the log of each deed once it is answered, and keeps it with `audit`. An audit log that cannot be written is
    an error in the daemon's log; the deed is done."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        who = asking.get()
        if who is None or not is_deed(request.method, request.path):
            return await handler(request)
        status, body = 500, b""
        try:
            body = await request.read()
            response = await handler(request)
            status = response.status
        except (Refused, web.HTTPException) as error:
            status = error.status
            raise
        finally:
            _keep(audit, entry(request, who, status, body))
        return response

    return record


def entry(request: web.Request, who: Operator, status: int, body: bytes) -> dict[str, Any]:
    """`body_sha256` says which body it was, to whoever has it, and nothing of it to others."""
    told: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "kind": "operator",
        "operator": who.name,
        "address": request.remote or "",
        "deed": deed_of(request.method, _route(request)),
        "method": request.method,
        "path": request.path,
        "status": status,
    }
    if "id" in request.match_info:
        told["session"] = request.match_info["id"]
    if "name" in request.match_info:
        told["agent"] = request.match_info["name"]
    told |= request.get(_NOTED, {})
    return {**told, "body_sha256": hashlib.sha256(body).hexdigest()} if body else told


def _route(request: web.Request) -> str:
    """Without the names in it; "" where nobody is asked."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _keep(audit: Audit | None, told: Mapping[str, Any]) -> None:
    logger.info("operator acted", extra={key: value for key, value in told.items() if key in SHOWN})
    if audit is None:
        return
    try:
        audit(told)
    except AgentdError:
        logger.exception("audit_failed")
