"""A method of the caller's front end as a tool: called by RPC with the arguments as JSON.

Of several people it is the front end of the one whose turn led to the call. What it answers is text for the model and
nothing more: a caller's own program sets no variables and ends no call.
"""

from __future__ import annotations

import json

from agentd.config.tools import ClientTool
from agentd.errors import ToolError
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.front_end import LARGEST_PAYLOAD_BYTES
from agentd.tools.spec import ToolContext, ToolOutcome
from agentd.tools.text import for_model


class Client:
    """One of an agent; shared by its sessions."""

    def __init__(self, tool: ClientTool) -> None:
        """Raises ToolError."""
        self._tool = tool
        self._arguments = ArgumentsSchema(tool.name, tool.parameters)
        self.options = tool
        self.repeatable = tool.idempotent
        self.schema = ToolSchema(
            name=tool.name, description=tool.description or tool.name.replace("_", " "), parameters=tool.parameters
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        payload = json.dumps(self._arguments.parse(call.arguments), ensure_ascii=False, separators=(",", ":"))
        if len(payload.encode()) > LARGEST_PAYLOAD_BYTES:
            raise ToolError(f"its arguments are larger than the {LARGEST_PAYLOAD_BYTES // 1024} KiB that a call takes")
        if context.front_end is None or not context.caller.identity:
            raise ToolError("the caller is not there")
        answer = await context.front_end.call(context.caller.identity, call.name, payload, self._tool.timeout)
        content = for_model(answer.strip()) or "ok"
        return ToolOutcome(result=ToolResult(call_id=call.id, name=call.name, content=content))
