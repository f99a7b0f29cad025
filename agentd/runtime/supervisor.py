"""The supervisor: the one process that LiveKit, the operator and the workers know.

It owns the generations, the registrations (one a name) and the job table, and it holds no call itself: no SDK, no
model and no user code is ever imported here, so that nothing of theirs can take it down.

supervisor{ pool, rollout, watch, tick, registration x A }
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from agentd import __version__
from agentd.aio import every
from agentd.config.budget import Price
from agentd.config.definition import AgentDefinition
from agentd.config.diff import Change
from agentd.config.events import EventSink
from agentd.config.load import Loaded
from agentd.config.reachable import reachable
from agentd.errors import AgentdError, Problem
from agentd.runtime import daemon_events, views
from agentd.runtime.admission import Admission, ask
from agentd.runtime.adoption import adopt_workers
from agentd.runtime.announcements import Announcements
from agentd.runtime.budgets import REASON, Budgets
from agentd.runtime.busy import Busy
from agentd.runtime.call_queue import CallQueue
from agentd.runtime.calls import Calls, Mint
from agentd.runtime.canaries import Canaries
from agentd.runtime.chronicle import Chronicle
from agentd.runtime.cold import recover_calls
from agentd.runtime.drain import CUT_GRACE_S, Drain
from agentd.runtime.event_ring import EventRing
from agentd.runtime.gate import Gate
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.journals import unfinished
from agentd.runtime.late_results import LateResults
from agentd.runtime.launch import Launch, launch_process
from agentd.runtime.ledger import Ledger
from agentd.runtime.memory import used_share
from agentd.runtime.messages import (
    Delivered,
    DumpTasks,
    FromWorker,
    JobEnded,
    JobRejoins,
    JobStarted,
    Measures,
    SessionChanged,
    SessionEvents,
    SessionRevised,
    SpeechChanged,
    ToWorker,
    WorkerSettings,
)
from agentd.runtime.outcome import SessionOutcome, verdict
from agentd.runtime.placement import LAG_OVERLOAD_S, Thresholds
from agentd.runtime.planning import Plan, plan
from agentd.runtime.pool import Pool
from agentd.runtime.probation import Probation
from agentd.runtime.probe import ProbeRooms, Probes
from agentd.runtime.recycling import RecycleLimits
from agentd.runtime.registrations import LiveKitUnreachable, Register, Registrations
from agentd.runtime.replacement import Code, Replacement
from agentd.runtime.revisions import Rebuild, Revisions
from agentd.runtime.rollout import Rollout
from agentd.runtime.scaling import Bounds, Scaling
from agentd.runtime.status import (
    AgentStatus,
    BetweenWorkers,
    BudgetStatus,
    Measure,
    MeasureSink,
    Readiness,
    ReloadOutcome,
    RevisionStatus,
    RolloutStatus,
    SessionStatus,
    SinkStatus,
    SpeechStatus,
    WorkerStatus,
)
from agentd.runtime.systemd import Phase
from agentd.runtime.upgrade import Successor, Upgrade, reap
from agentd.runtime.usage import SessionUsed
from agentd.runtime.watchdog import Watchdog
from agentd.runtime.worker_handle import WorkerHandle
from agentd.session.callbacks import Delivery
from agentd.tools.acts import Act, EndSession
from agentd.tools.event import Event
from agentd.tools.http import WebhookClient
from agentd.tools.spec import LateAnswer
from agentd.transport.protocol import Job

logger = logging.getLogger(__name__)

TICK_S = 1.0
NO_SUCCESSOR = (
    "this daemon cannot be upgraded under its calls: they are in its own process, end with it (alone_timeout: 0), or "
    "it runs a LiveKit server of its own"
)


class NoValidAgent(AgentdError):
    """There is nothing to serve; `problems` say why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)) or "there are no agent files")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """`workers` 0: one inside this process; else the fewest. `worker`: what all are told; the name is filled in."""

    state_dir: Path
    worker: WorkerSettings
    workers: int = 2
    workers_most: int | None = None  # None: as many as `workers`
    quiet_s: float = 300.0  # how long fewer workers must have sufficed before one is let go
    cores: int = 1
    sessions_per_worker: int = 10
    load_threshold: float = 0.7
    memory_threshold: float = 1.0
    recycle: RecycleLimits = field(default_factory=RecycleLimits)
    lag_threshold_s: float = LAG_OVERLOAD_S
    drain_timeout_s: float = 3600.0
    livekit_url: str = ""
    prices: Mapping[str, Price] = field(default_factory=dict)
    probe_s: float | None = None  # how often registrations are probed; None: never
    events: tuple[EventSink, ...] = ()  # the daemon's own; http.allow is the workers'
    agents_shown: str = ""  # the agents' directory as it was given
    require_livekit_s: float | None = None  # how long to wait for a registration before giving up; None: for ever

    def bounds(self) -> Bounds:
        fewest = max(1, self.workers)
        return Bounds(fewest=fewest, most=max(fewest, self.workers_most or 0), quiet_s=self.quiet_s)


class Supervisor:
    """Implements `agentd.runtime.status.Daemon`."""

    def __init__(
        self,
        settings: SupervisorSettings,
        *,
        load: Callable[[], Loaded],
        launch: Launch,
        register: Register,
        mint: Mint,
        measures: MeasureSink,
        changes: AsyncIterable[object] | None = None,
        room_exists: Callable[[str], Awaitable[bool]] | None = None,
        rebuild: Rebuild | None = None,
        outside: Callable[[], tuple[Change, ...]] = lambda: (),
        code: Code | None = None,
        probe_rooms: ProbeRooms | None = None,
        notify: Callable[[Phase], None] = lambda phase: None,
        successor: Successor | None = None,
        children: Sequence[int] = (),
    ) -> None:
        """`changes`: yields whenever the agents' directory has changed. `room_exists`: asks LiveKit; None: no cold
        recovery of calls that an earlier daemon left. `rebuild`: makes a kept revision again. `outside`: what of
        agentd.yaml differs from what is on disk; `code`: that of agentd and its plugins. `notify`: tells the service
        manager. `successor`: what takes its place at an upgrade. `children`: processes that it has from before one."""
        self._notify = notify
        self._children = children
        self._instance = secrets.token_hex(4)
        self._load = load
        self._outside = outside
        self._settings = settings
        self._mint = mint
        self._measures = measures
        self._changes = changes
        self._room_exists = room_exists
        self._ring = EventRing()
        self._chronicle = Chronicle(settings.worker.audit)
        self._stirred = asyncio.Event()  # something changed that the end may wait for
        self._registrations = Registrations(register, self._stirred.set, self._registered)
        self._started = False
        self._group: asyncio.TaskGroup | None = None
        self.pool = Pool(
            count=max(1, settings.workers),
            capacity=settings.sessions_per_worker,
            launch=launch,
            settings=lambda name: replace(settings.worker, worker=name),
            listener=self,
        )
        self.probation = Probation(
            state_dir=settings.state_dir,
            revisions=Revisions(settings.state_dir, settings.worker.agents_dir, rebuild),
            serving=self.definition,
            in_use=lambda agent: self.calls.table.revisions_of(agent),
            request=lambda: self.rollout.request(),
            measures=measures,
            told=self._happened,
        )
        self.gate = Gate(
            state_dir=settings.state_dir,
            settings=replace(settings.worker, worker="tests"),
            launch=partial(launch_process, module="agentd.runtime.rehearsing"),
            measures=measures,
        )
        self.replacement = self._replacement_of(code) if code is not None else None
        self.rollout = Rollout(
            pool=self.pool,
            load=load,
            revise=self.probation.revise,
            committed=self._committed,
            keep=self.probation.keep,
            measures=measures,
            notify=self._notify_reload,
            reloaded=self._reloaded,
            code=self.replacement,
            gate=self.gate,
        )
        self._webhooks = WebhookClient(settings.worker.http_allow)
        self._budgets = Budgets(
            Ledger(settings.state_dir / "budgets.db"),
            settings.prices,
            serving=lambda agent: self.rollout.agents.get(agent),
            measures=measures,
            clock=time.time,
        )
        self._busy = Busy(
            serving=self.definition,
            fraction=lambda definition: self.calls.fraction(definition),
            tell=lambda session, act: self.calls.control(session, act),
            told=lambda event: self._ring.add([event]),
        )
        table = JobTable()
        self._queue = CallQueue(
            table,
            place_for=lambda session: self.calls.place_for(session),
            post=self._post,
            begin=lambda session: self.calls.begin(session),
            move=lambda session, worker: self.calls.move(session, worker),
            measures=measures,
            told=lambda event: self._ring.add([event]),
        )
        self.calls = Calls(
            table=table,
            pool=self.pool,
            serving=self.definition,
            others=lambda agent: tuple(reachable(agent, self.rollout.agents).values()),
            pick=lambda agent, job: self.canaries.pick(agent, job),
            with_code=self.probation.with_code,
            generation=lambda: self.rollout.number,
            link=self._registrations.link,
            mint=mint,
            state_dir=settings.state_dir,
            measures=measures,
            cores=settings.cores,
            thresholds=Thresholds(
                cpu=settings.load_threshold, memory=settings.memory_threshold, lag_s=settings.lag_threshold_s
            ),
            changed=self._calls_changed,
            ask=self._ask,
            began=lambda session: self.announcements.began(session),
            ended=self._call_ended,
            probed=lambda agent, job: self._probes.offered(agent, job) if self._probes else None,
            refusal=self._budgets.refusal,
            capacity=settings.bounds().most * settings.sessions_per_worker,
            busy=self._busy.of,
            started=lambda session, busy: self._busy.began(session, busy.given_up),
            queue=self._queue,
        )
        self._scaling = Scaling(
            self.pool,
            settings.bounds(),
            places=self.calls.places,
            waiting=lambda: len(self.calls.table.queue()),
            measures=measures,
        )
        self._watchdog = Watchdog(self.pool, self._registrations, lambda: notify("alive"))
        self._drain = Drain(self.calls, self._registrations, self._stirred, self._drain_began)
        self._upgrade = Upgrade(
            self.calls, self.pool, self._registrations, successor, NO_SUCCESSOR, lambda: self._drain.asked
        )
        self.canaries = Canaries(
            state_dir=settings.state_dir,
            serving=lambda: self.rollout.agents,
            written=lambda: self.probation.written,
            failing=self.probation.failing,
            measures=measures,
            told=lambda status: self._happened(daemon_events.rollout_changed(status)),
        )
        self._probes = self._probes_of(probe_rooms) if probe_rooms is not None else None
        self.announcements = Announcements(
            state_dir=settings.state_dir,
            daemon_sinks=settings.events,
            http=self._webhooks,
            measures=measures,
            serving=lambda: self.rollout.agents,
            calls=lambda: self.calls.table,
        )
        self.late_results = LateResults(self.calls.table, self.pool.get)

    @property
    def settings(self) -> SupervisorSettings:
        return self._settings

    async def run(self) -> bool:
        """Until drained. True: every call came to its own end; False: calls were cut.

        Raises NoValidAgent, LiveKitUnreachable.
        """
        failure: AgentdError | None = None
        whole = True
        async with asyncio.TaskGroup() as group:
            self._group = group
            pool = group.create_task(self.pool.run(), name="pool")
            others = [group.create_task(self.rollout.run(), name="rollout")]
            others.append(group.create_task(self.announcements.run(), name="announcements"))
            try:
                await self._start(group, others)
                whole = await self._drain.wait(self._settings.drain_timeout_s)
                self._chronicle.ended(whole=whole)
                self.pool.stop("shutdown")
                await asyncio.wait([pool], timeout=2 * CUT_GRACE_S)
            except (NoValidAgent, LiveKitUnreachable) as error:
                failure = error
            finally:
                self._group = None
                self._budgets.close()
                self._registrations.cancel()
                for task in (pool, *others):
                    task.cancel()
        if failure is not None:
            raise failure
        return whole

    async def _start(self, group: asyncio.TaskGroup, others: list[asyncio.Task[None]]) -> None:
        others.append(group.create_task(self._upgrade.run(), name="upgrade"))
        others.append(group.create_task(reap(self._children), name="reap"))
        adopted = await adopt_workers(self._settings.state_dir, self.pool, self.calls)
        left = unfinished(self._settings.state_dir)  # before any call of our own has a journal
        left = [each for each in left if each.session not in adopted]
        for owner in (self.probation, self.canaries, self.gate):
            await asyncio.to_thread(owner.load)
            others.append(group.create_task(owner.file.run(), name="state file"))
        others.append(group.create_task(every(TICK_S, self._tick), name="tick"))
        if self._changes is not None:  # before the first reading, so that no change falls between the two
            others.append(group.create_task(self._watch(self._changes), name="watch"))
        self._chronicle.started(self._instance)
        await self.rollout.reload()
        if not self.rollout.agents:
            raise NoValidAgent(self.rollout.problems)
        if self._settings.require_livekit_s is not None:
            await self._registrations.within(self._settings.require_livekit_s)
        if self._room_exists is not None:
            url = self._settings.livekit_url
            recovery = recover_calls(left, self.calls, self.rollout.agents, url, self._mint, self._room_exists)
            others.append(group.create_task(recovery, name="cold recovery"))
        if self._probes is not None:
            others.append(group.create_task(self._probes.run(), name="probes"))
        self._started = True
        self._notify("ready")
        logger.info("serving", extra={"agents": ",".join(self.rollout.agents), "workers": self._settings.workers})

    async def _watch(self, changes: AsyncIterable[object]) -> None:
        async for _ in changes:
            self.rollout.request()

    def _reloaded(self, outcome: ReloadOutcome) -> None:
        self.announcements.reloaded(outcome, self.rollout)
        self._chronicle.reloaded(outcome, self.rollout.agents)

    def _happened(self, event: Event) -> None:
        """To an agent, rather than in a call."""
        self._ring.add([event])
        self._chronicle.happened(event)

    def _notify_reload(self, phase: Phase) -> None:
        if self._started:
            self._notify(phase)

    def _tick(self) -> None:
        self.calls.table.lapse(self._now())
        self.calls.rescue()
        self.calls.memory = used_share()
        self.canaries.tick()
        self._busy.tick(tuple(self.rollout.agents), self.calls.table)
        for ending in self._budgets.tick(self.calls.table.placed()):
            with suppress(BetweenWorkers):  # at the next tick, then
                self.calls.control(ending.session, EndSession(reason=REASON, goodbye=ending.goodbye))
        self.pool.recycle(self._settings.recycle)
        if not self._drain.asked and not self._upgrade.under_way:
            self._scaling.tick()
        self.pool.retire()
        if self.replacement is not None:
            self.replacement.tick()
        self._calls_changed()
        self._watchdog.tick()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # The end

    def drain(self) -> None:
        """Takes no more calls; the daemon ends when the last call has, or at the deadline."""
        self._drain.begin()

    def _drain_began(self, calls: int) -> None:
        self._notify("stopping")
        self.announcements.draining(calls)
        self._chronicle.draining(calls)

    async def upgrade(self) -> None:
        await self._upgrade.ask()
        self._chronicle.upgrading(len(self.calls.table))

    def cut(self) -> None:
        """Ends the calls that a drain still waits for."""
        self._drain.cut()

    def stop_signal(self) -> None:
        """SIGTERM or SIGINT: the first drains, the second cuts."""
        self._drain.signal()

    def _replacement_of(self, code: Code) -> Replacement:
        return Replacement(
            self.pool,
            code,
            replaces=self._settings.workers > 0,
            drain_s=self._settings.drain_timeout_s,
            measures=self._measures,
            again=self.reload_signal,
        )

    # Registrations

    def _committed(self) -> None:
        self.canaries.sync()
        self._sync_registrations()

    def _sync_registrations(self) -> None:
        if self._group is not None:
            self._registrations.sync(self.rollout.agents, self.calls, self._group)

    def _probes_of(self, rooms: ProbeRooms) -> Probes:
        return Probes(
            rooms,
            interval_s=self._settings.probe_s,
            known=lambda: tuple(self.rollout.agents),
            registered=lambda: self._registrations.registered,
            full=lambda agent: self.calls.way_in(agent).told.full,
            renew=self._registrations.renew,
            measures=self._measures,
        )

    @property
    def _stale(self) -> frozenset[str]:
        return self._probes.stale if self._probes is not None else frozenset()

    def _registered(self, agent: str, registered: bool, reason: str) -> None:
        self.announcements.registered(agent, registered=registered, reason=reason)

    def _calls_changed(self) -> None:
        self._stirred.set()
        self._queue.serve()
        self._sync_registrations()

    def _post(self, worker: str, message: ToWorker) -> None:
        if handle := self.pool.get(worker):
            handle.post(message)

    def _call_ended(self, session: Session, reason: str, failed: bool, outcome: SessionOutcome) -> None:
        whole = session.turns and reason == "rescue_failed"  # it talked until something else took its workers down
        judged = verdict(outcome, reason, failed=failed and not whole)
        self.probation.ended(session.definition.name, session.definition.revision, judged)
        self.canaries.ended(session, outcome, judged)

    # The pool's listener

    async def welcome(self, worker: WorkerHandle) -> None:
        await self.rollout.welcome(worker)

    def ready(self, worker: WorkerHandle) -> None:
        logger.info("worker ready", extra={"worker": worker.name, "worker_pid": worker.pid})
        self.rollout.worker_ready()
        self.calls.rescue()
        self._calls_changed()

    def message(self, worker: WorkerHandle, message: FromWorker) -> None:
        match message:
            case JobStarted():
                self.calls.started(message)
            case JobRejoins():
                self.calls.rejoins(message)
            case JobEnded():
                self.calls.ended(message)
            case SessionChanged():
                self.calls.changed(message)
            case SessionRevised(definition=definition):
                self.calls.revised(message)
                self.probation.look_again(definition.name)
            case SessionEvents():
                self._ring.add(message.events)
                self.announcements.stir()
                if message.dropped:
                    dropped = Measure(name="events_dropped_total", value=message.dropped, labels={"where": "worker"})
                    self._measures.apply(dropped)
            case Delivered():
                self.late_results.answered(message)
            case SpeechChanged():
                self.calls.speeches.changed(message)
            case SessionUsed():
                self._budgets.used(self.calls.table.get(message.session), message)
            case Measures(steps=steps):
                for step in steps:
                    self._measures.apply(step)

    def died(self, worker: WorkerHandle, reason: str) -> None:
        if self._drain.asked and not len(self.calls.table):
            return
        logger.error("worker died", extra={"worker": worker.name, "worker_pid": worker.pid, "reason": reason})
        self._measures.apply(Measure(name="worker_restarts_total"))
        self.announcements.process_lost(worker.name, reason, self.sessions_of(worker))
        self.late_results.worker_died(worker.name)
        self.calls.worker_died(worker.name)

    def retired(self, worker: WorkerHandle) -> None:
        for session in self.calls.table.of_worker(worker.name):  # calls that did not end when their time was up
            self.calls.control(session.id, EndSession(reason="drain_deadline"))
        logger.info("worker retired", extra={"worker": worker.name, "worker_pid": worker.pid})

    def sessions_of(self, worker: WorkerHandle) -> int:
        return len(self.calls.table.of_worker(worker.name))

    # The operator's side: agentd.runtime.status.Daemon

    def agents(self) -> tuple[AgentStatus, ...]:
        known = views.agents(self.rollout, self.calls.table, self._registrations.registered, self.probation)
        steps = self._busy.steps()
        return tuple(
            replace(status, reached=status.name not in self._stale, busy_step=steps.get(status.name, 0))
            for status in known
        )

    def definition(self, name: str) -> AgentDefinition | None:
        return self.rollout.agents.get(name)

    def rollouts(self) -> tuple[RolloutStatus, ...]:
        return self.canaries.statuses()

    def workers(self) -> tuple[WorkerStatus, ...]:
        return tuple(views.worker(worker, self.sessions_of(worker)) for worker in self.pool.workers.values())

    def sessions(self) -> tuple[SessionStatus, ...]:
        return tuple(views.session(session) for session in self.calls.table)

    def generation(self) -> int:
        return self.rollout.number

    def sinks(self) -> tuple[SinkStatus, ...]:
        return self.announcements.statuses()

    def budgets(self) -> tuple[BudgetStatus, ...]:
        return self._budgets.statuses(self.rollout.agents.values())

    async def _ask(self, definition: AgentDefinition, job: Job) -> Admission:
        return await ask(definition, job, self._webhooks)

    def refusal(self, agent: str) -> str:
        load = self.calls.way_in(agent).told
        return load.why if load.full else ""

    def readiness(self) -> Readiness:
        reasons = views.unready_reasons(
            started=self._started,
            draining=self._drain.asked,
            workers_ready=len(self.pool.ready),
            unregistered=self._registrations.unregistered,
            stale=self._stale,
            problems=self.rollout.problems,
        )
        return Readiness(ready=not reasons, reasons=reasons)

    async def reload(self) -> ReloadOutcome:
        return await self.rollout.reload(code=True)

    def reload_signal(self) -> None:
        """SIGHUP."""
        self.rollout.request(code=True)

    async def plan(self) -> Plan:
        loaded = await asyncio.to_thread(self._load)
        return plan(
            self.rollout.current,
            loaded,
            holds=self.probation.holds,
            calls=self.calls.table.calls_by_revision,
            daemon=(*await asyncio.to_thread(self._outside), *await self._code_changes()),
            folder=self._settings.agents_shown or str(self._settings.worker.agents_dir),
            tested=self.gate.in_words,
        )

    async def _code_changes(self) -> tuple[Change, ...]:
        return await self.replacement.changes() if self.replacement is not None else ()

    async def revisions(self, agent: str) -> tuple[RevisionStatus, ...]:
        kept = await self.probation.history(agent)
        return views.revisions(kept, self.rollout.agents.get(agent), self.calls.table, self.probation, self.gate)

    def decide_rollout(self, agent: str, state: Literal["promoted", "rolled_back"]) -> None:
        self.canaries.decide(agent, state)

    async def roll_back(self, agent: str, to: str | None = None) -> str:
        if to is None and self.canaries.takes_calls(agent):
            self.canaries.decide(agent, "rolled_back")
            return self.rollout.agents[agent].digest
        return await self.probation.roll_back(agent, to, self.rollout.reload)

    async def control(self, session_id: str, act: Act) -> SpeechStatus | None:
        return self.calls.control(session_id, act)

    async def deliver(self, session_id: str, key: str, token: str, answer: LateAnswer) -> Delivery:
        return await self.late_results.deliver(session_id, key, token, answer)

    def events(self) -> EventRing:
        return self._ring

    def speeches(self, session_id: str) -> tuple[SpeechStatus, ...]:
        return self.calls.speeches.of_session(session_id)

    async def speech(self, session_id: str, speech_id: str, wait_s: float = 0.0) -> SpeechStatus | None:
        if wait_s > 0:
            await self.calls.speeches.wait(session_id, speech_id, wait_s)
        return self.calls.speeches.get(session_id, speech_id)

    def state_directory(self) -> Path:
        return self._settings.state_dir

    def facts(self) -> Mapping[str, Any]:
        return {
            "agent_names": list(self.rollout.agents),
            "sdk_version": __version__,
            "active_jobs": len(self.calls.table),
            "worker_load": self.calls.load().load,
            "livekit_url": self._settings.livekit_url,
            "version": __version__,
            "instance": self._instance,
            "state": self._state(),
        }

    def _state(self) -> str:
        if self._drain.asked:
            return "draining"
        if self._upgrade.under_way:
            return "upgrading"
        return "serving" if self._started else "starting"

    def dump(self) -> None:
        """SIGUSR1: tasks and sessions, of every process, to the log."""
        for task in asyncio.all_tasks():
            logger.info("task", extra={"task_name": task.get_name(), "coroutine": str(task.get_coro())})
        for session in self.sessions():
            extra = {"session": session.id, "agent": session.agent, "worker": session.worker, "state": session.state}
            logger.info("session", extra=extra)
        for worker in self.pool.ready:
            worker.post(DumpTasks())
