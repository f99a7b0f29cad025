"""`agentd mcp NAME`: what an agent's MCP servers offer, and the pins that approve it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from agentd.cli.files import agent_named, config_options
from agentd.config.tools import McpTool
from agentd.errors import ToolError
from agentd.tools.addresses import AddressPolicy
from agentd.tools.mcp import McpServer, RemoteTool, allowed


@click.command()
@click.argument("name")
@config_options
@click.option("--pins", is_flag=True, help="Print only the pins, as they stand in the agent file.")
@click.pass_context
def mcp(
    ctx: click.Context, name: str, directory: Path | None, config: Path | None, env_file: Path | None, pins: bool
) -> None:
    """Connect to the MCP servers of the agent NAME, and show their tools with their digests.

    Exits with 1 when a server cannot be reached, or a tool is not as its pin says.
    """
    definition, daemon = agent_named(ctx, name, directory, config, env_file)
    servers = [tool for tool in definition.tools if isinstance(tool, McpTool)]
    if not servers:
        click.echo(f"{name} has no MCP server", err=True)
    policy = AddressPolicy(daemon.http.allow)
    shown = [_show(server, policy, pins=pins) for server in servers]  # each, also after one that is away
    ctx.exit(0 if all(shown) else 1)


def _show(server: McpTool, policy: AddressPolicy, *, pins: bool) -> bool:
    """Whether it could be reached, and is as it is pinned."""
    try:
        tools = asyncio.run(_tools(server, policy))
    except ToolError as error:
        click.echo(str(error), err=True)
        return False
    offered = allowed(tools, server)
    if pins:
        click.echo(f"pins: {{{', '.join(f'{tool.name}: {tool.digest}' for tool in offered)}}}  # {server.name}")
        return True
    click.echo(f"{server.name}:")
    for tool in offered:
        click.echo(f"  {tool.name}  {tool.digest}{_verdict(server, tool)}")
        click.echo(f"    {' '.join(tool.description.split())}")
    return all(server.pins.get(tool.name) == tool.digest for tool in offered) or not server.pins


def _verdict(server: McpTool, tool: RemoteTool) -> str:
    if not server.pins or server.pins.get(tool.name) == tool.digest:
        return ""
    return "  changed since it was pinned" if tool.name in server.pins else "  not pinned"


async def _tools(server: McpTool, policy: AddressPolicy) -> list[RemoteTool]:
    connection = McpServer(server, policy)
    try:
        await connection.open()
        if not connection.connected:
            raise ToolError(f"{server.name}: no MCP server: {connection.problem}")
        return sorted(connection.tools.values(), key=lambda tool: tool.name)
    finally:
        await connection.aclose()
