"""From what happens to the outbox: calls are read from their journals, the daemon's own events are told directly.

A call's journal is the source, not the messages of its worker: it holds what happened when a worker or the whole daemon
was killed in between. How far a call was told is written in one step with the events, so none is lost and none is taken
twice. When the disk is full nothing is read on; what was not taken is in the journals still.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.config.events import EventSink
from agentd.errors import JournalError
from agentd.runtime.deliveries import Deliveries, sink_key
from agentd.runtime.journals import journal_path
from agentd.runtime.outbox import Delivery, Outbox, OutboxFailed
from agentd.session.contract_events import FINAL, ContractEvent, ContractEvents
from agentd.session.journal import JournalTail
from agentd.session.records import Record
from agentd.tools import signing
from agentd.tools.endpoint import envelope, rfc3339, traceparent

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
GATHER_S = 0.1  # between the news of an event and the look at the journals: several come at once
DISK_RETRY_S = 5.0
BODY_BYTES = 256 * 1024  # the contract's limit of a request
DAEMON_EVENTS_WAITING = 200  # while the outbox cannot be written

Sinks = Sequence[tuple[str, EventSink]]
"""(owner, sink) of all that may be told; the owner is an agent's name, or "" for the daemon's own."""


@dataclass(slots=True)
class _Call:
    """A call that is followed. `sinks` None: those that its agent has now, as nobody knows which it began with.
    `others`: of agents that it may be handed to, by name; `taken_over`: to whom it was handed. `told`: the place of the
    last event that is in the outbox."""

    sinks: Sinks | None
    others: Mapping[str, Sinks]
    tail: JournalTail
    events: ContractEvents
    told: int
    ended: bool = False
    taken_over: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DaemonEvent:
    type: str
    agent: str
    at: float
    data: Mapping[str, Any]


class EventFeed:
    """`sinks_of`: those of an agent (by its name) that serves, with the daemon's. `clock`: unix time."""

    def __init__(
        self,
        outbox: Outbox,
        deliveries: Deliveries,
        state_dir: Path,
        sinks_of: Callable[[str], Sinks],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._deliveries = deliveries
        self._state_dir = state_dir
        self._sinks_of = sinks_of
        self._clock = clock
        self._calls: dict[str, _Call] = {}
        self._daemon_events: deque[_DaemonEvent] = deque()
        self._stirred = asyncio.Event()

    def resume(self) -> None:
        """Takes up the calls that an earlier daemon was telling of. Raises OutboxFailed."""
        for found in self._outbox.followed():
            if journal_path(self._state_dir, found.session).exists():
                self._open(found.session, found.agent, found.told, None, {})
            else:
                self._outbox.forget(found.session)

    def follow(self, session: str, agent: str, sinks: Sinks, others: Mapping[str, Sinks]) -> None:
        """This call is to be told of, from its beginning; `others`: to whom as well, should it be handed to that agent.
        Raises OutboxFailed."""
        if session not in self._calls:
            self._open(session, agent, self._outbox.follow(session, agent), sinks, others)

    def follows(self, session: str) -> bool:
        """Whether there is still something to be told of this call."""
        return session in self._calls

    def _open(self, session: str, agent: str, told: int, sinks: Sinks | None, others: Mapping[str, Sinks]) -> None:
        tail = JournalTail(journal_path(self._state_dir, session))
        self._calls[session] = _Call(sinks, others, tail, ContractEvents(session=session, agent=agent), told)

    def stir(self) -> None:
        """Something has happened in a call."""
        self._stirred.set()

    def tell(self, kind: str, agent: str, data: Mapping[str, Any]) -> None:
        """An event of the daemon's own. `agent`: whom it is about; "": nobody."""
        event = _DaemonEvent(type=kind, agent=agent, at=self._clock(), data=data)
        self._daemon_events.append(event)
        if len(self._daemon_events) > DAEMON_EVENTS_WAITING:
            lost = self._daemon_events.popleft()
            self._deliveries.counted(lost.agent, "dropped")
        self.stir()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._stirred.wait()
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
            self._stirred.clear()
            try:
                await self.look()
            except OutboxFailed as error:
                logger.error("outbox failed", extra={"error": str(error)})  # noqa: TRY400 -- expected, one line
                await asyncio.sleep(DISK_RETRY_S)

    async def look(self) -> None:
        """Takes all that there is, one call after the other. Raises OutboxFailed; the rest is taken the next time."""
        while self._daemon_events:
            self._take_daemon_event(self._daemon_events[0])
            self._daemon_events.popleft()
        for session, call in list(self._calls.items()):
            self._read(session, call)
            if call.ended:
                del self._calls[session]
            await asyncio.sleep(0)  # a long call that is read from its beginning delays nobody's answer but once

    def _read(self, session: str, call: _Call) -> None:
        """What is read is taken, or the call is read from its beginning again: the fold knows no way back."""
        try:
            while not call.ended and (records := call.tail.read()):
                for record in records:
                    if record.kind == "handoff":
                        call.taken_over.append(str(record.data.get("to", "")))
                    self._take(session, call, _events(call.events, record))
        except JournalError as error:
            logger.warning("journal could not be told of", extra={**_named(call.events), "error": str(error)})
            self._outbox.forget(session)
            call.ended = True
        except OutboxFailed:
            self._open(session, call.events.agent, call.told, call.sinks, call.others)
            raise

    def _take(self, session: str, call: _Call, events: Sequence[ContractEvent]) -> None:
        new = [event for event in events if event.seq > call.told]
        over = any(event.type in FINAL for event in events)
        if new or over:
            deliveries = [each for event in new for each in self._deliveries_of(call, event)]
            self._put(deliveries, session=session, told=call.events.seq, over=over)
            call.told = call.events.seq
            call.ended = call.ended or over

    def _deliveries_of(self, call: _Call, event: ContractEvent) -> Iterable[Delivery]:
        events = call.events
        for owner, sink in self._wanting(event.type, self._sinks_of_call(call)):
            told = data_of(events, event, transcript=sink.transcript)
            yield self._delivery(owner, sink, event.type, event.at, told, events.session)

    def _sinks_of_call(self, call: _Call) -> Sinks:
        """Those of the agent that began with it, which are told its end as they were its beginning; and from a handoff
        on those of the agent that has it. An address that both name is told once."""
        found = list(self._sinks_of(call.events.agent) if call.sinks is None else call.sinks)
        for agent in call.taken_over:
            known = {sink.url for _, sink in found}
            later = call.others[agent] if agent in call.others else self._sinks_of(agent)
            found += [(owner, sink) for owner, sink in later if sink.url not in known]
        return found

    def _take_daemon_event(self, event: _DaemonEvent) -> None:
        wanting = self._wanting(event.type, self._sinks_of(event.agent))
        if not wanting:
            return
        data = {"seq": self._outbox.count_up("daemon events"), **event.data}
        deliveries = [self._delivery(owner, sink, event.type, event.at, data, "daemon") for owner, sink in wanting]
        self._put(deliveries)

    def _wanting(self, kind: str, sinks: Sinks) -> Sinks:
        return [(owner, sink) for owner, sink in sinks if sink.wants(kind) and self._deliveries.takes(owner, sink)]

    def _delivery(
        self, owner: str, sink: EventSink, kind: str, at: float, data: Mapping[str, Any], subject: str
    ) -> Delivery:
        now = self._clock()
        return Delivery(
            id=signing.new_id("ev_", now),
            sink=sink_key(owner, sink),
            type=kind,
            trace=traceparent(subject),
            body=bounded(kind, at, data),
            made_at=now,
            due_at=now,
        )

    def _put(self, deliveries: Sequence[Delivery], *, session: str = "", told: int = 0, over: bool = False) -> None:
        dropped = self._outbox.put(deliveries, session=session, told=told, over=over)
        for sink, number in dropped.items():
            self._deliveries.dropped(sink, number)
        self._deliveries.stir()


def _events(events: ContractEvents, record: Record) -> Sequence[ContractEvent]:
    """What it means; nothing where its fields are not what they should be: a journal may be of another version."""
    try:
        return events.take(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        extra = {**_named(events), "kind": record.kind, "error": f"{type(error).__name__}: {error}"}
        logger.warning("record could not be told of", extra=extra)
        return ()


def _named(events: ContractEvents) -> dict[str, str]:
    """The fields of every line of the log that is about the call."""
    return {"session": events.session, "agent": events.agent, "room": events.room, "job": events.job_id}


def data_of(events: ContractEvents, event: ContractEvent, *, transcript: bool) -> dict[str, Any]:
    """What is sent of an event of a call. `transcript`: the sink wants it, where the call is over. Pure."""
    data = {"seq": event.seq, **events.common(), **event.data}
    data["session"] = {**data["session"], "started_at": rfc3339(events.started_at or event.at)}
    if transcript and event.type in FINAL:
        data["transcript"] = [{**turn, "at": rfc3339(turn["at"])} for turn in events.turns()]
    return data


def bounded(kind: str, at: float, data: Mapping[str, Any]) -> bytes:
    """The body, within the contract's limit: a transcript loses its oldest turns, anything else its largest fields.
    `cut` says what is not whole. Pure."""
    body = envelope(kind, at, data)
    kept = dict(data)
    cut: list[str] = []
    while len(body) > BODY_BYTES:
        name = max((name for name in kept if name != "cut"), key=lambda name: len(_json(kept[name])))
        cut = [*cut, name] if name not in cut else cut
        turns = kept[name]
        if name == "transcript" and len(turns) > 1:
            kept[name] = turns[(len(turns) + 3) // 4 :]
        else:
            kept[name] = None
        kept["cut"] = cut
        body = envelope(kind, at, kept)
    return body


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
