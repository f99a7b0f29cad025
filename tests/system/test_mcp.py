"""The reference MCP server "everything", from npm, as the tools of an agent: over stdio, over HTTP, after its death."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentd.cli.main import main
from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.providers.llm import ToolCall
from agentd.tools.host import ToolHost
from agentd.tools.runner import Tools, open_tools
from agentd.tools.spec import ToolContext
from tests.fakes.plugins import fake_registry
from tests.tools.test_mcp import free_port, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]  # the first installs from npm

PROJECT = Path(__file__).parents[2]
VERSION = "2026.8.31"
HEAD = "name: example\nstt: {provider: owl}\nllm: {provider: parrot, model: echo}\ntts: {provider: wren}\ntools:\n"
CONTEXT = ToolContext(session_id="s1", agent="example", revision="1")


def everything() -> list[str]:
    """The server's command, installed from npm when it is not there."""
    place = PROJECT / ".cache" / "node" / f"server-everything-{VERSION}"
    entry = place / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    if not entry.exists():
        if shutil.which("npm") is None:
            pytest.fail("this test needs Node.js with npm (Debian: apt-get install nodejs npm)")
        place.mkdir(parents=True, exist_ok=True)
        patience = ["--fetch-timeout=30000", "--fetch-retries=4"]  # a connection that hangs is made again
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *patience, "--prefix", str(place)]
        subprocess.run([*command, f"@modelcontextprotocol/server-everything@{VERSION}"], cwd=place, check=True)
    return ["node", str(entry)]


@asynccontextmanager
async def tools_of(tmp_path: Path, yaml: str) -> AsyncIterator[Tools]:
    agents = tmp_path / "agents.d"
    agents.mkdir()
    (agents / "example.yaml").write_text(HEAD + yaml)
    loaded = load(agents, DaemonConfig(), fake_registry(), {})
    assert [str(problem) for problem in loaded.problems] == []
    host = ToolHost(agents, scratch_dir=tmp_path)
    runner = await open_tools(loaded.agents["example"], host=host)
    try:
        yield runner
    finally:
        await runner.aclose()
        await host.aclose()


async def called(runner: Tools, name: str, /, **arguments: object) -> str:
    outcome = await runner.run(ToolCall(id="1", name=name, arguments=json.dumps(arguments)), CONTEXT)
    assert outcome.outcome == "ok", outcome.result.content
    return outcome.result.content


def children(of: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split()]


async def test_f32_over_stdio_its_tools_answer_also_after_its_death(tmp_path: Path) -> None:
    before = children(os.getpid())
    command = json.dumps([*everything(), "stdio"])
    yaml = f"  - {{type: mcp, name: all, command: {command}, allow: [get-sum, echo]}}\n"
    async with tools_of(tmp_path, yaml) as runner:
        assert sorted(schema.name for schema in runner.schemas) == ["all_echo", "all_get-sum"]
        assert "5" in await called(runner, "all_get-sum", a=2, b=3)
        (server,) = set(children(os.getpid())) - set(before)
        os.kill(server, signal.SIGKILL)
        outcome = await runner.run(ToolCall(id="1", name="all_echo", arguments='{"message": "lost?"}'), CONTEXT)
        assert outcome.outcome in ("error", "ok")  # the one call that finds out
        assert "again" in await called(runner, "all_echo", message="again")
    assert set(children(os.getpid())) <= set(before)


async def test_over_streamable_http_its_tools_answer(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "PORT": str(port)}
    command = [*everything(), "streamableHttp"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await until(lambda: listens(port))
            url = f"http://127.0.0.1:{port}/mcp"
            async with tools_of(tmp_path, f'  - {{type: mcp, name: all, url: "{url}"}}\n') as runner:
                assert "hello" in await called(runner, "all_echo", message="hello")
                assert "image" in await called(runner, "all_get-tiny-image")
        finally:
            process.kill()


def listens(port: int) -> bool:
    tables = [Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6")]
    lines = [line for table in tables for line in table.splitlines()]
    return any(f":{port:04X} " in line and " 0A " in line for line in lines)  # 0A: listening


def test_the_pins_that_are_printed_are_those_that_approve(tmp_path: Path) -> None:
    command = json.dumps([*everything(), "stdio"])
    head = (
        "name: example\nstt: {provider: scripted}\ntts: {provider: scripted}\n"
        "llm: {provider: scripted, dialogue: {start: a, states: {a: {say: Hello.}}}}\ntools:\n"
    )
    server = f"  - type: mcp\n    name: all\n    command: {command}\n    allow: [echo, get-sum]\n"
    file = tmp_path / "example.yaml"
    file.write_text(head + server)
    printed = CliRunner().invoke(main, ["mcp", "example", "--pins", "-d", str(tmp_path)])
    assert printed.exit_code == 0, printed.output
    assert re.fullmatch(r"pins: \{echo: [0-9a-f]{32}, get-sum: [0-9a-f]{32}\}  # all\n", printed.output)
    file.write_text(head + server + f"    {printed.output}")
    shown = CliRunner().invoke(main, ["mcp", "example", "-d", str(tmp_path)])
    assert (shown.exit_code, "changed" in shown.output) == (0, False)
    file.write_text(file.read_text().replace("{echo: ", "{echo: 0"))
    shown = CliRunner().invoke(main, ["mcp", "example", "-d", str(tmp_path)])
    assert shown.exit_code == 1
    assert "changed since it was pinned" in shown.output
