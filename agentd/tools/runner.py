"""The tools of one agent definition, of every kind, behind the one protocol that sessions know."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Protocol

from agentd.aio import now
from agentd.config.definition import AgentDefinition, ToolDefinition
from agentd.config.tools import BuiltinTool, McpTool, PythonTool, ToolOptions, WebhookTool
from agentd.errors import ToolArgumentsInvalid, ToolCrashed, ToolError, ToolTimeout
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools.builtins import builtin
from agentd.tools.host import Description, ToolHost
from agentd.tools.http import WebhookClient
from agentd.tools.mcp import McpServer
from agentd.tools.mcp_tools import McpTools
from agentd.tools.memory import Memory
from agentd.tools.python import Python
from agentd.tools.python_hook import run_hook
from agentd.tools.replies import failure
from agentd.tools.spec import Event, HookOutcome, ToolContext, ToolOutcome
from agentd.tools.webhook import Webhook

logger = logging.getLogger(__name__)


class Tool(Protocol):
    """One tool, whatever its kind."""

    @property
    def schema(self) -> ToolSchema: ...

    @property
    def options(self) -> ToolOptions: ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        ...


class ToolSource(Protocol):
    """Tools that come and go while the agent is served."""

    @property
    def tools(self) -> Mapping[str, Tool]: ...

    async def aclose(self) -> None: ...


class Tools:
    """A ToolRunner. See agentd.tools.spec for the contract."""

    def __init__(
        self,
        tools: Sequence[Tool],
        sources: Sequence[ToolSource] = (),
        own_client: WebhookClient | None = None,
        host: ToolHost | None = None,
    ) -> None:
        """`host`: where the hooks' code runs."""
        self._own = {tool.schema.name: tool for tool in tools}
        self._sources = tuple(sources)
        self._host = host
        self._own_client = own_client

    @property
    def _tools(self) -> Mapping[str, Tool]:
        """The file's own go before those of a source that has the same name by now."""
        if not self._sources:
            return self._own
        return {name: tool for source in self._sources for name, tool in source.tools.items()} | self._own

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        return tuple(tool.schema for tool in self._tools.values())

    def options(self, name: str) -> ToolOptions:
        tool = self._tools.get(name)
        return tool.options if tool else ToolOptions()

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        began = now()
        outcome = await self._run(call, context)
        return dataclasses.replace(outcome, duration_s=now() - began)

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        if self._host is None:
            return HookOutcome(outcome="error", message="no code can be run here")
        return await run_hook(self._host, ref, event, context, timeout_s)

    async def aclose(self) -> None:
        await asyncio.gather(*(source.aclose() for source in self._sources))
        if self._own_client is not None:
            await self._own_client.aclose()

    async def _run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        tool = self._tools.get(call.name)
        if tool is None:
            return failure(call, self._unknown(call.name), "unknown_tool")
        try:
            return await tool.run(call, context)
        except ToolArgumentsInvalid as error:
            return failure(call, str(error), "invalid_arguments")
        except ToolTimeout as error:
            return failure(call, f"The tool {call.name} took too long: {error}.", "timeout")
        except ToolCrashed as error:
            return failure(call, f"The tool {call.name} crashed: {error}.", "crashed")
        except ToolError as error:
            return failure(call, f"The tool {call.name} failed: {error}.")
        except Exception:  # the tool-call boundary: a fault of ours must not end the call
            logger.exception("a tool could not be run", extra={"tool": call.name})
            return failure(call, f"The tool {call.name} failed.")

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self._tools, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"There is no tool {name}.{hint} The tools are: {', '.join(self._tools) or 'none'}."


async def open_tools(
    definition: AgentDefinition,
    *,
    host: ToolHost,
    webhooks: WebhookClient | None = None,
    memory: Memory | None = None,
) -> Tools:
    """Everything that the agent's tools need, checked: Python code imported, secrets resolved, addresses looked at.

    `host` and `webhooks` are shared by agents and stay the caller's; without `webhooks` the runner has a client of
    its own. `memory`: where to keep what is to be remembered of callers. Raises ToolError with every reason why this
    definition cannot be run.
    """
    client = webhooks or WebhookClient()
    problems: list[str] = []
    refs = [tool.ref for tool in definition.tools if isinstance(tool, PythonTool)]
    described: dict[str, Description] = {}
    try:
        described = await host.describe(refs) if refs else {}
    except ToolError as error:
        problems.append(str(error))
    problems += await _hook_problems(definition, host)
    tools: list[Tool] = []
    for tool in definition.tools:
        try:
            made = _make(tool, definition, described, host, client, memory)
        except ToolError as error:
            problems.append(str(error))
        else:
            tools += [made] if made else []
    servers, refused = await _open_servers(definition, client)
    problems += refused
    problems += _clashes([*tools, *(tool for server in servers for tool in server.tools.values())])
    opened = Tools(tools, servers, own_client=None if webhooks else client, host=host)
    if problems:
        await opened.aclose()
        raise ToolError("; ".join(problems))
    return opened


async def _open_servers(definition: AgentDefinition, client: WebhookClient) -> tuple[list[McpTools], list[str]]:
    """Connections with all MCP servers, side by side, and why some cannot be had."""
    wanted = [tool for tool in definition.tools if isinstance(tool, McpTool)]
    if wanted and find_spec("mcp") is None:
        return [], ["MCP servers need the Python package mcp: pip install 'agentd[mcp]'"]
    opened, problems = list[McpTools](), list[str]()

    async def open_one(tool: McpTool) -> None:
        try:
            tools = McpTools(tool, McpServer(tool, client.policy))
            await tools.open()
        except ToolError as error:
            problems.append(str(error))
        else:
            opened.append(tools)

    try:
        async with asyncio.TaskGroup() as group:
            for tool in wanted:
                group.create_task(open_one(tool))
    except BaseException:  # cancelled: nobody is left who would close those that are open
        await asyncio.gather(*(tools.aclose() for tools in opened))
        raise
    return opened, problems


async def _hook_problems(definition: AgentDefinition, host: ToolHost) -> list[str]:
    refs = [hook.do.python for hook in definition.hooks if hook.do.python]
    try:
        await host.check_hooks(refs)
    except ToolError as error:
        return [str(error)]
    return []


def _make(
    tool: ToolDefinition,
    definition: AgentDefinition,
    described: dict[str, Description],
    host: ToolHost,
    client: WebhookClient,
    memory: Memory | None,
) -> Tool | None:
    """None for what is no single tool, or a kind that this version does not run yet. Raises ToolError."""
    if isinstance(tool, PythonTool):
        found = described.get(tool.ref)  # absent when the description failed, which was told already
        return Python(tool, found, host) if found else None
    if isinstance(tool, WebhookTool):
        return Webhook(tool, client)
    if isinstance(tool, BuiltinTool):
        return builtin(tool, definition, memory)
    if isinstance(tool, McpTool):
        return None  # a server, whose tools are opened with it
    logger.warning("a kind of tool has no effect in this version", extra={"tool": tool.name, "type": tool.type})
    return None


def _clashes(tools: Sequence[Tool]) -> list[str]:
    names = [tool.schema.name for tool in tools]
    return [f"two tools are named {name}" for name in dict.fromkeys(names) if names.count(name) > 1]
