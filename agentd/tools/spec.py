"""What the session knows of tools: their schemas, and one way to run any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentd.config.tools import ToolOptions
from agentd.providers.chat import ChatContext
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.acts import Act, BeginTask, HandOff, LetBeQuiet, PressKeys, SetTools, TransferCall, UpdateInstructions
from agentd.tools.event import AT_SHUTDOWN as AT_SHUTDOWN
from agentd.tools.event import Event as Event
from agentd.tools.event import TurnChange as TurnChange
from agentd.tools.front_end import FrontEnd as FrontEnd
from agentd.tools.front_end import NoFrontEnd as NoFrontEnd
from agentd.tools.job import AddShutdownCallback as AddShutdownCallback
from agentd.tools.job import JobDesk as JobDesk
from agentd.tools.job import JobRequest as JobRequest
from agentd.tools.job import JobView as JobView
from agentd.tools.job import PerformRpc as PerformRpc
from agentd.tools.job import PublishData as PublishData
from agentd.tools.job import RoomControl as RoomControl
from agentd.tools.job import RoomMember as RoomMember
from agentd.tools.job import RoomView as RoomView
from agentd.tools.job import SendText as SendText
from agentd.tools.job import SetAttributes as SetAttributes
from agentd.tools.job import SetMetadata as SetMetadata
from agentd.tools.secrets import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The participant that the agent talks with, as tools see it; of several, the one whose turn led to the call.
    `other_voice`: it was somebody else, at their microphone."""

    identity: str = ""
    name: str = ""
    kind: str = "standard"  # standard, sip or connector
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    other_voice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a tool has come. `status`: a few words for who follows the call; `say`: spoken if nothing else is."""

    status: str = ""
    say: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackOffer:
    """Where a tool may bring its result later: once, with this bearer token, until then (RFC 3339, UTC)."""

    url: str
    token: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateAnswer:
    """A result that was brought later, as it came."""

    content_type: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The call in which a tool or a hook runs. `say` queues speech at once, before the tool has ended, and `act` asks
    for something else; `history`: the conversation as it is. `update` takes a long tool's progress, and `hold` keeps
    the caller from interrupting until the tool has answered; None where there is no reply that waits. `progress` takes
    the same with what is said of it apart; `key` names this call of a tool and no other, the same when it is made
    again after a fault. `present`: all in the room whom the agent talks with. `job`: what hooks are given besides."""

    session_id: str
    agent: str
    revision: str  # the definition's digest
    room: str = ""
    job_id: str = ""
    started_at: str = ""  # RFC 3339, UTC
    language: str = "en"
    caller: Caller = field(default_factory=Caller)
    present: tuple[Caller, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], Awaitable[None]] | None = None
    act: Callable[[Act], object] | None = None
    history: Callable[[], ChatContext] | None = None
    update: Callable[[str], Awaitable[None]] | None = None
    hold: Callable[[], None] | None = None
    front_end: FrontEnd | None = None
    secrets: Secrets = field(default_factory=Secrets)
    key: str = ""
    progress: Callable[[Progress], None] | None = None
    callback: CallbackOffer | None = None
    job: JobDesk | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVariables:
    """Merge these into the session's variables."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCall:
    """End the call once everything that is to be said has been played; `say` first."""

    say: str | None = None
    reason: str = "ended_by_agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Speak this text before the model's next words."""

    text: str
    interruptible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguage:
    """Go on in this language, which the agent declares."""

    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveMessage:
    """Say this to its end, once the other side is quiet, and end the call. `message`: a template of the file's."""

    message: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTools:
    """What the model may call from now on, by name: None for a tool that goes, True for one of the agent file that
    comes back, or the description of Python code (`ref`, `name`, `description`, `parameters`, `timeout_s`)."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendData:
    """Give the front ends of those whom the agent talks with this packet."""

    topic: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFrontEnd:
    """Call this method of the caller's front end; nobody waits for its answer."""

    method: str
    payload: str


Action = (
    SetVariables
    | EndCall
    | Say
    | SetLanguage
    | TransferCall
    | LeaveMessage
    | LetBeQuiet
    | ChangeTools
    | SendData
    | CallFrontEnd
    | HandOff
    | UpdateInstructions
    | SetTools
    | BeginTask
    | PressKeys
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The result comes later, by callback. `timeout_s`: within so long, if the tool says."""

    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """`result` goes to the model. `reply` False: the model is not asked for words about it. `pending`: there is no
    result yet. `rule` and `value`: why the call was not made, and the setting behind that. `ignored`: how many actions
    the answer asked for that nobody here knows."""

    result: ToolResult
    actions: tuple[Action, ...] = ()
    reply: bool = True
    duration_s: float = 0.0
    outcome: str = "ok"
    """ok, error, http, timeout, unreachable, crashed, invalid_arguments, unknown_tool, blocked, too_large, cancelled,
    unknown; not made: duplicate, rate_limited, loop. A label of metrics."""
    pending: Pending | None = None
    rule: str = ""
    value: str = ""
    ignored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutcome:
    """How a hook's Python function went. `change`: what one before a reply wants of the turn."""

    outcome: str = "ok"  # ok, error, timeout, crashed
    message: str = ""
    actions: tuple[Action, ...] = ()
    change: TurnChange | None = None


class RunnableTool(Protocol):
    """One tool, whatever its kind."""

    @property
    def schema(self) -> ToolSchema: ...

    @property
    def options(self) -> ToolOptions: ...

    @property
    def repeatable(self) -> bool:
        """Whether making a call twice does no harm."""
        ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        ...


class ToolRunner(Protocol):
    """The tools and the hooks' code of one agent definition. Shared by its sessions; holds no session's state."""

    @property
    def schemas(self) -> tuple[ToolSchema, ...]: ...

    def options(self, name: str) -> ToolOptions:
        """How calls of this tool are dealt with; the defaults for one that is not there."""
        ...

    def arguments(self, call: ToolCall) -> Mapping[str, Any]:
        """With which the tool would be run: checked, and made to fit. Raises ToolError with what to tell the model."""
        ...

    def repeatable(self, name: str) -> bool:
        """Whether making a call of this tool twice does no harm."""
        ...

    def read(self, call: ToolCall, answer: LateAnswer) -> ToolOutcome:
        """What a result that was brought later means."""
        ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Checks and converts the arguments and runs the tool within its deadline.

        Never raises but for cancellation: whatever goes wrong becomes an outcome whose result tells the model.
        """
        ...

    def adopt(self, told: Mapping[str, Any]) -> RunnableTool:
        """A tool of Python code that a session adds, from its description; what it runs into becomes an outcome, as in
        `run`. Raises ToolError, and KeyError, TypeError or ValueError for what is no description."""
        ...

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        """Gives the event to a hook's Python function. Never raises but for cancellation, which ends its process."""
        ...

    async def aclose(self) -> None: ...
