"""What the daemon tells its operator, and what it does when asked: the supervisor as the admin API sees it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agentd import __version__
from agentd.config.definition import AgentDefinition
from agentd.config.diff import Change
from agentd.runtime import views
from agentd.runtime.event_ring import EventRing
from agentd.runtime.messages import DumpTasks
from agentd.runtime.parts import Parts
from agentd.runtime.planning import Plan, plan
from agentd.runtime.status import (
    AgentStatus,
    BudgetStatus,
    Facts,
    Readiness,
    ReloadOutcome,
    RevisionStatus,
    RolloutStatus,
    SessionStatus,
    SinkStatus,
    SpeechStatus,
    WorkerStatus,
)
from agentd.session.callbacks import Delivery
from agentd.tools.acts import Act
from agentd.tools.spec import LateAnswer

logger = logging.getLogger(__name__)


class OperatorSide:
    """All of `agentd.runtime.status.Daemon` but its end: draining and upgrades are the supervisor's."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.settings = parts.settings
        self.pool = parts.pool
        self.calls = parts.calls
        self.rollout = parts.rollout
        self.probation = parts.probation
        self.canaries = parts.canaries
        self.gate = parts.gate
        self.late_results = parts.late_results

    def agents(self) -> tuple[AgentStatus, ...]:
        known = views.agents(self.rollout, self.calls.table, self.parts.registrations.registered, self.probation)
        steps = self.parts.busy.steps()
        return tuple(
            replace(status, reached=status.name not in self._stale, busy_step=steps.get(status.name, 0))
            for status in known
        )

    def definition(self, name: str) -> AgentDefinition | None:
        return self.rollout.agents.get(name)

    def rollouts(self) -> tuple[RolloutStatus, ...]:
        return self.canaries.statuses()

    def workers(self) -> tuple[WorkerStatus, ...]:
        return tuple(
            views.worker(worker, self.parts.listener.sessions_of(worker)) for worker in self.pool.workers.values()
        )

    def sessions(self) -> tuple[SessionStatus, ...]:
        return tuple(views.session(session) for session in self.calls.table)

    def generation(self) -> int:
        return self.rollout.number

    def sinks(self) -> tuple[SinkStatus, ...]:
        return self.parts.announcements.statuses()

    def budgets(self) -> tuple[BudgetStatus, ...]:
        return self.parts.budgets.statuses(self.rollout.agents.values())

    def refusal(self, agent: str) -> str:
        load = self.calls.way_in(agent).told
        return load.why if load.full else ""

    def readiness(self) -> Readiness:
        reasons = views.unready_reasons(
            started=self.parts.started,
            draining=self.parts.drain.asked,
            workers_ready=len(self.pool.ready),
            unregistered=self.parts.registrations.unregistered,
            stale=self._stale,
            problems=self.rollout.problems,
            not_durable=self.parts.durability.why,
        )
        return Readiness(ready=not reasons, reasons=reasons)

    async def reload(self) -> ReloadOutcome:
        return await self.rollout.reload(code=True)

    def reload_signal(self) -> None:
        """SIGHUP."""
        self.rollout.request(code=True)

    async def plan(self) -> Plan:
        loaded = await asyncio.to_thread(self.parts.around.load, self.rollout.sources)
        return plan(
            self.rollout.current,
            loaded,
            holds=self.probation.holds,
            calls=self.calls.table.calls_by_revision,
            reached=self.parts.leftover.reached,
            daemon=(*await asyncio.to_thread(self.parts.around.outside), *await self._code_changes()),
            folder=self.settings.agents_shown or str(self.settings.worker.agents_dir),
            tested=self.gate.in_words,
        )

    async def _code_changes(self) -> tuple[Change, ...]:
        return await self.parts.replacement.changes() if self.parts.replacement is not None else ()

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
        return self.parts.ring

    def speeches(self, session_id: str) -> tuple[SpeechStatus, ...]:
        return self.calls.speeches.of_session(session_id)

    async def speech(self, session_id: str, speech_id: str, wait_s: float = 0.0) -> SpeechStatus | None:
        if wait_s > 0:
            await self.calls.speeches.wait(session_id, speech_id, wait_s)
        return self.calls.speeches.get(session_id, speech_id)

    def state_directory(self) -> Path:
        return self.settings.state_dir

    def facts(self) -> Facts:
        return Facts(
            agent_names=tuple(self.rollout.agents),
            sdk_version=__version__,
            active_jobs=len(self.calls.table),
            worker_load=self.calls.load().load,
            livekit_url=self.settings.livekit_url,
            version=__version__,
            instance=self.parts.instance,
            state=self._state(),
        )

    def _state(self) -> Literal["starting", "serving", "draining", "upgrading"]:
        if self.parts.drain.asked:
            return "draining"
        if self.parts.upgrade.under_way:
            return "upgrading"
        return "serving" if self.parts.started else "starting"

    def dump(self) -> None:
        """SIGUSR1: tasks and sessions, of every process, to the log."""
        for task in asyncio.all_tasks():
            logger.info("task", extra={"task_name": task.get_name(), "coroutine": str(task.get_coro())})
        for session in self.sessions():
            extra = {"session": session.id, "agent": session.agent, "room": session.room, "job": session.job_id}
            logger.info("session", extra={**extra, "worker": session.worker, "state": session.state})
        for worker in self.pool.workers.values():
            worker.post(DumpTasks())  # one that has begun or that ends may be the one that is stuck

    @property
    def _stale(self) -> frozenset[str]:
        return self.parts.probes.stale if self.parts.probes is not None else frozenset()
