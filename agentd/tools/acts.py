"""What may be asked of a running session by an operator, a tool or a hook. Values; the session carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.config.handoffs import Enter, Handoff
from agentd.providers.chat import ChatContext

Priority = Literal["low", "normal", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SayText:
    """Speak this text. `speech`: the name of the handle; "": the session gives it one."""

    text: str
    priority: Priority = "normal"
    interruptible: bool = True
    add_to_history: bool = True
    speech: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateReply:
    """Speak the model's words. `instructions`: for this answer only. `user_input`: words that stand before it as the
    caller's."""

    instructions: str | None = None
    user_input: str = ""
    priority: Priority = "normal"
    interruptible: bool = True
    speech: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptSpeech:
    """Cut what is being said and drop what was asked for; `force`: also what may not be interrupted."""

    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSpeech:
    """Take one speech back, in the queue or under way."""

    speech: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitUserTurn:
    """End the caller's turn now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearUserTurn:
    """Forget what the caller has said of a turn that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """End the call, after what is being said and the goodbye if there is one. `reason`: a word for metrics."""

    reason: str
    goodbye: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCall:
    """Put the caller through to a destination that the agent's file names. `summary`: what whoever answers is told."""

    destination: str
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetBeQuiet:
    """Do not ask for so many seconds whether a quiet caller is there; nor end the call for it."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EditHistory:
    """Change what the model knows of the conversation. `add`: put the items of `context` last; `replace`: let them
    stand for what is there; `keep`: leave only the last `keep` items. System messages that are there stay."""

    edit: Literal["add", "replace", "keep"]
    context: ChatContext = field(default_factory=ChatContext)
    keep: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideApproval:
    """An operator's answer to whether a tool may be called. `approval`: the name of the question."""

    approval: str
    approve: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """Have another agent go on with the call, at the end of this turn. `history`, `say`, `variables`, `enter`: what is
    passed on (`agentd.config.handoffs.Passing`); `template`: whether `say` is one. `rule`: who wants it (operator,
    tool, hook, model, expression, event, silence, task_exhausted); `value`: the setting
    behind it."""

    agent: str
    history: str = "full"
    say: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    enter: Enter = "auto"
    template: bool = False
    rule: str = "operator"
    value: str = ""

    @classmethod
    def by(cls, handoff: Handoff, number: int) -> HandOff:
        """What a way out asks for that an agent file says: the one of this number."""
        key = handoff.trigger
        written = {"if": handoff.if_, "on": handoff.on, "after_silence": handoff.after_silence}.get(key)
        setting = f"handoffs[{number}].{key}"
        return cls(
            agent=handoff.agent,
            history=handoff.history,
            say=handoff.say or "",
            variables=handoff.variables,
            enter=handoff.enter,
            template=True,
            rule={"when": "model", "if": "expression", "on": "event", "after_silence": "silence"}[key],
            value=setting if written is None else f"{setting}={written}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateInstructions:
    """Tell the model more of what it is to do, or something else, until the call is handed over."""

    text: str
    edit: Literal["append", "replace"] = "append"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTools:
    """Keep tools from the model, by name, or let it have them again: until the call is handed over."""

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Do without what the steps of `when_busy` up to this one say, from the next turn on. `step`: 0 for none; `load`:
    for which it was taken or left; `early`: whether answers may be begun early."""

    step: int = 0
    load: float = 0.0
    early: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WithholdEdit:
    """Keep the revision of this agent that the call has: its file was edited, and the call's process cannot have that.
    `revision`: the new one; `kept`: the settings that it edits, each with why it does not reach the call."""

    agent: str
    revision: str
    why: str
    kept: Mapping[str, str] = field(default_factory=dict)


Adjustment = UpdateInstructions | SetTools | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginTask:
    """Collect what this task of the agent's asks for. `known`: what the caller has said of it already, by field;
    `ask`: instead of the first question. `by`: what began it, for the record (tool, where its own tool was called;
    action, where the answer of another asks for it; hook, start)."""

    task: str
    known: Mapping[str, str] = field(default_factory=dict)
    ask: str = ""
    by: str = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class PressKeys:
    """Send the tones of a telephone's keys: 0 to 9, * and #, A to D; a comma waits half a second."""

    keys: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCallVariables:
    """Set variables of the session; the others stay."""

    values: Mapping[str, Any]


Muted = Literal["ears", "voice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteCall:
    """Let the agent not hear the callers (`ears`), or say nothing (`voice`), until it is taken back."""

    what: Muted
    muted: bool = True


Act = (
    SayText
    | GenerateReply
    | InterruptSpeech
    | CancelSpeech
    | CommitUserTurn
    | ClearUserTurn
    | EndSession
    | EditHistory
    | TransferCall
    | LetBeQuiet
    | SetCallVariables
    | MuteCall
    | DecideApproval
    | HandOff
    | Adjustment
    | BeginTask
    | PressKeys
    | WithholdEdit
)
