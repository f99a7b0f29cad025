"""What a worker tells the supervisor of its calls by itself: how they look, what they use, what happens in them.

What can wait goes many in one message, so that a full worker does not fill the link with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agentd.aio import Channel
from agentd.runtime.measures import measures
from agentd.runtime.messages import (
    JobRejoins,
    Measures,
    SessionChanged,
    SessionEvents,
    SessionRevised,
    SpeechChanged,
    StartJob,
)
from agentd.runtime.speeches import speech_change
from agentd.runtime.status import Measure
from agentd.runtime.usage import UsageMeter
from agentd.runtime.visible import visible_changes
from agentd.session.records import Record
from agentd.tools.spec import Event

REPORT_INTERVAL_S = 0.25
MEASURES_KEPT = 5000  # between two reports; a worker that makes more has other troubles, and the newest count
EVENTS_WAITING = 2000  # of all calls; a worker that makes more between two frames loses the oldest
EVENTS_INTERVAL_S = 0.05
EVENTS_AT_ONCE = 500
URGENT_WAITING = 1000


class Reports:
    """One worker's. `send` gives a message to the supervisor, or to the next one."""

    def __init__(self, send: Callable[[object], Awaitable[None]]) -> None:
        self._send = send
        self._seen: dict[str, SessionChanged] = {}  # how each session looks from outside
        self._changed: set[str] = set()  # sessions whose look was not sent yet
        self._steps: list[Measure] = []
        self._usage = UsageMeter()
        self._urgent: Channel[JobRejoins | SpeechChanged | SessionRevised] = Channel(URGENT_WAITING)
        self._events: Channel[Event] = Channel(EVENTS_WAITING)
        self._events_dropped = 0  # as far as it was told

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """What sends them, until it is cancelled."""
        return [group.create_task(each) for each in (self._report(), self._report_urgent(), self._report_events())]

    # What is to be told.

    def observe(self, start: StartJob, record: Record) -> None:
        """Of any call, as it is recorded."""
        if len(self._steps) < MEASURES_KEPT:
            self._steps.extend(measures(record, start.agent))
        self._usage.take(start.session, record)
        if change := speech_change(record, start.session):
            self.urgent(change)
        look = self._seen.get(start.session) or SessionChanged(session=start.session, incarnation=start.incarnation)
        changes = visible_changes(record)
        if changes or start.session not in self._seen:
            self._seen[start.session] = replace(look, **changes)
            self._changed.add(start.session)

    def event(self, event: Event) -> None:
        self._events.force(event)

    def urgent(self, message: JobRejoins | SpeechChanged | SessionRevised) -> None:
        """At once: the server's answer to a rejoin is a termination of the job, which must find the supervisor told;
        and an operator may wait for the end of a speech."""
        self._urgent.force(message)

    def look(self, session: str) -> SessionChanged | None:
        """How it looks from outside."""
        return self._seen.get(session)

    def forget(self, session: str) -> None:
        """It is over."""
        self._seen.pop(session, None)
        self._usage.forget(session)

    # Telling it.

    async def flush(self) -> None:
        """How calls look and what they used, as of now."""
        changed, self._changed = self._changed, set()
        steps, self._steps = self._steps, []
        for session in changed & self._seen.keys():
            await self._send(self._seen[session])
        for used in list(self._usage.drain()):
            await self._send(used)
        if steps:
            await self._send(Measures(steps=tuple(steps)))

    async def send_events(self, events: list[Event]) -> None:
        """These, and as many as wait and fit with them into one message."""
        while len(self._events) and len(events) < EVENTS_AT_ONCE:
            events.append(await self._events.receive())
        dropped = self._events.dropped - self._events_dropped
        if events or dropped:
            self._events_dropped += dropped
            await self._send(SessionEvents(events=tuple(events), dropped=dropped))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            await self.flush()

    async def _report_urgent(self) -> None:
        async for message in self._urgent:
            await self._send(message)

    async def _report_events(self) -> None:
        """Soon, and many in one frame; the oldest go first when the supervisor is slow."""
        async for event in self._events:
            await asyncio.sleep(EVENTS_INTERVAL_S)
            await self.send_events([event])
