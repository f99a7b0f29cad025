"""The connection with one MCP server: made, watched, and made again, for all calls of an agent in a worker.

The SDK's connection lives in one task from its first message to its last, so the server has a task of its own, whose
owner is whoever opened it (`McpServer.aclose` ends it). Calls come from other tasks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentd.aio import cancel_and_wait
from agentd.config.tools import McpTool
from agentd.errors import ToolError, reason_of
from agentd.providers.fields import Secret, SecretMissing
from agentd.tools.addresses import AddressPolicy, Resolve, checked_url
from agentd.tools.mcp_output import standard_error
from agentd.tools.secrets import Secrets

if TYPE_CHECKING:
    from mcp import Client

log = logging.getLogger(__name__)

OPEN_S = 15.0  # for the first connection: npx and uvx start slowly
PING_EVERY_S = 10.0
PING_S = 5.0
AGAIN_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # between attempts, times 0.5 to 1
MAX_TOOLS = 128  # what OpenAI takes in one request
DIGEST_CHARACTERS = 32


class ServerLost(ToolError):
    """The connection broke under a call: the server may have done what it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTool:
    """A tool as the server describes it. `repeatable`: the server says that asking twice does no harm."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    repeatable: bool

    @property
    def digest(self) -> str:
        """Of all that the model is told of it."""
        told = json.dumps([self.name, self.description, self.parameters], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()[:DIGEST_CHARACTERS]


class McpServer:
    """One server of one agent."""

    def __init__(self, tool: McpTool, policy: AddressPolicy, resolve: Resolve | None = None) -> None:
        """Raises ToolError for secrets that are missing and addresses that are refused. `resolve`: instead of the
        system's resolver."""
        self._tool = tool
        self._policy = policy
        self._resolve = resolve
        self._headers = _revealed(tool, "headers", tool.headers)
        self._environment = _revealed(tool, "env", tool.env)
        if tool.url is not None:
            checked_url(tool.name, tool.url, policy, allow_http=tool.allow_http)
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.problem = "it has not answered yet"
        """Why there is no connection; of the past while there is one."""
        self._attempts = 0  # since the last connection
        self._was_connected = False
        self.tools: Mapping[str, RemoteTool] = {}
        """As described last; empty before the first connection."""

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    async def open(self) -> None:
        """Begins to keep a connection, and waits for the first. Raises ToolError when there is none in time and the
        agent needs it; else it goes on trying."""
        self._task = asyncio.get_running_loop().create_task(self._keep())
        try:
            async with asyncio.timeout(OPEN_S):
                await self._connected.wait()
        except TimeoutError:
            if self._tool.required:
                await self.aclose()
                raise ToolError(f"{self._tool.name}: no MCP server: {self.problem}") from None
            log.warning("mcp_server_away", extra={"server": self._tool.name, "problem": self.problem})
        except BaseException:  # cancelled: nobody is left who would end the task
            await self.aclose()
            raise

    async def aclose(self) -> None:
        await cancel_and_wait(self._task)
        self._task = None

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The SDK's CallToolResult; waits for a connection first, so the caller sets the deadline. Raises ServerLost,
        and ToolError for what the server refused."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        await self._connected.wait()
        client = self._client
        assert client is not None
        try:
            return await client.call_tool(name, dict(arguments))
        except MCPError as error:
            if self._client is not client or error.code == CONNECTION_CLOSED:
                self._lost(client)
                raise ServerLost("the connection with it was lost") from error
            raise ToolError(error.message) from error
        except (OSError, ExceptionGroup, ValueError) as error:  # streams that break; answers that are none
            self._lost(client)
            raise ServerLost(f"the connection with it was lost: {type(error).__name__}") from error

    def _lost(self, client: Client) -> None:
        """Calls wait for the next connection from now on."""
        if self._client is client:
            self._client = None
            self._connected.clear()
            self._broken.set()

    async def _keep(self) -> None:
        """Connects, watches, connects again; until cancelled."""
        while True:
            try:
                await self._connect_and_watch()
            except Exception as error:  # the SDK's transports raise whatever their libraries do
                self.problem = reason_of(error)
                log.warning("mcp_server_lost", extra={"server": self._tool.name, "problem": self.problem})
            finally:
                self._connected.clear()
                self._client = None
            await asyncio.sleep(AGAIN_S[min(self._attempts, len(AGAIN_S) - 1)] * random.uniform(0.5, 1.0))
            self._attempts += 1

    async def _connect_and_watch(self) -> None:
        """Returns, or raises, when the connection is lost."""
        from mcp import Client

        self._broken.clear()
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            async with asyncio.timeout(OPEN_S):
                client = await stack.enter_async_context(Client(transport, cache=None))
                await self._look(client)
            self._client = client
            self._connected.set()
            self._attempts = 0
            if self._was_connected:
                log.warning("mcp_reconnect", extra={"server": self._tool.name})
            self._was_connected = True
            log.info("mcp_server_connected", extra={"server": self._tool.name, "tools": len(self.tools)})
            while not self._broken.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_EVERY_S):
                        await self._broken.wait()
                if not self._broken.is_set():
                    async with asyncio.timeout(PING_S):
                        await self._look(client)  # also tells of changes, on every kind of server

    async def _look(self, client: Client) -> None:
        """`tools` is another object only when something is described otherwise."""
        found = await _list_tools(client)
        if found != self.tools:
            self.tools = found

    async def _transport(self, stack: AsyncExitStack) -> Any:
        from mcp import StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client

        if self._tool.url is None:
            program, *arguments = self._tool.command
            parameters = StdioServerParameters(command=program, args=arguments, env=self._environment)
            told = await stack.enter_async_context(standard_error(self._tool.name, Secrets(self._environment)))
            return stdio_client(parameters, errlog=told)
        import httpx2

        from agentd.tools.mcp_network import checked_transport

        client = httpx2.AsyncClient(
            headers=self._headers,
            timeout=httpx2.Timeout(30.0, read=300.0),
            transport=checked_transport(self._policy, self._resolve),
            trust_env=False,
        )
        return streamable_http_client(self._tool.url, http_client=await stack.enter_async_context(client))


async def _list_tools(client: Client) -> dict[str, RemoteTool]:
    """Raises ToolError for more than a model can be told of."""
    found: dict[str, RemoteTool] = {}
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        for each in page.tools:
            hints = each.annotations
            repeatable = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
            found[each.name] = RemoteTool(
                name=each.name,
                description=each.description or each.title or each.name,
                parameters=each.input_schema,
                repeatable=repeatable,
            )
        cursor = page.next_cursor
        if len(found) > MAX_TOOLS:
            raise ToolError(f"more than {MAX_TOOLS} tools; name those that are needed in allow")
        if not cursor:
            return found


def _revealed(tool: McpTool, field: str, secrets: Mapping[str, Secret]) -> dict[str, str]:
    try:
        return {name: secret.reveal() for name, secret in secrets.items()}
    except SecretMissing as error:
        raise ToolError(f"{tool.name}: {field}: {error}") from error


def approved(tools: Mapping[str, RemoteTool], wanted: McpTool, known: Mapping[str, str]) -> Sequence[RemoteTool]:
    """Those that the model may see: allowed, and described as when they were approved. Pure. `known`: digests of an
    earlier look, for what the file does not pin."""
    offered = allowed(tools.values(), wanted)
    if wanted.pins:
        return [tool for tool in offered if wanted.pins.get(tool.name) == tool.digest]
    return [tool for tool in offered if known.get(tool.name, tool.digest) == tool.digest]


def allowed(tools: Iterable[RemoteTool], wanted: McpTool) -> list[RemoteTool]:
    """Those that the file lets through. Pure."""
    return [tool for tool in tools if not wanted.allow or tool.name in wanted.allow]
