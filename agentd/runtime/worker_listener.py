"""What the supervisor does with what its workers say, and when one comes, dies or goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agentd.runtime.messages import (
    Delivered,
    FromWorker,
    JobEnded,
    JobRejoins,
    JobStarted,
    Measures,
    SessionChanged,
    SessionEvents,
    SessionRevised,
    SpeechChanged,
)
from agentd.runtime.status import Measure
from agentd.runtime.usage import SessionUsed
from agentd.runtime.worker_handle import WorkerHandle
from agentd.tools.acts import EndSession

if TYPE_CHECKING:
    from agentd.runtime.parts import Parts

logger = logging.getLogger(__name__)


class WorkerListener:
    """The pool's listener: `agentd.runtime.worker_handle.Listener`."""

    def __init__(self, parts: Parts) -> None:
        """`parts` may be in the making: they are asked once the pool runs."""
        self._parts = parts

    async def welcome(self, worker: WorkerHandle) -> None:
        await self._parts.rollout.welcome(worker)

    def ready(self, worker: WorkerHandle) -> None:
        logger.info("worker ready", extra={"worker": worker.name, "worker_pid": worker.pid})
        self._parts.rollout.worker_ready()
        self._parts.calls.rescue()
        self._parts.calls_changed()

    def message(self, worker: WorkerHandle, message: FromWorker) -> None:
        match message:
            case JobStarted():
                self._parts.calls.started(message)
            case JobRejoins():
                self._parts.calls.rejoins(message)
            case JobEnded():
                self._parts.calls.ended(message)
            case SessionChanged():
                self._parts.calls.changed(message)
            case SessionRevised(definition=definition):
                self._parts.calls.revised(message)
                self._parts.probation.look_again(definition.name)
            case SessionEvents():
                self._parts.ring.add(message.events)
                self._parts.announcements.stir()
                if message.dropped:
                    dropped = Measure(name="events_dropped_total", value=message.dropped, labels={"where": "worker"})
                    self._parts.around.measures.apply(dropped)
            case Delivered():
                self._parts.late_results.answered(message)
            case SpeechChanged():
                self._parts.calls.speeches.changed(message)
            case SessionUsed():
                self._parts.budgets.used(self._parts.calls.table.get(message.session), message)
            case Measures(steps=steps):
                for step in steps:
                    self._parts.around.measures.apply(step)

    def died(self, worker: WorkerHandle, reason: str) -> None:
        if self._parts.drain.asked and not len(self._parts.calls.table):
            return
        logger.error("worker died", extra={"worker": worker.name, "worker_pid": worker.pid, "reason": reason})
        self._parts.around.measures.apply(Measure(name="worker_restarts_total"))
        self._parts.announcements.process_lost(worker.name, reason, self.sessions_of(worker))
        self._parts.late_results.worker_died(worker.name)
        self._parts.calls.worker_died(worker.name)

    def retired(self, worker: WorkerHandle) -> None:
        for session in self._parts.calls.table.of_worker(worker.name):  # calls that did not end when their time was up
            self._parts.calls.control(session.id, EndSession(reason="drain_deadline"))
        logger.info("worker retired", extra={"worker": worker.name, "worker_pid": worker.pid})

    def sessions_of(self, worker: WorkerHandle) -> int:
        return len(self._parts.calls.table.of_worker(worker.name))
