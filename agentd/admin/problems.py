"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
BETWEEN_WORKERS_RETRY_S = 1  # a rescue takes less


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDetails:
    """Every refusal. `detail` says what is wrong and what to do."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReady(ProblemDetails):
    ready: bool
    reasons: tuple[str, ...]


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> web.Response:
    """`detail` says what is wrong and what to do; `members` are further fields."""
    told = ProblemDetails(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail)
    body = {**asdict(told), **members}
    return web.Response(status=status, text=json.dumps(body), content_type=CONTENT_TYPE, headers=headers)


class Refused(Exception):
    """Raised in a handler, answered as a problem."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.headers = headers
        self.status = status
        self.detail = detail
        self.members = members


class Overloaded(Refused):
    """503 of what passes by itself: whoever asks may ask again in a moment, and `Retry-After` says when."""

    def __init__(self, detail: str, *, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(503, detail, headers={"Retry-After": str(retry_after_s)})


async def json_body(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; {} when there is no body. Raises Refused 415 or 400."""
    if not await request.read():
        return {}
    if request.content_type != "application/json":
        raise Refused(415, "send JSON, with Content-Type: application/json")
    try:
        raw = await request.text()
        body = json.loads(raw)
    except (ValueError, LookupError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if "\\u" in raw and not _is_unicode(body):
        raise Refused(400, "the body holds half of a surrogate pair, which is no text")
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
