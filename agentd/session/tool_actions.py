"""What the answers of tools and of hooks ask of a session, carried out."""

from __future__ import annotations

from collections.abc import Callable

from agentd.errors import ToolError
from agentd.session.conversation import Conversation
from agentd.tools.acts import (
    Act,
    BeginTask,
    EndSession,
    HandOff,
    LetBeQuiet,
    PressKeys,
    SayText,
    SetTools,
    TransferCall,
    UpdateInstructions,
)
from agentd.tools.spec import (
    Action,
    CallFrontEnd,
    ChangeTools,
    EndCall,
    LeaveMessage,
    Say,
    SendData,
    SetLanguage,
    SetVariables,
)

FRONT_END_S = 8.0
"""How long a method of a front end that nobody waits for may take."""


def carry_out(action: Action, conversation: Conversation, do: Callable[[Act], object]) -> None:
    """`do` puts an act before the session, which comes to it in its turn."""
    match action:
        case SetVariables(values=values):
            conversation.set_variables(values)
        case ChangeTools(changes=changes):
            conversation.change_tools(changes)
        case SetLanguage(language=language):
            conversation.choose_language(language, "tool")
        case HandOff() | BeginTask() | PressKeys() | TransferCall() | LetBeQuiet():
            do(action)
        case UpdateInstructions() | SetTools():
            conversation.adjust(action)
        case Say(text=text, interruptible=interruptible):
            do(SayText(text=text, interruptible=interruptible))
        case EndCall(say=goodbye, reason=reason):
            do(EndSession(reason=reason, goodbye=goodbye or ""))
        case LeaveMessage(message=message, reason=reason):
            do(EndSession(reason=reason, goodbye=conversation.render(message)))
        case SendData() | CallFrontEnd():
            conversation.background(_reach_front_end(action, conversation))


async def _reach_front_end(action: SendData | CallFrontEnd, conversation: Conversation) -> None:
    people, front_end = conversation.people, conversation.setup.room.front_end
    try:
        if isinstance(action, SendData):
            here = [identity for identity in people.known if identity in people.here]
            await front_end.send(action.data.encode(), action.topic, here)
        else:
            await front_end.call(people.caller.identity, action.method, action.payload, FRONT_END_S)
    except ToolError as error:
        where = action.topic if isinstance(action, SendData) else action.method
        conversation.record("error", where=f"front end {where}", message=str(error))
