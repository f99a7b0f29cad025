"""A Python callable as a tool: arguments checked here, run in the host's processes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.config.tools import PythonTool
from agentd.errors import ToolError
from agentd.providers.fields import SecretMissing
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.acts import BeginTask
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.changes import change_of_agent
from agentd.tools.host import Description, ToolHost
from agentd.tools.process import PythonResult
from agentd.tools.replies import failure
from agentd.tools.secrets import Secrets
from agentd.tools.spec import Action, ChangeTools, EndCall, SetVariables, ToolContext, ToolOutcome
from agentd.tools.strict import strict_form

logger = logging.getLogger(__name__)


def python_tools(tool: PythonTool, found: Sequence[Description], host: ToolHost) -> list[Python]:
    """The tools of one entry of the agent file: one, or as many as an object has. Raises ToolError."""
    if len(found) != 1 and (tool.name or tool.description):
        raise ToolError(
            f"{tool.ref} has several tools ({', '.join(each.name for each in found)}), which have names and "
            f"descriptions of their own: leave name and description away, or name one of them ({found[0].ref})"
        )
    return [Python(tool, each, host) for each in found]


class Python:
    """One Python tool of an agent; shared by its sessions."""

    def __init__(self, tool: PythonTool, found: Description, host: ToolHost) -> None:
        """Raises ToolError."""
        name = tool.name or found.name
        strict = strict_form(found.parameters)
        if not re.fullmatch(TOOL_NAME_PATTERN, name):
            raise ToolError(f"{found.ref}: models cannot call a tool named {name}; give it a name in the agent file")
        self._ref = found.ref
        self._timeout_s = tool.timeout
        self._host = host
        self._secrets = _revealed(tool)
        self._arguments = ArgumentsSchema(name, found.parameters)
        self.options = tool
        self.repeatable = tool.idempotent
        self.schema = ToolSchema(
            name=name,
            description=tool.description or found.description or name.replace("_", " "),
            parameters=found.parameters if strict is None else strict,
            strict=strict is not None,
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        arguments = self._arguments.parse(call.arguments)
        given = replace(context, secrets=self._secrets)
        result = await self._host.run(self._ref, arguments, given, self._timeout_s)
        masked = self._secrets.masked
        result = replace(result, content=masked(result.content), traceback=masked(result.traceback))
        if result.outcome == "ok":
            answer = ToolResult(call_id=call.id, name=call.name, content=result.content)
            actions = tuple(actions_of(result))
            asks = any(isinstance(each, BeginTask) for each in actions)  # the task asks its question itself
            return ToolOutcome(result=answer, actions=actions, reply=not asks)
        if result.outcome == "invalid_arguments":
            return failure(call, f"Wrong arguments for {call.name}: {result.content}", result.outcome)
        logger.warning(
            "a tool raised an exception",
            extra={"tool": call.name, "error": result.content, "traceback": result.traceback},
        )
        return failure(call, f"The tool {call.name} failed: {result.content}")


def _revealed(tool: PythonTool) -> Secrets:
    """Raises ToolError."""
    try:
        return Secrets({name: secret.reveal() for name, secret in tool.secrets.items()})
    except SecretMissing as error:
        raise ToolError(f"{tool.ref}: {error}") from error


def actions_of(result: PythonResult) -> Iterator[Action]:
    """What the function asked for that is done when it has returned."""
    if result.variables:
        yield SetVariables(values=result.variables)
    for each in result.changes:
        if (asked := change_of_agent(str(each.get("type")), each)) is not None:
            yield asked
    if result.end_call:
        yield EndCall(say=result.end_say or None)
    if result.tools:
        yield ChangeTools(changes=result.tools)
