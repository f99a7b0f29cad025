"""What the daemon says of itself, and what may be asked of it: the seam between the runtime and the admin side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from agentd.config.definition import AgentDefinition
from agentd.errors import AgentdError, Problem
from agentd.runtime.event_ring import EventRing
from agentd.runtime.objectives import Measured
from agentd.runtime.planning import Plan
from agentd.runtime.trial import UNTRIED, Trial
from agentd.session.callbacks import Delivery
from agentd.tools.acts import Act
from agentd.tools.spec import LateAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """`state` "serving"; "stale": the file on disk is broken and the last good version serves; "rejected": broken and
    nothing serves; "draining": deleted, calls under way (`problems`: of a new file of its name); "quarantined": its
    revision `refused` failed at run time, "rolled_back": an operator took that back; an earlier one serves. `trial`:
    how the calls of `revision` went. `reached`: False when a probe found that its registration receives no offers.
    `queued`: callers who wait for a place; `busy_step`: up to which step of `when_busy` things are given up."""

    name: str
    source: str
    state: Literal["serving", "stale", "rejected", "draining", "quarantined", "rolled_back"]
    generation: int
    revision: str
    registered: bool
    sessions: int
    queued: int = 0
    busy_step: int = 0
    reached: bool = True
    description: str = ""
    problems: tuple[Problem, ...] = ()
    refused: str = ""
    trial: Trial = UNTRIED

    @property
    def callable(self) -> bool:
        """A revision of it takes calls, be it the one that its file says or an earlier one."""
        return self.state not in ("rejected", "draining")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStatus:
    """`state` of the latest: "serving"; "refused": the file says it, and it is held back; else "kept"."""

    revision: str
    state: Literal["serving", "refused", "kept"]
    source: str
    first_at: float  # unix time
    last_at: float
    trial: Trial
    calls: int  # under way
    tests: TestsOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """A canary and how it does. `share`: 0 to 1, of the calls that `match`. `why`: of its state, or what it waits for.
    `baseline`: the same figures of the calls that `of` kept."""

    agent: str
    of: str
    state: Literal["running", "promoted", "rolled_back", "superseded"]
    share: float
    match: Mapping[str, str]
    revision: str
    since: float  # unix time of the state
    began: float  # unix time
    why: str
    calls: int
    objectives: tuple[Measured, ...]
    baseline_calls: int
    baseline: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    id: str
    pid: int
    state: Literal["starting", "standby", "ready", "hung", "draining", "dead"]
    sessions: int
    capacity: int
    loop_lag_s: float  # worst lag of its event loop in the last heartbeat interval
    load: float  # 0 to 1
    memory_bytes: int
    generations: tuple[int, ...] = ()
    restarts: int = 0
    pool: int = 0  # new code makes a new one; 0: left by an earlier daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    id: str
    agent: str
    revision: str
    generation: int
    room: str
    job_id: str
    worker: str
    state: str  # the agent state that front ends see
    started_at: float  # unix time
    caller: str = ""
    acting: str = ""  # the agent that the call was handed to last; "": it never was
    turns: int = 0
    latencies: Mapping[str, float] = field(default_factory=dict)  # of the last answer, by stage, in seconds
    incarnation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStatus:
    """A speech that was asked for over the admin API. `interrupted`: it was not heard to its end; said when `done`.
    `taken`: the call knows of it."""

    id: str
    session: str
    state: Literal["queued", "speaking", "done"] = "queued"
    interrupted: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """Where events are sent. `agent` "": the daemon's own. `url`: without what may be secret in it. `failed`: attempts,
    `lost`: events that were given up; both, and `delivered`, since the daemon began."""

    agent: str
    url: str
    types: tuple[str, ...]
    state: Literal["ok", "failing", "disabled"]
    waiting: int
    delivered: int = 0
    failed: int = 0
    lost: int = 0
    last_error: str = ""
    last_error_at: float | None = None  # unix time
    last_delivery_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """What an agent has used today, UTC, of its `limits.budget`; or one caller, who has used up theirs. `ratios`: how
    much of each budget, 1 is all; `used_up` names those that are."""

    agent: str
    caller: str
    day: str
    tokens: int
    minutes: float
    cost: float
    ratios: Mapping[str, float] = field(default_factory=dict)
    used_up: tuple[str, ...] = ()


DrainState = Literal["none", "draining", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStatus:
    """`sessions`: calls under way. `cut`: those that did not come to their own end."""

    state: DrainState
    sessions: int
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOutcome:
    """What a reload made of new code in `files`. `state` "replaced": `workers` run it and take the calls; "refused":
    the workers that were there go on; "waits": calls run by too many versions of it; "needs_upgrade": the daemon
    itself runs it."""

    state: Literal["replaced", "refused", "waits", "needs_upgrade"]
    files: tuple[str, ...]
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestsOutcome:
    """How a revision's own tests went, where its file has a reload wait for them: numbers of scenarios."""

    __test__ = False  # no test of pytest's

    agent: str
    revision: str
    passed: int
    failed: int
    at: float  # unix time: what has passed is not tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """`applied` False: at least one agent kept its last good version or was refused, or the workers their code;
    `problems` say why. `code` None: it was not looked at, or is the same."""

    applied: bool
    changed: bool
    generation: int
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    duration_s: float = 0.0
    code: CodeOutcome | None = None
    tests: tuple[TestsOutcome, ...] = ()  # of revisions that are new


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A step of one metric, as `agentd.admin.metrics` names them without the prefix.

    Counters add `value`, gauges take it, histograms observe it.
    """

    name: str
    value: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)


class BetweenWorkers(AgentdError):
    """The call lost its worker and has no other yet: it can be asked again in a moment."""


class MeasureSink(Protocol):
    def apply(self, measure: Measure) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    ready: bool
    reasons: tuple[str, ...] = ()  # each why not, as a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The daemon in short. `active_jobs`: calls under way; `worker_load`: how full it is, 1 is full; `instance`:
    another after each start."""

    agent_names: tuple[str, ...]
    sdk_version: str
    active_jobs: int
    worker_load: float
    livekit_url: str
    version: str
    instance: str
    state: Literal["starting", "serving", "draining", "upgrading"]


class Daemon(Protocol):
    """The supervisor, as the admin side sees it. All answers are immutable snapshots."""

    def agents(self) -> tuple[AgentStatus, ...]: ...
    def definition(self, name: str) -> AgentDefinition | None: ...
    def rollouts(self) -> tuple[RolloutStatus, ...]: ...

    def decide_rollout(self, agent: str, state: Literal["promoted", "rolled_back"]) -> None:
        """Promotes a canary or takes it back. Raises NoRollout."""
        ...

    async def plan(self) -> Plan:
        """What a reload would do now. Changes nothing."""
        ...

    async def revisions(self, agent: str) -> tuple[RevisionStatus, ...]:
        """Those that have served and are kept, newest first."""
        ...

    async def roll_back(self, agent: str, to: str | None = None) -> str:
        """Serves an earlier revision, or takes a canary out of its rollout. Raises KeyError, RollbackRefused."""
        ...

    def workers(self) -> tuple[WorkerStatus, ...]: ...
    def sessions(self) -> tuple[SessionStatus, ...]: ...
    def sinks(self) -> tuple[SinkStatus, ...]: ...
    def budgets(self) -> tuple[BudgetStatus, ...]: ...
    def readiness(self) -> Readiness: ...

    def refusal(self, agent: str) -> str:
        """Why a call of this agent would not be taken here now; "": it would."""
        ...

    def generation(self) -> int: ...

    async def reload(self) -> ReloadOutcome:
        """Reads the files again and applies what changed, the workers' code as well; calls while one runs share the
        next run."""
        ...

    def drain(self) -> None:
        """Begins to drain; the daemon ends when the last call has."""
        ...

    def drain_status(self) -> DrainStatus:
        """How the drain goes. Who has asked is waited for a moment at the end, and told it when they ask again."""
        ...

    async def upgrade(self) -> None:
        """Returns when the successor is about to begin, with the calls going on. Raises UpgradeRefused."""
        ...

    async def control(self, session_id: str, act: Act) -> SpeechStatus | None:
        """Acts on a running call; answers the speech that this makes, if it makes one.

        Raises KeyError for an unknown session, BetweenWorkers.
        """
        ...

    async def deliver(self, session_id: str, key: str, token: str, answer: LateAnswer) -> Delivery:
        """Brings the result of a tool's call to its session; what became of it.

        Raises KeyError for an unknown session, BetweenWorkers.
        """
        ...

    def events(self) -> EventRing:
        """The latest events of all calls."""
        ...

    def speeches(self, session_id: str) -> tuple[SpeechStatus, ...]:
        """What was asked of this call over the admin API, also for a while after its end."""
        ...

    async def speech(self, session_id: str, speech_id: str, wait_s: float = 0.0) -> SpeechStatus | None:
        """One of them; `wait_s`: how long to wait until it is done."""
        ...

    def state_directory(self) -> Path:
        """Where the journals of calls are, also of those that have ended."""
        ...

    def facts(self) -> Facts: ...
