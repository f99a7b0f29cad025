"""The builtin `end_call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import EndCallTool
from agentd.config.definition import AgentDefinition
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import EndCall, ToolContext
from agentd.tools.text import for_speech

_DESCRIPTION = (
    "Ends the call. Use it when the caller has said goodbye or wants to stop, and nothing is left to do. "
    "Whatever you have said before is spoken to its end first."
)
_PARAMETERS = {
    "properties": {"say": {"type": "string", "description": "A short goodbye, spoken before the call ends."}},
}


def end_call(tool: EndCallTool, definition: AgentDefinition) -> Builtin:
    """Ends the call, after what is to be said."""
    return Builtin(
        tool, name=tool.name, description=_DESCRIPTION, parameters=_PARAMETERS, answer=_answer, repeatable=True
    )


async def _answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
    say = for_speech(str(arguments.get("say", "")))
    return Answer(text="The call ends.", actions=(EndCall(say=say or None),), reply=False)
