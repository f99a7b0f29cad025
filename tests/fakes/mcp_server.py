"""An MCP server on the official SDK, run as a program: stdio, or streamable HTTP with a port.

What it is asked to do is in MCP_STATE, a directory: `calls` gets a line a call, and `description`, if there, is how
`add` is described.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

STATE = Path(os.environ["MCP_STATE"])
DESCRIPTION = STATE / "description"
server = MCPServer("fake")


def _note(call: str) -> None:
    with (STATE / "calls").open("a") as file:
        file.write(f"{call} {os.getpid()}\n")


@server.tool(description=DESCRIPTION.read_text() if DESCRIPTION.exists() else "Add two numbers.")
def add(a: int, b: int) -> int:
    _note("add")
    return a + b


@server.tool(description="Fails.")
def fail() -> str:
    raise ValueError("no luck today")


@server.tool(description="Dies, the first time.")
def die_once() -> str:
    return _die("die_once")


@server.tool(description="Dies, the first time.", annotations=ToolAnnotations(read_only_hint=True))
def look_and_die_once() -> str:
    return _die("look_and_die_once")


@server.tool(description="Takes its time.")
async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@server.tool(description="Writes to standard error.")
def complain(text: str) -> str:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    return "done"


@server.tool(description="Tells a variable.")
def variable(name: str) -> str:
    return os.environ.get(name, "not set")


def _die(name: str) -> str:
    seen = (STATE / "calls").read_text() if (STATE / "calls").exists() else ""
    _note(name)
    if name not in seen:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
