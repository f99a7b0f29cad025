"""The builtin `set_variables`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import SetVariablesTool
from agentd.config.definition import AgentDefinition
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import SetVariables, ToolContext

_DESCRIPTION = "Notes what you have learned in this call, for later steps. Leave out what you do not know."


def set_variables(tool: SetVariablesTool, definition: AgentDefinition) -> Builtin:
    """Writes those of the session's variables that the file names."""
    properties = {
        name: {"type": ["string", "number", "boolean"], "description": what} for name, what in tool.variables.items()
    }
    return Builtin(
        tool, name=tool.name, description=_DESCRIPTION, parameters={"properties": properties}, answer=_answer
    )


async def _answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
    return Answer(text="Noted.", actions=(SetVariables(values=dict(arguments)),))
