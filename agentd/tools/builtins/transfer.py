"""The builtin `transfer`: the session puts the caller through (`agentd.session.transfers`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import TransferTool
from agentd.config.definition import AgentDefinition
from agentd.tools.acts import TransferCall
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import ToolContext

_DESCRIPTION = "Puts the caller through to somebody else. The destinations: {}."


def transfer(tool: TransferTool, definition: AgentDefinition) -> Builtin:
    """Puts the caller through to one of the destinations."""
    where = "; ".join(f"{each.name}: {each.when}" for each in tool.destinations)
    parameters = {
        "properties": {
            "destination": {"type": "string", "enum": [each.name for each in tool.destinations]},
            "summary": {
                "type": "string",
                "description": "Who calls and what about, in a sentence or two, for whoever takes the call.",
            },
        },
        "required": ["destination", "summary"],
    }
    return Builtin(tool, name=tool.name, description=_DESCRIPTION.format(where), parameters=parameters, answer=_answer)


async def _answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
    destination = str(arguments["destination"])
    action = TransferCall(destination=destination, summary=str(arguments["summary"]))
    text = f"The caller is being put through to {destination}. They are told so; you will hear if it fails."
    return Answer(text=text, actions=(action,), reply=False)
