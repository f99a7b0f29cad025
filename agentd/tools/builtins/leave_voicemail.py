"""The builtin `leave_voicemail`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import LeaveVoicemailTool
from agentd.config.definition import AgentDefinition
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import LeaveMessage, ToolContext

_DESCRIPTION = (
    "Leaves a message and ends the call. Use it when an answering machine or a voicemail greeting has taken the call, "
    "and never with a person."
)


def leave_voicemail(tool: LeaveVoicemailTool, definition: AgentDefinition) -> Builtin:
    """Says the file's message to its end, once the machine is quiet, and hangs up."""

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        action = LeaveMessage(message=tool.message, reason="voicemail")
        return Answer(text="The message is left and the call ends.", actions=(action,), reply=False)

    return Builtin(tool, name=tool.name, description=_DESCRIPTION, parameters={}, answer=answer)
