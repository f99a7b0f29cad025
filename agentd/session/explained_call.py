"""A call as it is explained: values. `agentd.session.explanation` makes them of a journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`value`: the setting behind it, as it was; `place`: file:line of it, "default", or "" where there is none."""

    rule: str
    why: str
    value: str = ""
    place: str = ""


@dataclass(slots=True, kw_only=True)
class Pause:
    """The answer's sound was held; `resumed` None: it never went on."""

    at_s: float
    cause: Cause
    lasted_s: float | None = None
    resumed: Cause | None = None


@dataclass(slots=True, kw_only=True)
class Tool:
    """`outcome` "unknown": no result came before the journal ended, or its process did. `stopped`: why it was not
    made; `detached`: why no reply waited for its result; `repeated`: how often it was made again, under the same
    `key`, because its process had died."""

    name: str
    id: str
    arguments: str
    outcome: str = "unknown"
    is_error: bool = False
    duration_s: float | None = None
    key: str = ""
    stopped: Cause | None = None
    detached: Cause | None = None
    repeated: int = 0
    progress: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to a provider. `early`: number of the early start that made it."""

    kind: str
    provider: str
    outcome: str
    duration_s: float
    message: str = ""
    early: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """An answer begun before the turn had ended: used, dropped, or (attempt None) not even begun: skipped."""

    attempt: int | None
    outcome: str
    ran_s: float
    characters: int
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentExplained:
    """What became of a call that somebody must agree to; `outcome` as in the record, or "refused"."""

    tool: str
    outcome: str
    at_s: float
    cause: Cause


@dataclass(slots=True, kw_only=True)
class ReplyExplained:
    """`text` was heard, `unheard` was to follow. `tool_changes`: "+name", "-name" of what the model may call since;
    `tools_off`: why it had to answer without any. `finished` False: its process died first, or it is still going on."""

    reply: int
    purpose: str
    at_s: float
    text: str = ""
    unheard: str = ""
    finished: bool = False
    interrupted: bool = False
    cut: Cause | None = None
    cut_at_s: float | None = None
    latencies: Mapping[str, float] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_changes: list[str] = field(default_factory=list)
    tools_off: Cause | None = None
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class TurnExplained:
    """`delay_s`: from the last speech to the decision that the turn had ended. `heard`: what was said, where a hook
    made `text` of it; `hook`: its place."""

    turn: int
    at_s: float
    text: str
    source: str
    language: str | None
    delay_s: float
    ended: Cause
    speaker: str = ""  # of several people, by label
    ignored: list[Cause] = field(default_factory=list)
    early: list[Early] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reply: ReplyExplained | None = None
    heard: str = ""
    hook: str = ""
    consents: list[ConsentExplained] = field(default_factory=list)
    tasks: list[TaskStep] = field(default_factory=list)
    revision: str = ""  # of the agent that had the call


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep:
    """What the caller's words, or the model's call, did to the task that ran. `why`: the rule in words."""

    task: str
    field: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """Silence of `gap_s` until another process went on with the call."""

    at_s: float
    gap_s: float
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffExplained:
    """`turn`: the caller's last; None before the first. `connection`: what became of realtime models' (kept, opened,
    closed). `made` False: it was asked for and refused."""

    at_s: float
    agent: str
    to: str
    cause: Cause
    turn: int | None = None
    history: str = ""
    connection: str = ""
    made: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteExplained:
    """`what`: the agent's ears or voice; `muted` False: it was taken back."""

    at_s: float
    what: str
    muted: bool
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class EditExplained:
    """An edit of the agent's file during the call. `kept`: settings that stay, each with why. `taken` False: all do.
    `turn`: the caller's last; None before the first."""

    at_s: float
    agent: str
    revision: str
    previous: str
    taken: bool
    applied: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    cause: Cause | None = None
    turn: int | None = None


@dataclass(slots=True, kw_only=True)
class Explained:
    """One call. Moments (`at_s`) are seconds since its start. `replies` answer no turn: greeting, prompts, bridges.
    `requested`: what came of the question before it (outcome, agent, duration_s, message)."""

    session: str
    agent: str = ""
    revision: str = ""
    source: str = ""
    room: str = ""
    caller: str = ""
    started_at: float = 0.0  # unix time
    duration_s: float | None = None
    ended: str | None = None
    requested: Mapping[str, Any] | None = None
    turns: list[TurnExplained] = field(default_factory=list)
    replies: list[ReplyExplained] = field(default_factory=list)
    rescues: list[Rescue] = field(default_factory=list)
    handoffs: list[HandoffExplained] = field(default_factory=list)
    mutes: list[MuteExplained] = field(default_factory=list)
    edits: list[EditExplained] = field(default_factory=list)
