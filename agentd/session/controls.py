"""What others may ask of a running session: an operator, a tool, a hook.

Everything is put before the session's task, which does it in order; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable

from agentd.session.events import CommitRequested, TurnDropped
from agentd.session.inbox import Cancel, End, InboxEvent, InterruptNow, LookAtFiles
from agentd.session.plan import Plan
from agentd.session.speech import PRIORITIES, SpeechHandle
from agentd.session.speeches import Speeches
from agentd.tools.acts import (
    Act,
    BeginTask,
    CancelSpeech,
    ClearUserTurn,
    CommitUserTurn,
    DecideApproval,
    EditHistory,
    EndSession,
    GenerateReply,
    GiveUp,
    HandOff,
    InterruptSpeech,
    LetBeQuiet,
    MuteCall,
    PressKeys,
    Priority,
    SayText,
    SetCallVariables,
    SetTools,
    TransferCall,
    UpdateInstructions,
    WithholdEdit,
)

GOODBYE_S = 30.0  # what the agent still says may delay the end this long


class Controls:
    """A session from outside. For callers on its event loop."""

    def __init__(self, speeches: Speeches, post: Callable[[InboxEvent], None]) -> None:
        self._speeches = speeches
        self._post = post

    def do(self, act: Act) -> SpeechHandle | None:
        """A handle for what is to be spoken."""
        match act:
            case SayText():
                return self._speeches.request(_said(act))
            case GenerateReply():
                return self._speeches.request(_generated(act))
            case InterruptSpeech(force=force):
                self._post(InterruptNow("operator", force))
            case CancelSpeech(speech=speech, force=force):
                self._post(Cancel(speech, force))
            case CommitUserTurn():
                self._post(CommitRequested())
            case ClearUserTurn():
                self._post(TurnDropped())
            case EndSession(reason=reason, goodbye=goodbye):
                self._post(End(reason, goodbye))
            case EditHistory() | TransferCall() | LetBeQuiet() | DecideApproval() | BeginTask() | PressKeys():
                self._post(act)
            case SetCallVariables() | MuteCall():
                self._post(act)
            case HandOff() | UpdateInstructions() | SetTools() | GiveUp() | WithholdEdit():
                self._post(act)
        return None

    def say(
        self, text: str, *, priority: Priority = "normal", interruptible: bool = True, add_to_history: bool = True
    ) -> SpeechHandle:
        """Speaks this after what is being said and what waits with at least this priority."""
        act = SayText(text=text, priority=priority, interruptible=interruptible, add_to_history=add_to_history)
        return self._speeches.request(_said(act))

    def generate_reply(
        self,
        *,
        instructions: str | None = None,
        user_input: str = "",
        priority: Priority = "normal",
        interruptible: bool = True,
    ) -> SpeechHandle:
        """The same with words of the model. `instructions`: for this answer only; `user_input`: words that stand before
        it as the caller's."""
        act = GenerateReply(
            instructions=instructions, user_input=user_input, priority=priority, interruptible=interruptible
        )
        return self._speeches.request(_generated(act))

    def interrupt(self, *, force: bool = False) -> None:
        """Cuts what is being said, and drops what was asked for by `say` and `generate_reply` and has not begun; what
        may not be interrupted stays unless `force`."""
        self.do(InterruptSpeech(force=force))

    def commit_user_turn(self) -> None:
        """Ends the caller's turn now, whatever the silence; nothing when there are no words."""
        self.do(CommitUserTurn())

    def clear_user_turn(self) -> None:
        """Forgets what the caller has said of a turn that has not ended."""
        self.do(ClearUserTurn())

    def end(self, reason: str, *, goodbye: str | None = None) -> None:
        """Ends the call: at once, or after what is being said and the goodbye, if the caller is there to hear it and
        it does not take longer than `GOODBYE_S`."""
        self.do(EndSession(reason=reason, goodbye=goodbye or ""))

    def look_at_files(self) -> None:
        """The agents' files have been edited: the call takes of it what its agent's file lets it take."""
        self._post(LookAtFiles())

    def leave(self, reason: str) -> None:
        """The call ends for the agent only: the others go on."""
        self._post(End(reason, stay=True))


def _said(act: SayText) -> Plan:
    return Plan(
        purpose="say",
        text=act.text,
        interruptible=act.interruptible,
        speech=act.speech,
        priority=PRIORITIES[act.priority],
        requested=True,
        in_history=act.add_to_history,
    )


def _generated(act: GenerateReply) -> Plan:
    return Plan(
        purpose="reply",
        generate=True,
        instruction=act.instructions,
        interruptible=act.interruptible,
        speech=act.speech,
        priority=PRIORITIES[act.priority],
        requested=True,
        user_input=act.user_input,
    )
