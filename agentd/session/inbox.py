"""What the one task of a session takes in order: the caller's turns, the room, and the session's own events."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.session.causes import Causes, causes
from agentd.session.events import AgentWords, InterruptionsAllowed, ToolsRunning, TurnEvent, Voice
from agentd.session.plan import Plan
from agentd.session.reply import Reply
from agentd.session.room import RoomEvent
from agentd.session.turn_hooks import TurnChecked
from agentd.tools.acts import (
    Adjustment,
    BeginTask,
    DecideApproval,
    EditHistory,
    HandOff,
    LetBeQuiet,
    MuteCall,
    PressKeys,
    SetCallVariables,
    TransferCall,
    WithholdEdit,
)


@dataclass(frozen=True, slots=True)
class FromVoice:
    """What was heard of one of several voices."""

    voice: Voice
    event: TurnEvent


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The task of this reply has ended by itself."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ReplySounds:
    """The first sound of this reply goes out, which may have been cut since."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ReplyTells:
    """What this reply does that turn-taking must know, if it was not cut since."""

    reply: Reply
    event: AgentWords | ToolsRunning | InterruptionsAllowed


@dataclass(frozen=True, slots=True)
class Speak:
    """Somebody wants this said after what is being said."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class InterruptNow:
    """Somebody cuts what is being said."""

    rule: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody takes back what they wanted said."""

    speech: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Somebody ends the call, after the goodbye if there is one. `stay`: the others go on without the agent."""

    reason: str
    goodbye: str = ""
    stay: bool = False


@dataclass(frozen=True, slots=True)
class HandoverReady:
    """The agent that is to have the call is ready, or will not be."""


@dataclass(frozen=True, slots=True)
class LookAtFiles:
    """The agents' files have been edited."""


@dataclass(frozen=True, slots=True)
class EditReady:
    """What an edit brings to the call is ready, or will not be."""


@dataclass(frozen=True, slots=True)
class Caused:
    """Something that hooks have brought about."""

    event: TurnEvent | SessionEvent
    causes: Causes


SessionEvent = (
    FromVoice
    | ReplyDone
    | ReplySounds
    | ReplyTells
    | Speak
    | Cancel
    | InterruptNow
    | End
    | EditHistory
    | LetBeQuiet
    | SetCallVariables
    | MuteCall
    | TransferCall
    | DecideApproval
    | HandOff
    | HandoverReady
    | LookAtFiles
    | WithholdEdit
    | EditReady
    | Adjustment
    | BeginTask
    | PressKeys
    | TurnChecked
    | Caused
)
InboxEvent = TurnEvent | RoomEvent | SessionEvent


def with_causes(event: InboxEvent) -> InboxEvent:
    """With the hooks whose doing it is, if there are any."""
    return Caused(event, causes()) if causes() and not isinstance(event, RoomEvent) else event
