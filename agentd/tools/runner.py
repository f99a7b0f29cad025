"""The tools of one agent definition, of every kind, behind the one protocol that sessions know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from agentd.config.definition import AgentDefinition, ToolDefinition
from agentd.config.tools import BuiltinTool, ClientTool, McpTool, PythonTool, ToolOptions, WebhookTool
from agentd.errors import ToolError
from agentd.providers.fields import Duration
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.builtins import builtin, task_tools
from agentd.tools.calling import Guarded, run_tool
from agentd.tools.client import Client
from agentd.tools.handoff import HandoffTool
from agentd.tools.host import Description, ToolHost
from agentd.tools.http import WebhookClient
from agentd.tools.mcp import McpServer
from agentd.tools.mcp_tools import McpTools
from agentd.tools.memory import Memory
from agentd.tools.python import Python, python_tools
from agentd.tools.python_hook import run_hook
from agentd.tools.replies import failure
from agentd.tools.spec import Event, HookOutcome, LateAnswer, RunnableTool, ToolContext, ToolOutcome
from agentd.tools.webhook import Webhook
from agentd.tools.webhook_hook import WebhookHook

logger = logging.getLogger(__name__)


class ToolSource(Protocol):
    """Tools that come and go while the agent is served."""

    @property
    def tools(self) -> Mapping[str, RunnableTool]: ...

    async def aclose(self) -> None: ...


class Tools:
    """A ToolRunner. See agentd.tools.spec for the contract."""

    def __init__(
        self,
        tools: Sequence[RunnableTool],
        sources: Sequence[ToolSource] = (),
        own_client: WebhookClient | None = None,
        host: ToolHost | None = None,
        hooks: Mapping[str, WebhookHook] | None = None,
    ) -> None:
        """`host`: where the hooks' code runs; `hooks`: their endpoints, by what they are called by."""
        self._hooks = dict(hooks or {})
        self._own = {tool.schema.name: tool for tool in tools}
        self._sources = tuple(sources)
        self._host = host
        self._own_client = own_client

    @property
    def _tools(self) -> Mapping[str, RunnableTool]:
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

    def arguments(self, call: ToolCall) -> Mapping[str, Any]:
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolError(f"there is no tool {call.name}")
        return ArgumentsSchema(call.name, tool.schema.parameters).parse(call.arguments)

    def repeatable(self, name: str) -> bool:
        tool = self._tools.get(name)
        return tool is not None and tool.repeatable

    def read(self, call: ToolCall, answer: LateAnswer) -> ToolOutcome:
        tool = self._tools.get(call.name)
        if not isinstance(tool, Webhook):
            return failure(call, f"The tool {call.name} is there no more, and its answer cannot be read.")
        return tool.read(call, answer)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        tools = self._tools
        return await run_tool(tools.get(call.name), call, context, tools)

    def adopt(self, told: Mapping[str, Any]) -> RunnableTool:
        if self._host is None:
            raise ToolError("no code can be run here")
        found = Description.of(told)
        timeout = Duration(min(max(float(told.get("timeout_s", 8.0)), 0.1), 120.0))
        return Guarded(Python(PythonTool(type="python", ref=found.ref, timeout=timeout), found, self._host))

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        if ref in self._hooks:
            return await self._hooks[ref].run(event, context)
        if self._host is None:
            return HookOutcome(outcome="error", message="no code can be run here")
        return await run_hook(self._host, ref, event, context, timeout_s)

    async def aclose(self) -> None:
        await asyncio.gather(*(source.aclose() for source in self._sources))
        if self._own_client is not None:
            await self._own_client.aclose()


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
    described: dict[str, tuple[Description, ...]] = {}
    try:
        described = await host.describe(refs) if refs else {}
    except ToolError as error:
        problems.append(str(error))
    problems += await _hook_problems(definition, host)
    tools: list[RunnableTool] = []
    for tool in definition.tools:
        try:
            tools += _make(tool, definition, described, host, client, memory)
        except ToolError as error:
            problems.append(str(error))
    tools += task_tools(definition)
    tools += [HandoffTool(each, number) for number, each in enumerate(definition.handoffs) if each.when is not None]
    hooks = dict[str, WebhookHook]()
    for hook in definition.hooks:
        if (action := hook.do.webhook) is not None:
            try:
                hooks[action.ref] = WebhookHook(action, hook.timeout_s, client)
            except ToolError as error:
                problems.append(str(error))
    servers, refused = await _open_servers(definition, client)
    problems += refused
    problems += _clashes([*tools, *(tool for server in servers for tool in server.tools.values())])
    opened = Tools(tools, servers, own_client=None if webhooks else client, host=host, hooks=hooks)
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
    described: dict[str, tuple[Description, ...]],
    host: ToolHost,
    client: WebhookClient,
    memory: Memory | None,
) -> list[RunnableTool]:
    """None for a server, whose tools are opened with it, and for what the provider does. Raises ToolError."""
    if isinstance(tool, PythonTool):
        found = described.get(tool.ref)  # absent when the description failed, which was told already
        return [*python_tools(tool, found, host)] if found else []
    if isinstance(tool, WebhookTool):
        return [Webhook(tool, client)]
    if isinstance(tool, BuiltinTool):
        return [builtin(tool, definition, memory)]
    if isinstance(tool, ClientTool):
        return [Client(tool)]
    return []


def _clashes(tools: Sequence[RunnableTool]) -> list[str]:
    names = [tool.schema.name for tool in tools]
    return [f"two tools are named {name}" for name in dict.fromkeys(names) if names.count(name) > 1]
