"""A session worker: prepares agents and holds their calls. Begun by `agentd.runtime.entry`.

worker{ receive, report, prepare x P, job x M }: one task group. Heartbeats are answered on the loop on
which the calls talk: a worker that answers can talk. When the link ends, the supervisor is gone: a worker
without calls ends at once; one that has some goes on with them, and waits at its door for the next supervisor. If none
comes in time it ends, and leaves its journals open, so that the next daemon finds the calls and goes on with them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentd import logs
from agentd.aio import cancel_and_wait
from agentd.config.definition import MIXED, AgentDefinition
from agentd.errors import AgentdError
from agentd.ipc import FrameLink, LinkClosed, parent_link, receive_object, send_object
from agentd.pickled import Unreadable
from agentd.runtime.alone import run_alone
from agentd.runtime.audit_entries import Auditor
from agentd.runtime.audit_log import log_of
from agentd.runtime.error_hook import tell_errors
from agentd.runtime.job import Common, Job, Rooms, Sessions, failure_reason
from agentd.runtime.journals import mark_ended
from agentd.runtime.messages import (
    Admitted,
    Commit,
    Control,
    Deliver,
    Delivered,
    DumpTasks,
    Heartbeat,
    HeldSession,
    JobEnded,
    JobRejoins,
    JobStarted,
    Prepare,
    Prepared,
    QueueMoved,
    SessionRevised,
    SpeechChanged,
    StartJob,
    Stop,
    WorkerSettings,
)
from agentd.runtime.other_agents import OtherAgents
from agentd.runtime.outcome import Tally
from agentd.runtime.prepared import PreparedAgents
from agentd.runtime.reports import Reports
from agentd.runtime.spoken import spoken
from agentd.runtime.vitals import Vitals
from agentd.session.records import Record
from agentd.session.setup import Audit, unaudited
from agentd.tools.acts import EndSession, GenerateReply, SayText

if TYPE_CHECKING:
    from agentd.runtime.tracing import Tracing

logger = logging.getLogger(__name__)

STOP_GRACE_S = 5.0

ForCall = QueueMoved | Admitted | Control


class Worker:
    """One end of the link with the supervisor, and all calls of this process."""

    def __init__(
        self,
        link: FrameLink,
        agents: PreparedAgents,
        rooms: Rooms,
        sessions: Sessions,
        orphaned: Callable[[], None] = lambda: None,
        auditor: Callable[[StartJob], Audit] = lambda start: unaudited,
        common: Common | None = None,
    ) -> None:
        """`orphaned` is called when the supervisor is gone, before anything is torn down. `auditor`: what keeps a
        call's part of the audit log; `common`: what all calls share."""
        self._common = common or Common()
        self._link = link
        self._orphaned = orphaned
        self._auditor = auditor
        self.logs_content = False
        self.tracing: Tracing | None = None
        self.settled: Callable[[], None] | None = None  # called once, when it serves for the first time
        self._agents = agents
        self._rooms = rooms
        self._sessions = sessions
        self._held: dict[str, StartJob] = {}  # every call whose end was not told yet
        self._joined_rooms: set[str] = set()
        self._rejoined: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._early: dict[str, list[ForCall]] = {}  # of calls whose jobs are being made
        self._job_tasks: set[asyncio.Task[None]] = set()
        self._tallies: dict[str, Tally] = {}  # how each session went so far
        self._reports = Reports(self._send)
        self._vitals = Vitals()

    async def run(self) -> None:
        """Until Stop; raises LinkClosed (in a group) when the supervisor is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                sides = [*self._reports.start(group), group.create_task(self._vitals.watch())]
                stop = await self._receive(group)
                await self._stop_jobs(stop.reason)
                await self._reports.flush()
                await self._reports.send_events([])
                for task in sides:
                    task.cancel()
        finally:
            await self._agents.aclose()
            if self.tracing is not None:
                await asyncio.to_thread(self.tracing.close)
            self._link.close()  # last: the supervisor takes it for the end of the process

    async def _receive(self, group: asyncio.TaskGroup) -> Stop:
        while True:
            match message := await self._next():
                case Heartbeat():  # not here: what is sent may wait for the next supervisor, whom this task finds
                    group.create_task(self._pong(message))
                case StartJob():
                    self._held[message.session] = message
                    self._early[message.session] = []
                    task = group.create_task(self._hold(message))
                    self._job_tasks.add(task)
                    task.add_done_callback(self._job_tasks.discard)
                case QueueMoved() | Admitted() | Control():
                    self._of_call(message)
                case Deliver():
                    group.create_task(self._deliver(message))
                case Prepare():
                    group.create_task(self._prepare(message))
                case Commit():
                    self._agents.serve(message.revisions)
                    for job in self._jobs.values():
                        job.look_at_files()
                    group.create_task(self._agents.close_unused())
                    if self.settled is not None:
                        self.settled()
                        self.settled = None
                case DumpTasks():
                    self._dump()
                case Stop():
                    return message

    def _of_call(self, message: ForCall) -> None:
        job = self._jobs.get(message.session)
        early = self._early.get(message.session)
        if isinstance(message, Admitted):
            message = self._admitted(message)
        if job is None and early is not None:
            early.append(message)
        elif isinstance(message, Control):
            self._control(job, message)
        elif job is not None and isinstance(message, Admitted):
            job.admitted(message.start)
        elif job is not None and job.waiting is not None and isinstance(message, QueueMoved):
            job.waiting.position = message.position

    def _admitted(self, message: Admitted) -> Admitted:
        """With the definition that the call was begun with here, where it came with one."""
        held = self._held.get(message.session)
        if held is None or message.start is None:
            return message
        start = self._held[message.session] = replace(message.start, definition=held.definition)
        return replace(message, start=start)

    def _control(self, job: Job | None, message: Control) -> None:
        taken = job is not None and job.do(message.act)
        if not taken and isinstance(message.act, SayText | GenerateReply):
            speech = message.act.speech
            self._reports.urgent(SpeechChanged(session=message.session, speech=speech, state="done", interrupted=True))

    async def _deliver(self, message: Deliver) -> None:
        job = self._jobs.get(message.session)
        delivery = job.deliver(message.key, message.token, message.answer) if job else None
        await self._send(Delivered(request=message.request, delivery=delivery))

    async def _pong(self, beat: Heartbeat) -> None:
        reading = self._vitals.read()
        await self._send(replace(reading, number=beat.number, generations=self._agents.generations()))

    async def _prepare(self, message: Prepare) -> None:
        rejected = await self._agents.prepare(message.generation, message.definitions)
        await self._send(Prepared(request=message.request, rejected=rejected))

    async def _hold(self, start: StartJob) -> None:
        """The job boundary: whatever a call does, the other calls of this worker go on."""
        with logs.fields(
            session=start.session, agent=start.agent, room=start.room, job=start.job, turn=partial(self._turn, start)
        ):
            reason, failed = "cancelled", True
            tally = self._tallies[start.session] = Tally(beginning=start.incarnation == 1)
            others: OtherAgents | None = None
            try:
                agent = await self._agents.lease(start.agent, start.revision, start.definition, start.generation)
                others = OtherAgents(start, agent, self._agents, partial(self._revised, start))
                await others.open()
                job = self._jobs[start.session] = Job(
                    start, agent, others, self._observe, self._reports.event, self._auditor(start), self._common
                )
                for message in self._early.pop(start.session):
                    self._of_call(message)
                reason = await job.run(
                    self._rooms,
                    self._sessions,
                    joined=lambda: self._joined(start),
                    rejoining=lambda: self._rejoins(start),
                )
                failed = False
            except AgentdError as error:
                reason = failure_reason(error)
                logger.error("session failed", extra={"reason": str(error)})  # noqa: TRY400 -- an expected failure, said in one line
            except Exception as error:  # the session boundary: a crashed session must not end the others
                reason = failure_reason(error)
                logger.exception("session crashed")
            finally:
                last_turn = self._turn(start)
                self._jobs.pop(start.session, None)
                self._early.pop(start.session, None)
                self._tallies.pop(start.session, None)
                if others is not None:
                    await others.aclose()
            logger.info("session ended in the worker", extra={"reason": reason, "turn": last_turn})
            await self._reports.flush()
            self._reports.forget(start.session)
            ended = JobEnded(
                session=start.session,
                incarnation=start.incarnation,
                reason=reason,
                failed=failed,
                outcome=tally.outcome(),
            )
            await self._send(ended)
            self._held.pop(start.session, None)
            self._joined_rooms.discard(start.session)
            self._rejoined.discard(start.session)

    def _turn(self, start: StartJob) -> int | None:
        job = self._jobs.get(start.session)
        return job.turn if job else None

    @property
    def holds(self) -> int:
        """Calls."""
        return len(self._held)

    def held(self) -> tuple[HeldSession, ...]:
        """Its calls, for a supervisor that does not know them."""
        return tuple(
            HeldSession(
                start=replace(
                    start,
                    token="",
                    definition=start.definition or self._agents.definition(start.agent, start.revision),
                ),
                look=self._reports.look(session),
                joined=session in self._joined_rooms,
                own_token=start.incarnation > 1 or session in self._rejoined,
            )
            for session, start in self._held.items()
        )

    def _revised(self, start: StartJob, definition: AgentDefinition) -> None:
        """The call goes on by this, here and after the death of this process."""
        held = self._held[start.session]
        self._held[start.session] = held.revised(definition)
        changed = SessionRevised(session=start.session, incarnation=start.incarnation, definition=definition)
        self._reports.urgent(changed)

    def _rejoins(self, start: StartJob) -> None:
        self._rejoined.add(start.session)
        self._reports.urgent(JobRejoins(session=start.session, incarnation=start.incarnation))

    async def _joined(self, start: StartJob) -> None:
        self._joined_rooms.add(start.session)
        await self._send(JobStarted(session=start.session, incarnation=start.incarnation))

    def _observe(self, start: StartJob, record: Record) -> None:
        if tally := self._tallies.get(start.session):
            tally.take(record)
        if self.logs_content and (told := spoken(record)):
            logger.info(told[0], extra=told[1])
        if self.tracing is not None and (job := self._jobs.get(start.session)) is not None:
            self.tracing.take(start, job.agent.definition, record)
        self._reports.observe(start, record)

    async def _stop_jobs(self, reason: str) -> None:
        """Ends every call, politely first."""
        for job in list(self._jobs.values()):
            job.do(EndSession(reason=reason))
        if self._job_tasks:
            await asyncio.wait(self._job_tasks, timeout=STOP_GRACE_S)
        left = [job.start.journal for job in self._jobs.values()]
        for task in list(self._job_tasks):
            await cancel_and_wait(task)
        for journal in left:
            mark_ended(journal, reason)

    async def _next(self) -> object:
        while True:
            try:
                return await receive_object(self._link)
            except Unreadable as error:
                logger.error("message of another version left out", extra={"reason": str(error)})  # noqa: TRY400 -- one line says it
            except LinkClosed:
                self._orphaned()
                raise

    async def _send(self, message: object) -> None:
        try:
            await send_object(self._link, message)
        except LinkClosed:
            self._orphaned()
            raise

    def _dump(self) -> None:
        for task in asyncio.all_tasks():
            frame = task.get_stack(limit=1)
            where = f"{frame[-1].f_code.co_filename}:{frame[-1].f_lineno}" if frame else "finished"
            logger.info("task", extra={"task_name": task.get_name(), "coroutine": str(task.get_coro()), "at": where})
        for job in self._jobs.values():
            start = job.start
            extra = {"session": start.session, "agent": start.agent, "room": start.room, "job": start.job}
            logger.info("session", extra=extra)


def worker_of(settings: WorkerSettings, link: FrameLink, orphaned: Callable[[], None] = lambda: None) -> Worker:
    """A worker with the real parts: installed plugins, LiveKit rooms, sessions and tools."""
    from agentd.runtime.live import live_parts

    parts = live_parts(settings)
    common = Common(callback_url=settings.public_url, agents_dir=settings.agents_dir)
    worker = Worker(link, parts.agents, parts.rooms, parts.sessions, orphaned, _auditor_of(settings), common)
    worker.logs_content = settings.log_content
    if settings.otel is not None:
        from agentd.runtime.tracing import Tracing

        worker.tracing = Tracing(settings.otel, settings.worker)
    return worker


def _auditor_of(settings: WorkerSettings) -> Callable[[StartJob], Audit]:
    wanted = settings.audit
    if wanted is None:
        return lambda start: unaudited
    log = log_of(wanted)

    def auditor(start: StartJob) -> Audit:
        return Auditor(log, wanted.arguments, start.session, start.agent, start.revision.partition(MIXED)[0]).take

    return auditor


async def run_inside(link: FrameLink) -> None:
    """A worker beside its supervisor, on one loop. Ends with the link."""
    settings: WorkerSettings = await receive_object(link)
    with logs.fields(worker=settings.worker):
        try:
            await worker_of(settings, link).run()
        except* LinkClosed:
            logger.info("worker ended with its link")


async def main() -> None:
    """A worker that is its process."""
    link = await parent_link()
    settings: WorkerSettings = await receive_object(link)
    logs.configure(settings.log_style, settings.log_level, redact=settings.log_redact)
    tell_errors(settings.error_hook)
    with logs.fields(worker=settings.worker):
        await run_alone(link, settings, own_process_of)


def own_process_of(settings: WorkerSettings, link: FrameLink, orphaned: Callable[[], None]) -> Worker:
    worker = worker_of(settings, link, orphaned)
    worker.settled = freeze_heap
    return worker


def freeze_heap() -> None:
    """What is loaded by now lives as long as the process. A full pass of the collector over it, some 130,000 objects,
    would hold up the sound of every call by 50 ms."""
    gc.collect()
    gc.freeze()
