"""A Daemon of fixed snapshots, for tests of the admin side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from agentd.config.definition import AgentDefinition
from agentd.runtime.canaries import NoRollout
from agentd.runtime.event_ring import EventRing
from agentd.runtime.planning import Plan
from agentd.runtime.probation import RollbackRefused
from agentd.runtime.status import (
    AgentStatus,
    BetweenWorkers,
    BudgetStatus,
    DrainStatus,
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
from agentd.runtime.upgrade import UpgradeRefused
from agentd.session.callbacks import Delivery
from agentd.tools.acts import Act, GenerateReply, SayText
from agentd.tools.spec import LateAnswer


def agent(name: str = "front-desk", **changes: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "source": f"agents.d/{name}.yaml",
        "state": "serving",
        "generation": 3,
        "revision": "a1b2c3",
        "registered": True,
        "sessions": 1,
        "description": "Answers the clinic's calls.",
    }
    return AgentStatus(name=name, **{**values, **changes})


def held_agents() -> tuple[AgentStatus, ...]:
    """Of which an earlier revision serves, for each reason that there is."""
    return (
        agent("failed", state="quarantined", refused="d4e5f6"),
        agent("taken-back", state="rolled_back", refused="d4e5f6"),
        agent("broken", state="stale"),
    )


def worker(name: str = "w1", **changes: Any) -> WorkerStatus:
    values: dict[str, Any] = {
        "pid": 4711,
        "state": "ready",
        "sessions": 1,
        "capacity": 10,
        "loop_lag_s": 0.004,
        "load": 0.1,
        "memory_bytes": 90_000_000,
        "generations": (3,),
    }
    return WorkerStatus(id=name, **{**values, **changes})


def session(name: str = "s-1", **changes: Any) -> SessionStatus:
    values: dict[str, Any] = {
        "agent": "front-desk",
        "revision": "a1b2c3",
        "generation": 3,
        "room": "call-1",
        "job_id": "AJ_1",
        "worker": "w1",
        "state": "listening",
        "started_at": 1_700_000_000.0,
        "caller": "ann",
        "turns": 2,
    }
    return SessionStatus(id=name, **{**values, **changes})


class FakeDaemon:
    """Answers what it was given and remembers what it was asked to do."""

    def __init__(self, *agents: AgentStatus) -> None:
        self.agent_list = agents or (agent(),)
        self.rollout_list: tuple[RolloutStatus, ...] = ()
        self.revision_list: tuple[RevisionStatus, ...] = ()
        self.planned = Plan(generation=3, same=True, valid=True, agents=(), daemon=())
        self.rolled_back: list[tuple[str, str | None]] = []
        self.worker_list: tuple[WorkerStatus, ...] = (worker(),)
        self.session_list: tuple[SessionStatus, ...] = (session(),)
        self.definitions: dict[str, AgentDefinition] = {}
        self.budget_list: tuple[BudgetStatus, ...] = ()
        self.sink_list: tuple[SinkStatus, ...] = ()
        self.ready = Readiness(ready=True)
        self.outcome = ReloadOutcome(applied=True, changed=False, generation=3)
        self.drained = False
        self.livekit_url = "ws://user:pass@127.0.0.1:7880"
        self.drains = [DrainStatus(state="draining", sessions=1)]  # one after the other; the last one stays
        self.upgrade_refused = ""
        self.full = ""
        self.successor: dict[str, str] = {}  # facts of it, from the second time on that it is asked for them
        self.upgrades = 0
        self.state = Path("nowhere")
        self.controlled: list[tuple[str, Act]] = []
        self.speech_list: list[SpeechStatus] = []
        self.ring = EventRing()
        self.delivery: Delivery | BetweenWorkers = "taken"
        self.delivered: list[tuple[str, str, str, LateAnswer]] = []

    def agents(self) -> tuple[AgentStatus, ...]:
        return self.agent_list

    def definition(self, name: str) -> AgentDefinition | None:
        return self.definitions.get(name)

    def rollouts(self) -> tuple[RolloutStatus, ...]:
        return self.rollout_list

    def decide_rollout(self, agent: str, state: Literal["promoted", "rolled_back"]) -> None:
        if agent not in {status.agent for status in self.rollout_list}:
            raise NoRollout(f"{agent} has no rollout that could be {state.replace('_', ' ')}")
        self.rollout_list = tuple(
            replace(status, state=state) if status.agent == agent else status for status in self.rollout_list
        )

    async def plan(self) -> Plan:
        return self.planned

    async def revisions(self, agent: str) -> tuple[RevisionStatus, ...]:
        return self.revision_list

    async def roll_back(self, agent: str, to: str | None = None) -> str:
        if agent not in {status.name for status in self.agent_list}:
            raise KeyError(agent)
        if to == "nothing":
            raise RollbackRefused(f"{agent} has served no other revision")
        self.rolled_back.append((agent, to))
        return to or "before"

    def workers(self) -> tuple[WorkerStatus, ...]:
        return self.worker_list

    def sessions(self) -> tuple[SessionStatus, ...]:
        return self.session_list

    def sinks(self) -> tuple[SinkStatus, ...]:
        return self.sink_list

    def budgets(self) -> tuple[BudgetStatus, ...]:
        return self.budget_list

    def readiness(self) -> Readiness:
        return self.ready

    def generation(self) -> int:
        return 3

    async def reload(self) -> ReloadOutcome:
        return self.outcome

    def drain(self) -> None:
        self.drained = True

    def drain_status(self) -> DrainStatus:
        return self.drains.pop(0) if len(self.drains) > 1 else self.drains[0]

    def refusal(self, agent: str) -> str:
        return self.full

    async def upgrade(self) -> None:
        if self.upgrade_refused:
            raise UpgradeRefused(self.upgrade_refused)
        self.upgrades += 1

    async def control(self, session_id: str, act: Act) -> SpeechStatus | None:
        if session_id not in {status.id for status in self.session_list}:
            raise KeyError(session_id)
        self.controlled.append((session_id, act))
        if not isinstance(act, SayText | GenerateReply):
            return None
        self.speech_list.append(SpeechStatus(id=f"speech-{len(self.speech_list) + 1}", session=session_id))
        return self.speech_list[-1]

    async def deliver(self, session_id: str, key: str, token: str, answer: LateAnswer) -> Delivery:
        if session_id not in {status.id for status in self.session_list}:
            raise KeyError(session_id)
        self.delivered.append((session_id, key, token, answer))
        if isinstance(self.delivery, BetweenWorkers):
            raise self.delivery
        return self.delivery

    def events(self) -> EventRing:
        return self.ring

    def speeches(self, session_id: str) -> tuple[SpeechStatus, ...]:
        return tuple(status for status in self.speech_list if status.session == session_id)

    async def speech(self, session_id: str, speech_id: str, wait_s: float = 0.0) -> SpeechStatus | None:
        """Who waits finds it done."""
        found = next((status for status in self.speeches(session_id) if status.id == speech_id), None)
        return replace(found, state="done") if found and wait_s else found

    def state_directory(self) -> Path:
        return self.state

    def facts(self) -> Facts:
        if self.upgrades:
            self.upgrades += 1
        facts = Facts(
            agent_names=tuple(status.name for status in self.agent_list),
            sdk_version="1.2.1",
            active_jobs=len(self.session_list),
            worker_load=0.25,
            livekit_url=self.livekit_url,
            version="0.1.0",
            instance="first",
            state="serving",
        )
        return replace(facts, **(self.successor if self.upgrades > 3 else {}))  # type: ignore[arg-type]  # texts
