"""The builtin `send_dtmf`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import SendDtmfTool
from agentd.config.definition import AgentDefinition
from agentd.tools.acts import PressKeys
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import ToolContext

_DESCRIPTION = (
    "Presses keys on the line, for a menu at the other end: 0 to 9, *, #, A to D; a comma waits half a second."
)


def send_dtmf(tool: SendDtmfTool, definition: AgentDefinition) -> Builtin:
    """Presses the keys that the model names."""
    keys = {"type": "string", "pattern": f"^[0-9*#A-D,]{{1,{tool.most_keys}}}$", "description": "Like 1,,204#."}
    parameters = {"properties": {"keys": keys}, "required": ["keys"]}
    return Builtin(tool, name=tool.name, description=_DESCRIPTION, parameters=parameters, answer=_answer)


async def _answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
    keys = str(arguments["keys"])
    return Answer(
        text=f"Pressed {keys}. Wait for what the other end says.", actions=(PressKeys(keys=keys),), reply=False
    )
