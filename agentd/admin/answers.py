"""What the API answers, where it is more than a snapshot of the daemon. The handlers make these, and the description
has their fields: it cannot say anything else than what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from aiohttp import web

from agentd.admin.documents import document
from agentd.errors import Problem
from agentd.runtime.approvals import Approval
from agentd.runtime.status import (
    AgentStatus,
    BudgetStatus,
    Facts,
    Readiness,
    RevisionStatus,
    RolloutStatus,
    SessionStatus,
    SinkStatus,
    SpeechStatus,
    WorkerStatus,
)
from agentd.session.records import Record
from agentd.tools.listing import ListedTool


def told(answer: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A dataclass as JSON."""
    return web.json_response(document(answer), status=status, headers=headers)


def fields_of(answer: Any) -> dict[str, Any]:
    """Of a dataclass, for one that has more; not those of what is in it."""
    return {field.name: getattr(answer, field.name) for field in fields(answer)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWorker:
    """As livekit-agents tells it."""

    agent_name: str
    agent_names: tuple[str, ...]
    worker_type: str
    worker_load: float
    active_jobs: int
    sdk_version: str
    protocol_version: int
    project_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Facts):
    generation: int
    readiness: Readiness


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    generation: int
    agents: tuple[AgentStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDetail(AgentStatus):
    """`definition`: as `agentd render` shows it, secrets masked; null while nothing serves."""

    definition: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """A file that was not kept. `revision` "": it is not valid."""

    valid: bool
    name: str
    revision: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """`problems`: warnings."""

    created: bool
    agent: AgentStatus | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """`sessions`: its calls that go on."""

    deleted: str
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    agent: str
    revisions: tuple[RevisionStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    agent: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    rollouts: tuple[RolloutStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    dispatch: str
    agent: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    workers: tuple[WorkerStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    tools: tuple[ListedTool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    sinks: tuple[SinkStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    budgets: tuple[BudgetStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    sessions: tuple[SessionStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    session: str
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`?format=agentd`. What people said is null where no admin token is set, in every format."""

    session: str
    format: str
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitHistory:
    """`?format=livekit`: the chat context of livekit-agents."""

    session: str
    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIHistory:
    """`?format=openai`: messages of chat completions."""

    session: str
    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    session: str
    edit: Literal["add", "replace", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Values are null where no admin token is set."""

    session: str
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    session: str
    approvals: tuple[Approval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    session: str
    approval: str
    approve: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    session: str
    verb: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken(Acted):
    speech: SpeechStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeches:
    session: str
    speeches: tuple[SpeechStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    draining: bool
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrading:
    """`instance`: of the daemon that goes; another answers when it has gone."""

    sessions: int
    version: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    server_url: str
    participant_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableAgent:
    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableAgents:
    agents: tuple[CallableAgent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedEvent:
    """The `data` of a server-sent event. `at`: unix time. docs/events.md has the fields of each type's `data`."""

    type: str
    session: str
    agent: str
    at: float
    data: Mapping[str, Any]
