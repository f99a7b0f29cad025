"""What agentd's own tools have in common: a schema of their arguments, and a function that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentd.config.tools import BuiltinTool
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.spec import Action, ToolContext, ToolOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model is told, and what is to be done. `reply` False: the model is not asked for words about it."""

    text: str
    actions: tuple[Action, ...] = ()
    reply: bool = True
    outcome: str = "ok"


class Builtin:
    """A tool of agentd's own. Holds no call's state."""

    def __init__(
        self,
        tool: BuiltinTool,
        *,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        answer: Callable[[Mapping[str, Any], ToolContext], Awaitable[Answer]],
        repeatable: bool = False,
    ) -> None:
        """`description` gives way to the file's; `answer` takes arguments that fit `parameters`, and may raise
        ToolError. `repeatable`: making a call twice does no harm, whatever the file says."""
        schema = {"type": "object", "additionalProperties": False, **parameters}
        self.options = tool
        self.repeatable = repeatable or tool.idempotent
        self.schema = ToolSchema(name=name, description=tool.description or description, parameters=schema)
        self._arguments = ArgumentsSchema(name, schema)
        self._answer = answer

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        answer = await self._answer(self._arguments.parse(call.arguments), context)
        is_error = answer.outcome != "ok"
        result = ToolResult(call_id=call.id, name=call.name, content=answer.text, is_error=is_error)
        return ToolOutcome(result=result, actions=answer.actions, reply=answer.reply, outcome=answer.outcome)
