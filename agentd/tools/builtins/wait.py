"""The builtin `wait`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import WaitTool
from agentd.config.definition import AgentDefinition
from agentd.tools.acts import LetBeQuiet
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import ToolContext

_DESCRIPTION = (
    "Waits in silence until the caller speaks again. Use it when they ask for a moment, talk with somebody else, or "
    "look for something."
)


def wait(tool: WaitTool, definition: AgentDefinition) -> Builtin:
    """Lets the caller be quiet: no idle prompt until they have had their time."""
    longest = round(tool.longest)
    seconds = {"type": "integer", "minimum": 1, "maximum": longest, "description": "How long they may need."}

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        given = float(arguments.get("seconds", longest))
        return Answer(text="You wait until the caller speaks.", actions=(LetBeQuiet(seconds=given),), reply=False)

    return Builtin(
        tool, name=tool.name, description=_DESCRIPTION, parameters={"properties": {"seconds": seconds}}, answer=answer
    )
