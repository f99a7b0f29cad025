"""Whom the supervisor tells of what happens: the sinks of the agents that serve or have calls, and the daemon's own.

announcements{ feed, deliveries{ delivery x N } }. Nothing is opened while nobody wants to be told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.events import EventSink
from agentd.runtime.deliveries import Deliveries
from agentd.runtime.event_feed import EventFeed
from agentd.runtime.jobs import Session
from agentd.runtime.outbox import Outbox, OutboxFailed
from agentd.runtime.rollout import Rollout
from agentd.runtime.status import MeasureSink, ReloadOutcome, SinkStatus
from agentd.tools.http import WebhookClient

logger = logging.getLogger(__name__)

FILE = "outbox.db"
LAST_WORDS_S = 3.0
"""What events that are due get when the daemon ends; the others are sent after its next start."""


class Announcements:
    """Owned by the supervisor. Without a single sink, in files or in the outbox, it does nothing."""

    def __init__(
        self,
        *,
        state_dir: Path,
        daemon_sinks: Sequence[EventSink],
        http: WebhookClient,
        measures: MeasureSink,
        serving: Callable[[], Mapping[str, AgentDefinition]],
        calls: Callable[[], Iterable[Session]],
    ) -> None:
        """`serving`: the definitions that new calls get; `calls`: those under way, with theirs."""
        self._state_dir = state_dir
        self._daemon_sinks = tuple(("", sink) for sink in daemon_sinks)
        self._http = http
        self._measures = measures
        self._serving = serving
        self._calls = calls
        self._last: dict[str, tuple[tuple[str, EventSink], ...]] = {}  # also of agents that were removed since
        self._rejected: dict[str, str] = {}  # agents whose refusal was told, and why
        self._feed: EventFeed | None = None
        self._deliveries: Deliveries | None = None
        self._outbox: Outbox | None = None
        self._opened = asyncio.Event()

    # What is told.

    def began(self, session: Session) -> None:
        """A call was taken, or taken up again: its definition's sinks are told of it to its end, and those of an agent
        that it is handed to from then on."""
        sinks = (*_sinks(session.definition), *self._daemon_sinks)
        others = {other.name: _sinks(other) for other in session.others}
        if sinks or any(others.values()) or any(map(_sinks, self._serving().values())):
            self._guarded(lambda feed: feed.follow(session.id, session.agent, sinks, others))

    def follows(self, session: str) -> bool:
        """Whether there is still something to be told of this call."""
        return self._feed is not None and self._feed.follows(session)

    def stir(self) -> None:
        """Something has happened in a call."""
        if self._feed is not None:
            self._feed.stir()

    def registered(self, agent: str, *, registered: bool, reason: str = "") -> None:
        """An agent's registration with LiveKit came or went."""
        if registered:
            self._tell("worker.registered", agent, {"agent": agent})
        else:
            self._tell("worker.lost", agent, {"agent": agent, "process": None, "reason": reason, "calls": 0})

    def process_lost(self, name: str, reason: str, calls: int) -> None:
        self._tell("worker.lost", "", {"agent": None, "process": name, "reason": reason, "calls": calls})

    def draining(self, calls: int) -> None:
        self._tell("worker.draining", "", {"calls": calls})

    def reloaded(self, outcome: ReloadOutcome, rollout: Rollout) -> None:
        """The files were read: sinks may be others, and those that were gone get another chance."""
        self._know()
        if self._deliveries is not None:
            self._deliveries.enable()
        for name in (*outcome.added, *outcome.updated):
            definition = rollout.agents[name]
            told = {"agent": _named(definition), "generation": outcome.generation, "source": definition.source}
            self._tell("agent.loaded", name, told)
        for name in outcome.removed:
            self._tell("agent.removed", name, {"agent": {"name": name}, "generation": outcome.generation})
        self._tell_refusals(rollout)

    def _tell_refusals(self, rollout: Rollout) -> None:
        """Once for each of an agent's mistakes, however often its file is read."""
        current = rollout.current
        refused = {**current.rejected, **current.stale} if current else {}
        for name, problems in refused.items():
            why = "\n".join(map(str, problems))
            if self._rejected.get(name) != why:
                serves = name in rollout.agents
                told = [str(problem) for problem in problems]
                self._tell("agent.rejected", name, {"agent": {"name": name}, "serves": serves, "problems": told})
        self._rejected = {name: "\n".join(map(str, problems)) for name, problems in refused.items()}

    def _tell(self, kind: str, agent: str, data: Mapping[str, Any]) -> None:
        if any(sink.wants(kind) for _, sink in self._sinks_of(agent)):
            self._guarded(lambda feed: feed.tell(kind, agent, data))

    def _guarded(self, tell: Callable[[EventFeed], None]) -> None:
        """Nothing that is told may harm what it tells of."""
        try:
            tell(self._open())
        except OutboxFailed as error:
            logger.error("outbox failed", extra={"error": str(error)})  # noqa: TRY400 -- expected, said in one line

    # Whom.

    def _sinks_of(self, agent: str) -> tuple[tuple[str, EventSink], ...]:
        definition = self._serving().get(agent)
        own = self._last.get(agent, ()) if definition is None else _sinks(definition)
        return (*own, *self._daemon_sinks)

    def _know(self) -> None:
        serving = {name: _sinks(definition) for name, definition in self._serving().items()}
        self._last.update(serving)
        known = [*self._daemon_sinks, *(each for sinks in serving.values() for each in sinks)]
        if known or (self._state_dir / FILE).exists():
            self._guarded(lambda feed: None)
        if self._deliveries is not None:
            self._deliveries.know(known)
            running = [each for session in self._calls() for each in _sinks_of_call(session)]
            self._deliveries.forget_others([*known, *running])

    def statuses(self) -> tuple[SinkStatus, ...]:
        return self._deliveries.statuses() if self._deliveries is not None else ()

    # Its life.

    def _open(self) -> EventFeed:
        """Raises OutboxFailed."""
        if self._feed is None:
            outbox = Outbox(self._state_dir / FILE)
            deliveries = Deliveries(outbox, self._http, self._measures)
            deliveries.know((*self._daemon_sinks, *(sink for sinks in self._last.values() for sink in sinks)))
            feed = EventFeed(outbox, deliveries, self._state_dir, self._sinks_of)
            feed.resume()
            self._outbox, self._deliveries, self._feed = outbox, deliveries, feed
            self._opened.set()
        return self._feed

    async def run(self) -> None:
        """Until cancelled; then what is due gets its last chance."""
        try:
            await self._opened.wait()
            assert self._feed is not None
            assert self._deliveries is not None
            await self._work(self._feed, self._deliveries)
        finally:
            if self._outbox is not None:
                self._outbox.close()
            await self._http.aclose()

    async def _work(self, feed: EventFeed, deliveries: Deliveries) -> None:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(deliveries.run(), name="deliveries")
            try:
                await feed.run()
            finally:
                try:
                    await feed.look()
                    await deliveries.drained(LAST_WORDS_S)
                except OutboxFailed as error:
                    logger.error("outbox failed", extra={"error": str(error)})  # noqa: TRY400 -- expected, one line
                sending.cancel()


def _sinks(definition: AgentDefinition) -> tuple[tuple[str, EventSink], ...]:
    return tuple((definition.name, sink) for sink in definition.events)


def _sinks_of_call(session: Session) -> tuple[tuple[str, EventSink], ...]:
    """Those that may be told of it."""
    return tuple(each for agent in (session.definition, *session.others) for each in _sinks(agent))


def _named(definition: AgentDefinition) -> dict[str, str]:
    return {"name": definition.name, "revision": definition.digest}
