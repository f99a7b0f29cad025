"""The tools of one MCP server, as the model sees them and calls them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentd.aio import now
from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.config.tools import McpTool
from agentd.errors import ToolError, ToolTimeout
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.mcp import McpServer, RemoteTool, ServerLost, allowed, approved
from agentd.tools.spec import ToolContext, ToolOutcome
from agentd.tools.text import for_model

log = logging.getLogger(__name__)

LONGEST_NAME = 64  # of a function, for the models of OpenAI and Anthropic
SCHEMA_CHARACTERS = 16 * 1024  # more than the model should be told of one tool


class McpTools:
    """One server's tools for one agent. They change with the server: those that are not as approved are kept back."""

    def __init__(self, wanted: McpTool, server: McpServer) -> None:
        self._wanted = wanted
        self._server = server
        self._known: dict[str, str] = {}  # digests at the first look
        self._seen: Mapping[str, RemoteTool] | None = None
        self._tools: dict[str, RemoteMcpTool] = {}

    async def open(self) -> None:
        """Raises ToolError for a server that is needed and away, and for tools that cannot be offered."""
        await self._server.open()
        try:
            self._look()
            missing = sorted(set(self._wanted.allow) - set(self._server.tools)) if self._server.connected else []
            if missing:
                raise ToolError(f"{self._wanted.name}: the server has no tool {', '.join(missing)}")
        except ToolError:
            await self.aclose()
            raise

    @property
    def tools(self) -> Mapping[str, RemoteMcpTool]:
        """By the name that the model knows."""
        if self._server.tools is not self._seen:
            try:
                self._look()
            except ToolError as error:
                log.warning("mcp_tools_refused", extra={"server": self._wanted.name, "problem": str(error)})
        return self._tools

    async def aclose(self) -> None:
        await self._server.aclose()

    def _look(self) -> None:
        """Takes the server's present tools. Raises ToolError."""
        self._seen = self._server.tools
        good = approved(self._seen, self._wanted, self._known)
        self._tell_of_others(good)
        for tool in good:
            self._known.setdefault(tool.name, tool.digest)
        self._tools = {made.schema.name: made for made in (self._made(tool) for tool in good)}

    def _made(self, tool: RemoteTool) -> RemoteMcpTool:
        prefix = f"{self._wanted.name}_" if self._wanted.prefix is None else self._wanted.prefix
        return RemoteMcpTool(prefix + tool.name, tool, self._wanted, self._server)

    def _tell_of_others(self, good: Sequence[RemoteTool]) -> None:
        for tool in allowed(self._server.tools.values(), self._wanted):
            if tool not in good:
                why = "changed" if tool.name in self._known or tool.name in self._wanted.pins else "not pinned"
                told = {"server": self._wanted.name, "tool": tool.name, "digest": tool.digest, "why": why}
                log.warning("mcp_tool_kept_back", extra=told)


class RemoteMcpTool:
    """One tool of the server."""

    def __init__(self, name: str, tool: RemoteTool, wanted: McpTool, server: McpServer) -> None:
        """Raises ToolError for what no model can be offered."""
        called = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        if len(called) > LONGEST_NAME or not re.match(TOOL_NAME_PATTERN, called):
            raise ToolError(f'{wanted.name}: no model takes "{called}" as the name of a tool; set a shorter prefix')
        if len(json.dumps(tool.parameters)) > SCHEMA_CHARACTERS:
            raise ToolError(f"{wanted.name}: the schema of {tool.name} is larger than {SCHEMA_CHARACTERS >> 10} KiB")
        self._tool, self._server, self._timeout_s = tool, server, float(wanted.timeout)
        self._arguments = ArgumentsSchema(called, tool.parameters)
        self.schema = ToolSchema(name=called, description=tool.description, parameters=tool.parameters)
        self.options = wanted
        self.repeatable = tool.repeatable or wanted.idempotent

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        arguments = self._arguments.parse(call.arguments)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._call(arguments)
        except TimeoutError as error:
            why = "no answer" if self._server.connected else "no connection with its server"
            raise ToolTimeout(f"{why} within {self._timeout_s:g} s") from error
        content, failed = _content(answer), bool(answer.is_error)
        result = ToolResult(call_id=call.id, name=call.name, content=for_model(content), is_error=failed)
        return ToolOutcome(result=result, outcome="error" if failed else "ok")

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        """A call whose connection broke is made once more if that does no harm. Raises ToolError."""
        began = now()
        try:
            return await self._server.call(self._tool.name, arguments)
        except ServerLost as error:
            log.warning("mcp_call_lost", extra={"tool": self.schema.name, "after_s": round(now() - began, 3)})
            if not self.repeatable:
                raise ToolError("the connection with it was lost; it may have been done or not") from error
        return await self._server.call(self._tool.name, arguments)


def _content(answer: Any) -> str:
    """What the model reads: the text blocks; else the structured content; what is neither is named."""
    parts = [block.text if block.type == "text" else _named(block) for block in answer.content]
    if parts:
        return "\n".join(parts)
    return json.dumps(answer.structured_content, ensure_ascii=False) if answer.structured_content else "ok"


def _named(block: Any) -> str:
    if block.type == "resource" and getattr(block.resource, "text", None) is not None:
        return str(block.resource.text)
    where = getattr(block, "uri", None) or getattr(getattr(block, "resource", None), "uri", "")
    return f"[{block.type.replace('_', ' ')}{f' {where}' if where else ''}, which cannot be read aloud]"
