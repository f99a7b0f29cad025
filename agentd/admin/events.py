"""`GET /v1/events`: what happens in the calls, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from agentd.admin.answers import StreamedEvent, fields_of
from agentd.admin.problems import Overloaded, Refused
from agentd.runtime.daemon_events import DAEMON_EVENTS
from agentd.runtime.event_ring import EventRing, Kept
from agentd.runtime.status import Measure, MeasureSink
from agentd.session.event_types import EVENT_TYPES
from agentd.tools.spec import Event

KEEPALIVE_S = 15.0
RETRY_MS = 2_000
READERS = 32
WRITE_S = 60.0  # a reader that takes nothing for this long is gone


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty: everything. Types may have * in them."""

    sessions: frozenset[str]
    types: tuple[str, ...]

    def lets_pass(self, event: Event) -> bool:
        wanted = not self.types or any(fnmatchcase(event.type, pattern) for pattern in self.types)
        return wanted and (not self.sessions or event.session in self.sessions)


class EventStream:
    """`tells_content`: readers are known by a token; to others, what people said is not told."""

    def __init__(self, ring: EventRing, measures: MeasureSink, *, tells_content: bool) -> None:
        self._ring = ring
        self._measures = measures
        self._tells_content = tells_content
        self._readers = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """From `Last-Event-ID` on, else from the oldest that is kept; `from=now`: only what comes. `follow=false` ends
        after what is kept."""
        wanted, after = filter_of(request.query), self._place(request)
        follow = request.query.get("follow", "true")
        if follow not in ("true", "false"):
            raise Refused(422, "follow is true or false")
        if self._readers >= READERS:
            raise Overloaded(f"{READERS} readers follow the events already")
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        self._readers += 1
        try:
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            await response.write(f"retry: {RETRY_MS}\n\n".encode())
            await self._send(response, wanted, after, follow=follow == "true")
        except (ConnectionError, TimeoutError):
            pass  # the reader has gone; it may come back with the id of its last event
        finally:
            self._readers -= 1
        return response

    async def _send(self, response: web.StreamResponse, wanted: Filter, after: int, *, follow: bool) -> None:
        while True:
            reading = self._ring.read(after)
            after = reading.after
            if reading.missed > 0:
                self._measures.apply(
                    Measure(name="events_dropped_total", value=reading.missed, labels={"where": "reader"})
                )
            text = _gap(reading.missed) if reading.missed else ""
            text += "".join(self._frame(kept) for kept in reading.events if wanted.lets_pass(kept.event))
            if text:
                await _write(response, text)
            if after < self._ring.newest:
                continue
            if not follow or self._ring.closed:
                return
            try:
                async with asyncio.timeout(KEEPALIVE_S):
                    await self._ring.wait(after)
            except TimeoutError:
                await _write(response, ":\n\n")

    def _place(self, request: web.Request) -> int:
        last, start = request.headers.get("Last-Event-ID", ""), request.query.get("from", "kept")
        if start not in ("kept", "now"):
            raise Refused(422, "from is kept or now")
        if last:
            return self._ring.place_of(last)
        return self._ring.newest if start == "now" else self._ring.oldest

    def _frame(self, kept: Kept) -> str:
        event = kept.event
        data = dict(event.data) if self._tells_content else _without_content(event)
        told = StreamedEvent(type=event.type, session=event.session, agent=event.agent, at=event.at, data=data)
        body = json.dumps(fields_of(told), ensure_ascii=False, separators=(",", ":"), default=str)
        return f"id: {self._ring.id_of(kept.number)}\nevent: {event.type}\ndata: {body}\n\n"


def filter_of(query: Mapping[str, str]) -> Filter:
    """`session` and `type`, each a list with commas. Raises Refused for a type that there is not."""
    types = tuple(filter(None, query.get("type", "").split(",")))
    for pattern in types:
        if not any(fnmatchcase(name, pattern) for name in (*EVENT_TYPES, *DAEMON_EVENTS)):
            raise Refused(422, f"there is no event {pattern!r}; docs/events.md lists them")
    return Filter(frozenset(filter(None, query.get("session", "").split(","))), types)


def _without_content(event: Event) -> dict[str, Any]:
    kind = EVENT_TYPES.get(event.type)
    return {name: None if kind and name in kind.content else value for name, value in event.data.items()}


def _gap(missed: int) -> str:
    return f"event: gap\ndata: {json.dumps({'missed': missed})}\n\n"


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(text.encode())
