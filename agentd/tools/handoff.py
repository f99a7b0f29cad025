"""The model's tools for handing the call over to another agent: one for each handoff of the file that says `when`."""

from __future__ import annotations

from agentd.config.handoffs import Handoff
from agentd.config.tools import ToolOptions
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.acts import HandOff
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.spec import ToolContext, ToolOutcome

_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
_DESCRIPTION = "Hands the call over to {agent}, who goes on with it after this. Use it when {when}."


class HandoffTool:
    """The tool of the handoff of this number."""

    def __init__(self, handoff: Handoff, number: int) -> None:
        name = handoff.tool_name
        self.options = ToolOptions()
        self.repeatable = False  # what it asked for is on record, and outlives the process by itself
        self._arguments = ArgumentsSchema(name, _PARAMETERS)
        self._act = HandOff.by(handoff, number)
        when = (handoff.when or "").rstrip(". ")
        description = _DESCRIPTION.format(agent=handoff.agent, when=when)
        self.schema = ToolSchema(name=name, description=description, parameters=_PARAMETERS)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolArgumentsInvalid."""
        self._arguments.parse(call.arguments)
        result = ToolResult(call_id=call.id, name=call.name, content=f"The call goes to {self._act.agent}.")
        return ToolOutcome(result=result, actions=(self._act,), reply=False)
