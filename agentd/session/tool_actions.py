"""What the answers of tools and of hooks ask of a session, carried out."""

from __future__ import annotations

from collections.abc import Callable

from agentd.session.conversation import Conversation
from agentd.tools.acts import Act, EndSession, LetBeQuiet, SayText, TransferCall
from agentd.tools.spec import (
    Action,
    ChangeTools,
    EndCall,
    LeaveMessage,
    Say,
    SetLanguage,
    SetVariables,
    Transfer,
    Wait,
)


def carry_out(action: Action, conversation: Conversation, do: Callable[[Act], object]) -> None:
    """`do` puts an act before the session, which comes to it in its turn."""
    match action:
        case SetVariables(values=values):
            conversation.set_variables(values)
        case ChangeTools(changes=changes):
            conversation.change_tools(changes)
        case SetLanguage(language=language):
            conversation.choose_language(language, "tool")
        case Say(text=text, interruptible=interruptible):
            do(SayText(text=text, interruptible=interruptible))
        case EndCall(say=goodbye, reason=reason):
            do(EndSession(reason=reason, goodbye=goodbye or ""))
        case LeaveMessage(message=message, reason=reason):
            do(EndSession(reason=reason, goodbye=conversation.render(message)))
        case Transfer(destination=destination, summary=summary):
            do(TransferCall(destination=destination, summary=summary))
        case Wait(seconds=seconds):
            do(LetBeQuiet(seconds=seconds))
