"""What may be asked of a running session by an operator, a tool or a hook. Values; the session carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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
    | DecideApproval
)
