"""Callers who wait for a place: who is the next, and what they are told.

First come, first served, but for those whom another's place does not help: an agent that is full by its own limit does
not hold up the callers of others. A place that becomes free is given in the same step, before any new call is looked
at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from agentd.aio import now
from agentd.runtime.daemon_events import call_queued, call_unqueued
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.messages import Admitted, QueueMoved, ToWorker
from agentd.runtime.status import Measure, MeasureSink
from agentd.tools.event import Event

logger = logging.getLogger(__name__)


class CallQueue:
    """`place_for`: the worker that has a place for a call, None while there is none; `post`: tells a worker; `begin`:
    has the call begin in the worker that it waits in; `move`: in its other one."""

    def __init__(
        self,
        table: JobTable,
        *,
        place_for: Callable[[Session], str | None],
        post: Callable[[str, ToWorker], None],
        begin: Callable[[Session], None],
        move: Callable[[Session, str], None],
        measures: MeasureSink,
        told: Callable[[Event], None],
    ) -> None:
        self._table = table
        self._place_for = place_for
        self._post = post
        self._begin = begin
        self._move = move
        self._measures = measures
        self._told = told
        self._positions: dict[str, int] = {}  # as it was told

    def position(self, session: Session) -> int:
        """Among those who wait for the same agent, from 1."""
        same = [each.id for each in self._table.queue() if each.agent == session.agent]
        return same.index(session.id) + 1 if session.id in same else len(same) + 1

    def joined(self, session: Session, why: str) -> None:
        """One more waits."""
        position = self._positions[session.id] = self.position(session)
        logger.info("call queued", extra={**session.named, "position": position, "reason": why})
        self._told(call_queued(session, position, why))

    def serve(self) -> None:
        """Gives every place that can be given, and tells the others how far they have come."""
        for session in self._table.queue():
            if session.worker and (worker := self._place_for(session)) is not None:
                self._admit(session, worker)
        for session in self._table.queue():
            position = self.position(session)
            if session.worker and self._positions.get(session.id) != position:
                self._positions[session.id] = position
                self._post(session.worker, QueueMoved(session=session.id, position=position))

    def left(self, session: Session, reason: str) -> None:
        """Its call has ended while it waited."""
        self._unqueued(session, "timeout" if reason == "queue_timeout" else "left", reason)

    def _admit(self, session: Session, worker: str) -> None:
        assert session.queued_at is not None, "it waits"
        self._unqueued(session, "admitted", "")
        placed = replace(session, queued_at=None, waited_s=round(now() - session.queued_at, 3))
        self._table.add(placed)
        if worker == session.worker:
            self._begin(placed)
        else:
            self._post(session.worker, Admitted(session=session.id, start=None))
            self._move(placed, worker)

    def _unqueued(self, session: Session, outcome: str, reason: str) -> None:
        waited_s = round(now() - (session.queued_at or now()), 3)
        self._positions.pop(session.id, None)
        self._measures.apply(Measure(name="calls_queued_total", labels={"agent": session.agent, "outcome": outcome}))
        logger.info("call left the queue", extra={**session.named, "outcome": outcome, "waited_s": waited_s})
        self._told(call_unqueued(session, outcome, reason, waited_s))
