"""What the supervisor and its workers say to each other. Both ends are ours: pickled whole, one object a frame.

Order matters and is kept: a StartJob posted before a Commit is served by the generation before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agentd.config.definition import AgentDefinition
from agentd.config.tool_process import ToolProcessSection
from agentd.redaction import PATTERNS, Pattern
from agentd.runtime.error_hook import ErrorHookSettings
from agentd.runtime.outcome import NOTHING_KNOWN, SessionOutcome
from agentd.runtime.status import Measure
from agentd.runtime.usage import SessionUsed
from agentd.session.callbacks import Delivery
from agentd.tools.acts import Act, GiveUp
from agentd.tools.spec import Event, LateAnswer

# Supervisor -> worker


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """Where spans go. `content`: with what was said."""

    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    service: str = "agentd"
    content: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The first message to a worker: what it needs besides definitions. Travels in the pipe, never in argv."""

    worker: str
    agents_dir: Path
    memory_dir: Path | None = None  # of what agents remember of callers; None: nowhere
    tools_allow: tuple[str, ...] = ("tools.*",)
    tool_process: ToolProcessSection = field(default_factory=ToolProcessSection)
    http_allow: tuple[str, ...] = ()
    public_url: str = ""
    livekit_url: str = ""
    api_key: str = ""
    api_secret: str = field(default="", repr=False)
    log_style: Literal["json", "text"] = "json"
    log_level: str = "INFO"
    log_content: bool = False
    log_redact: tuple[Pattern, ...] = PATTERNS
    otel: OtelSettings | None = None
    error_hook: ErrorHookSettings | None = None
    audit: AuditSettings | None = None
    door: DoorSettings | None = None  # None: it ends with its supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """How the next supervisor finds a worker that has lost its own; see `agentd.runtime.door`."""

    directory: Path
    key: str = field(repr=False)
    alone_s: float  # how long calls go on without a supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """The audit log to which workers append; see `agentd.runtime.audit_log`."""

    path: Path
    arguments: Literal["hash", "redacted", "full"] = "hash"
    key: str = field(default="", repr=False)
    max_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Make what these definitions need, without touching what runs. Answered by Prepared with the same `request`."""

    request: int
    generation: int
    definitions: tuple[AgentDefinition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """These revisions (agent -> digest) serve from now on; what neither they nor a session need is closed."""

    generation: int
    revisions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTicket:
    """The call has no place yet: its caller is told so, and waits in the room for `remaining_s` at the most.
    `position`: in the queue, from 1."""

    position: int
    remaining_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartJob:
    """Join the room and hold the session. `called`: the name that front ends see, of which `agent` may be a canary.

    `definition` is given when the worker may not have prepared this revision: a call rescued from another worker.
    `others`: the agents of the same generation that the call may be handed to.
    `incarnation` above 1: the call outlived its process, and `journal` says what was said in it.
    `requested`: the record of what was asked and answered before the call. `queue`: there is no place for it yet;
    `waited_s`: how long it has waited for the one that it has. `busy`: what is given up now, `llm_step`: the step of
    `when_busy` whose model it has.
    """

    session: str
    job: str
    agent: str
    called: str
    revision: str
    generation: int
    room: str
    url: str
    token: str = field(repr=False)
    identity: str
    journal: Path
    participant: str = ""  # whom the job is about; "": whoever is there
    metadata: str = ""  # of the dispatch
    incarnation: int = 1
    started_at: float = 0.0  # unix time; of the call
    registration: str = ""  # under whose name LiveKit knows the job, where that is another agent
    variables: Mapping[str, Any] = field(default_factory=dict)
    requested: Mapping[str, Any] | None = None
    definition: AgentDefinition | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    others: tuple[AgentDefinition, ...] = ()
    queue: QueueTicket | None = None
    waited_s: float | None = None
    busy: GiveUp = field(default_factory=GiveUp)
    llm_step: int | None = None

    def revised(self, definition: AgentDefinition) -> StartJob:
        """The same job as it goes on after an edit of one of its agents."""
        if definition.name == self.agent:
            return replace(self, revision=definition.digest, definition=definition, places=definition.places)
        return replace(self, others=(*(each for each in self.others if each.name != definition.name), definition))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMoved:
    """A call that waits for a place has another position in the queue."""

    session: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A call that waits has its place, here (as `start` says), or, where that is None, in another worker: then this
    one leaves its room."""

    session: str
    start: StartJob | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Act on a running call."""

    session: str
    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Somebody brings the result of a tool's call. Answered by Delivered with the same `request`."""

    request: int
    session: str
    key: str
    token: str = field(repr=False)
    answer: LateAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpTasks:
    """Write tasks and sessions to the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End every session with this reason and exit."""

    reason: str = "shutdown"


# Worker -> supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An agent that this worker cannot make, and every reason."""

    agent: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSession:
    """A call that a worker holds, as it tells its next supervisor. `start`: as it was told, without the token; its
    `definition` is what the call runs. `look`: how it was last seen. `own_token`: it has joined its room again."""

    start: StartJob
    look: SessionChanged | None
    joined: bool
    own_token: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What a worker that was left alone says first to the supervisor that finds it."""

    worker: str
    version: str
    scratch: str  # its directory of temporary files; "": none of its own
    sessions: tuple[HeldSession, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The answer to Prepare: whatever is not rejected can be committed."""

    request: int
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The answer to Deliver; None: the session is not there (yet)."""

    request: int
    delivery: Delivery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """The room is joined and the session runs."""

    session: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRejoins:
    """The rtc engine gave the room up, and the session joins it again with a token of ours."""

    session: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """`failed`: an exception ended it, and `reason` names it."""

    session: str
    incarnation: int
    reason: str
    failed: bool = False
    outcome: SessionOutcome = NOTHING_KNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanged:
    """What of a session is seen from outside; only the latest counts."""

    session: str
    incarnation: int
    state: str = "initializing"
    turns: int = 0
    caller: str = ""
    acting: str = ""  # the agent that the call was handed to
    latencies: Mapping[str, float] = field(default_factory=dict)  # of the last answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRevised:
    """The call has taken an edit: of the agent of this name it runs this, to its end or to the next edit."""

    session: str
    incarnation: int
    definition: AgentDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechChanged:
    """A speech that somebody asked for was queued, began, or is done."""

    session: str
    speech: str
    state: Literal["queued", "speaking", "done"]
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvents:
    """What happened in the calls of a worker. `dropped`: how many more it could not keep."""

    events: tuple[Event, ...]
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    steps: tuple[Measure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The worker's loop turns. `lag_*_s`: how late its timers were since the last heartbeat; `cpu`: cores in use."""

    number: int
    lag_p99_s: float
    lag_max_s: float
    memory_bytes: int
    cpu: float
    generations: tuple[int, ...] = ()


ToWorker = (
    WorkerSettings
    | Prepare
    | Commit
    | StartJob
    | QueueMoved
    | Admitted
    | Control
    | Deliver
    | Heartbeat
    | DumpTasks
    | Stop
)
FromWorker = (
    Prepared
    | Delivered
    | JobStarted
    | JobRejoins
    | JobEnded
    | SessionChanged
    | SessionRevised
    | SpeechChanged
    | SessionEvents
    | SessionUsed
    | Measures
    | Pong
)
