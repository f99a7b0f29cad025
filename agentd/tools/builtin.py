"""agentd's own tools."""

from __future__ import annotations

from agentd.config.definition import BuiltinTool
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.spec import EndCall, ToolContext, ToolOutcome
from agentd.tools.text import for_speech

_DESCRIPTION = (
    "Ends the call. Use it when the caller has said goodbye or wants to stop, and nothing is left to do. "
    "Whatever you have said before is spoken to its end first."
)
_PARAMETERS = {
    "type": "object",
    "properties": {"say": {"type": "string", "description": "A short goodbye, spoken before the call ends."}},
    "additionalProperties": False,
}


class EndCallTool:
    """The builtin `end_call`."""

    filler = None
    cancels_on_interrupt = False

    def __init__(self, tool: BuiltinTool) -> None:
        self._arguments = ArgumentsSchema(tool.name, _PARAMETERS)
        self.schema = ToolSchema(name=tool.name, description=tool.description or _DESCRIPTION, parameters=_PARAMETERS)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolArgumentsInvalid."""
        say = for_speech(str(self._arguments.parse(call.arguments).get("say", "")))
        result = ToolResult(call_id=call.id, name=call.name, content="The call ends.")
        return ToolOutcome(result=result, actions=(EndCall(say=say or None),), reply=False)
