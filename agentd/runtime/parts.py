"""What a supervisor is made of, and how its parts are joined: who asks whom, and who is told.

Some ask others that are made after them. They do so through the `Parts`, when there is something to ask.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from functools import partial

from agentd.config.definition import AgentDefinition
from agentd.config.reachable import reachable
from agentd.runtime import daemon_events
from agentd.runtime.admission import Admission, ask
from agentd.runtime.announcements import Announcements
from agentd.runtime.budgets import Budgets
from agentd.runtime.busy import Busy
from agentd.runtime.call_queue import CallQueue
from agentd.runtime.calls import Calls
from agentd.runtime.canaries import Canaries
from agentd.runtime.chronicle import Chronicle
from agentd.runtime.drain import Drain
from agentd.runtime.durability import Durability
from agentd.runtime.event_ring import EventRing
from agentd.runtime.gate import Gate
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.journals import journal_path
from agentd.runtime.late_results import LateResults
from agentd.runtime.launch import launch_process
from agentd.runtime.ledger import Ledger
from agentd.runtime.leftover import Leftover
from agentd.runtime.messages import ToWorker
from agentd.runtime.outcome import NOT_JOURNALED, SessionOutcome, verdict
from agentd.runtime.placement import Thresholds
from agentd.runtime.pool import Pool
from agentd.runtime.probation import Probation
from agentd.runtime.probe import ProbeRooms, Probes
from agentd.runtime.registrations import Registrations
from agentd.runtime.replacement import Code, Replacement
from agentd.runtime.retention import Retention
from agentd.runtime.revisions import Revisions
from agentd.runtime.rollout import Rollout
from agentd.runtime.scaling import Scaling
from agentd.runtime.status import ReloadOutcome
from agentd.runtime.supervisor_settings import SupervisorSettings
from agentd.runtime.surroundings import Surroundings
from agentd.runtime.systemd import Phase
from agentd.runtime.upgrade import Upgrade
from agentd.runtime.watchdog import Watchdog
from agentd.runtime.worker_listener import WorkerListener
from agentd.tools.event import Event
from agentd.tools.http import WebhookClient
from agentd.transport.protocol import Job

NO_SUCCESSOR = (
    "this daemon cannot be upgraded under its calls: they are in its own process, end with it (alone_timeout: 0), or "
    "it runs a LiveKit server of its own"
)


class Parts:
    """Of one supervisor, which runs them."""

    def __init__(self, settings: SupervisorSettings, around: Surroundings) -> None:
        self.settings = settings
        self.around = around
        self.instance = secrets.token_hex(4)
        self.started = False  # it has read the agents, and serves them
        self.group: asyncio.TaskGroup | None = None  # while it runs
        self.changing = asyncio.Lock()  # held by whoever changes what serves, or which workers do
        self.ring = EventRing()
        self.chronicle = Chronicle(settings.worker.audit)
        self.stirred = asyncio.Event()  # something changed that the end may wait for
        self.registrations = Registrations(around.register, self.stirred.set, self._registered)
        self.listener = WorkerListener(self)
        self.pool = self._make_pool()
        self.probation = self._make_probation()
        self.gate = self._make_gate()
        self.replacement = self._make_replacement(around.code) if around.code is not None else None
        self.leftover = Leftover(
            self.pool, lambda: self.calls.table, lambda session, act: self.calls.control(session, act)
        )
        self.rollout = self._make_rollout()
        self.webhooks = WebhookClient(settings.worker.http_allow)
        self.budgets = self._make_budgets()
        self.busy = self._make_busy()
        table = JobTable()
        self.queue = self._make_queue(table)
        self.canaries = self._make_canaries()
        self.calls = self._make_calls(table)
        self.durability = self._make_durability()
        self.scaling = self._make_scaling()
        self.watchdog = Watchdog(self.pool, self.registrations, lambda: around.notify("alive"))
        self.drain = Drain(self.calls, self.registrations, self.stirred, self._drain_began)
        self.upgrade = Upgrade(
            self.calls, self.pool, self.registrations, around.successor, NO_SUCCESSOR, lambda: self.drain.asked
        )
        self.probes = self._make_probes(around.probe_rooms) if around.probe_rooms is not None else None
        self.announcements = self._make_announcements()
        self.retention = self._make_retention(settings.keep_journals_s) if settings.keep_journals_s else None
        self.late_results = LateResults(self.calls.table, self.pool.get)

    def _make_pool(self) -> Pool:
        return Pool(
            count=max(1, self.settings.workers),
            capacity=self.settings.sessions_per_worker,
            launch=self.around.launch,
            settings=lambda name: replace(self.settings.worker, worker=name),
            listener=self.listener,
        )

    def _make_probation(self) -> Probation:
        return Probation(
            state_dir=self.settings.state_dir,
            revisions=Revisions(self.settings.state_dir, self.settings.worker.agents_dir, self.around.rebuild),
            serving=self.serving,
            in_use=lambda agent: self.calls.table.revisions_of(agent),
            put_in_place=lambda definition, hold: self.rollout.put_in_place(definition, hold),
            request=lambda: self.rollout.request(),
            measures=self.around.measures,
            told=self._happened,
        )

    def _make_gate(self) -> Gate:
        return Gate(
            state_dir=self.settings.state_dir,
            settings=replace(self.settings.worker, worker="tests"),
            launch=partial(launch_process, module="agentd.runtime.rehearsing"),
            measures=self.around.measures,
        )

    def _make_rollout(self) -> Rollout:
        return Rollout(
            pool=self.pool,
            changing=self.changing,
            leftover=self.leftover,
            load=self.around.load,
            revise=self.probation.revise,
            committed=self._committed,
            keep=self.probation.keep,
            measures=self.around.measures,
            notify=self._notify_reload,
            reloaded=self._reloaded,
            code=self.replacement,
            gate=self.gate,
        )

    def _make_budgets(self) -> Budgets:
        return Budgets(
            Ledger(self.settings.state_dir / "budgets.db"),
            self.settings.prices,
            serving=self.serving,
            measures=self.around.measures,
            clock=time.time,
        )

    def _make_busy(self) -> Busy:
        return Busy(
            serving=self.serving,
            fraction=lambda definition: self.calls.fraction(definition),
            tell=lambda session, act: self.calls.control(session, act),
            told=lambda event: self.ring.add([event]),
        )

    def _make_queue(self, table: JobTable) -> CallQueue:
        return CallQueue(
            table,
            place_for=lambda session: self.calls.place_for(session),
            post=self._post,
            begin=lambda session: self.calls.begin(session),
            move=lambda session, worker: self.calls.move(session, worker),
            measures=self.around.measures,
            told=lambda event: self.ring.add([event]),
        )

    def _make_calls(self, table: JobTable) -> Calls:
        return Calls(
            table=table,
            pool=self.pool,
            serving=self.serving,
            others=lambda agent: tuple(reachable(agent, self.rollout.agents).values()),
            sharing=self.canaries,
            with_code=self.probation.with_code,
            generation=lambda: self.rollout.number,
            link=self.registrations.link,
            mint=self.around.mint,
            state_dir=self.settings.state_dir,
            measures=self.around.measures,
            cores=self.settings.cores,
            thresholds=Thresholds(
                cpu=self.settings.load_threshold,
                memory=self.settings.memory_threshold,
                lag_s=self.settings.lag_threshold_s,
            ),
            changed=self.calls_changed,
            ask=self._ask,
            began=lambda session: self.announcements.began(session),
            ended=self._call_ended,
            probed=lambda agent, job: self.probes.offered(agent, job) if self.probes else None,
            refusal=self.budgets.refusal,
            capacity=self.settings.bounds().most * self.settings.sessions_per_worker,
            busy=self.busy.of,
            started=lambda session, busy: self.busy.began(session, busy.given_up),
            queue=self.queue,
        )

    def _make_durability(self) -> Durability:
        directory = journal_path(self.settings.state_dir, "").parent
        return Durability(directory, measures=self.around.measures, changed=self._durability_changed)

    def _make_scaling(self) -> Scaling:
        return Scaling(
            self.pool,
            self.settings.bounds(),
            places=self.calls.places,
            waiting=lambda: len(self.calls.table.queue()),
            measures=self.around.measures,
        )

    def _make_canaries(self) -> Canaries:
        return Canaries(
            state_dir=self.settings.state_dir,
            serving=lambda: self.rollout.agents,
            written=lambda: self.probation.written,
            failing=self.probation.failing,
            measures=self.around.measures,
            told=lambda status: self._happened(daemon_events.rollout_changed(status)),
        )

    def _make_announcements(self) -> Announcements:
        return Announcements(
            state_dir=self.settings.state_dir,
            daemon_sinks=self.settings.events,
            http=self.webhooks,
            measures=self.around.measures,
            serving=lambda: self.rollout.agents,
            calls=lambda: self.calls.table,
        )

    def _make_replacement(self, code: Code) -> Replacement:
        return Replacement(
            self.pool,
            code,
            changing=self.changing,
            replaces=self.settings.workers > 0,
            drain_s=self.settings.drain_timeout_s,
            measures=self.around.measures,
            again=lambda: self.rollout.request(code=True),
        )

    def _make_probes(self, rooms: ProbeRooms) -> Probes:
        return Probes(
            rooms,
            interval_s=self.settings.probe_s,
            known=lambda: tuple(self.rollout.agents),
            registered=lambda: self.registrations.registered,
            full=lambda agent: self.calls.way_in(agent).told.full,
            renew=self.registrations.renew,
            measures=self.around.measures,
        )

    def _make_retention(self, keep_s: float) -> Retention:
        return Retention(
            self.settings.state_dir,
            keep_s,
            lambda session: self.calls.table.get(session) is not None or self.announcements.follows(session),
        )

    def serving(self, agent: str) -> AgentDefinition | None:
        """The definition of an agent for new calls."""
        return self.rollout.agents.get(agent)

    # What the parts tell each other

    async def _ask(self, definition: AgentDefinition, job: Job) -> Admission:
        return await ask(definition, job, self.webhooks)

    def _committed(self) -> None:
        self.canaries.sync()
        self._sync_registrations()

    def _sync_registrations(self) -> None:
        if self.group is not None:
            self.registrations.sync(self.rollout.agents, self.calls, self.group)

    def _reloaded(self, outcome: ReloadOutcome) -> None:
        self.announcements.reloaded(outcome, self.rollout)
        self.chronicle.reloaded(outcome, self.rollout.agents)

    def _happened(self, event: Event) -> None:
        """To an agent, rather than in a call."""
        self.ring.add([event])
        self.chronicle.happened(event)

    def _notify_reload(self, phase: Phase) -> None:
        if self.started:
            self.around.notify(phase)

    def _registered(self, agent: str, registered: bool, reason: str) -> None:
        self.announcements.registered(agent, registered=registered, reason=reason)

    def calls_changed(self) -> None:
        self.stirred.set()
        self.queue.serve()
        self._sync_registrations()

    def _post(self, worker: str, message: ToWorker) -> None:
        if handle := self.pool.get(worker):
            handle.post(message)

    def _durability_changed(self, why_not: str) -> None:
        self.calls.not_durable = why_not
        self.calls_changed()

    def _call_ended(self, session: Session, reason: str, failed: bool, outcome: SessionOutcome) -> None:
        if reason == NOT_JOURNALED:
            self.durability.doubt()
        whole = session.turns and reason == "rescue_failed"  # it talked until something else took its workers down
        judged = verdict(outcome, reason, failed=failed and not whole)
        self.probation.ended(session.definition.name, session.definition.revision, judged)
        self.canaries.ended(session, outcome, judged)

    def _drain_began(self, calls: int) -> None:
        self.around.notify("stopping")
        self.announcements.draining(calls)
        self.chronicle.draining(calls)
