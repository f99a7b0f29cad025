"""What a tool call costs beside the tool: python -m bench.tools [--calls 2000] [--at-once 1 100] [--kills 200]

Every call goes the way of a session's: arguments checked, run, answered. The webhook is one on this machine that
answers at once, and beside it the same requests by the HTTP client alone; what agentd adds is the difference of the two
(its signature, its checks). The Python function does nothing, so that all of its time is added; a hundred calls at
once wait for the eight processes of the pool. Then tools are killed: they hang until their deadline, with a child
of theirs in another session, or crash. What processes, file descriptors and files are left afterwards is printed; each
must be 0.

Bounded: a measurement ends after --seconds, whatever it has come to, and the kills after --kill-seconds. Ten thousand
take about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.tools import PythonTool, WebhookTool
from agentd.loadtest.figures import quantile
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import ToolCall
from agentd.tools.family import MARK
from agentd.tools.host import ToolHost
from agentd.tools.runner import Tools, open_tools
from agentd.tools.spec import ToolContext
from bench.figures import run
from tests.fakes.webhook_server import webhook_server

SECRET = "whsec_" + "A" * 43 + "="
CODE = '''
import ctypes, os, subprocess, time

def nothing(day: str) -> str:
    """Does nothing."""
    return "ok"

def hangs() -> None:
    """Never returns, and has a child that has left."""
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    open("left.txt", "w").write("x" * 1000)
    time.sleep(1000)

def crashes() -> None:
    """Reads address 0."""
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    ctypes.string_at(0)
'''
CONTEXT = ToolContext(session_id="bench", agent="bench", revision="")
ARGUMENTS = '{"day": "2030-01-31"}'


@dataclass(frozen=True, slots=True)
class Left:
    """What the machine has of ours; `zombies` are processes that have ended and whose new parent does not ask."""

    processes: int
    zombies: int
    descriptors: int
    files: int


def definition(url: str, timeout_s: float) -> AgentDefinition:
    def choice(kind: Any) -> ProviderChoice:
        return ProviderChoice(kind=kind, provider="none", settings=None, digest="")

    parameters = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    timeout = Duration(timeout_s)
    return AgentDefinition(
        name="bench",
        stt=choice("stt"),
        llm=choice("llm"),
        tts=choice("tts"),
        vad=choice("vad"),
        tools=(
            PythonTool(type="python", ref="tools.bench:nothing", timeout=Duration(60)),
            PythonTool(type="python", ref="tools.bench:hangs", timeout=timeout),
            PythonTool(type="python", ref="tools.bench:crashes", timeout=Duration(60)),
            WebhookTool(
                type="webhook",
                name="hook",
                description="Answers at once.",
                url=url,
                parameters=parameters,
                secret=Secret("literal", SECRET),
                timeout=Duration(60),
            ),
        ),
    )


async def called(tools: Tools, name: str, arguments: str = ARGUMENTS) -> str:
    outcome = await tools.run(ToolCall(id="c1", name=name, arguments=arguments), CONTEXT)
    return outcome.outcome


async def measured(one: Callable[[], Awaitable[Any]], calls: int, at_once: int, seconds: float) -> list[float]:
    """Seconds of each call; `at_once` are under way all the time."""
    taken: list[float] = []
    until = time.monotonic() + seconds
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await one()
            taken.append(time.perf_counter() - began)
            if time.monotonic() > until:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(caller())
    return taken


def line(what: str, seconds: Sequence[float]) -> str:
    median, p99 = (1000 * quantile(seconds, q) for q in (0.5, 0.99))
    return f"  {what:34} median {median:8.2f} ms   p99 {p99:8.2f} ms   n={len(seconds)}"


def added(what: str, ours: Sequence[float], bare: Sequence[float]) -> str:
    median, p99 = (1000 * (quantile(ours, q) - quantile(bare, q)) for q in (0.5, 0.99))
    return f"  {what:34} median {median:8.2f} ms   p99 {p99:8.2f} ms"


async def measure_calls(tools: Tools, url: str, arguments: argparse.Namespace) -> None:
    for at_once in arguments.at_once:

        async def timed(one: Callable[[], Awaitable[Any]], at_once: int = at_once) -> list[float]:
            await measured(one, 2 * at_once, at_once, arguments.seconds)  # connections are made, processes started
            return await measured(one, arguments.calls, at_once, arguments.seconds)

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:

            async def bare(http: aiohttp.ClientSession = http) -> None:
                async with http.post(url, json={"arguments": {"day": "2030-01-31"}}) as answer:
                    await answer.read()

            alone = await timed(bare)
        hooked = await timed(lambda: called(tools, "hook"))
        python = await timed(lambda: called(tools, "nothing"))
        print(f"{at_once} at once")
        print(line("HTTP client alone", alone))
        print(line("webhook", hooked))
        print(added("added to a webhook", hooked, alone))
        print(line("Python (added to a function call)", python))


async def kill(tools: Tools, kills: int, seconds: float) -> tuple[int, float]:
    """How many tools were killed or crashed, and in how many seconds."""
    began = time.monotonic()
    done = 0
    left = iter(range(kills))

    async def killer() -> None:
        nonlocal done
        for number in left:
            outcome = await called(tools, "crashes" if number % 4 == 3 else "hangs", "{}")
            assert outcome in ("timeout", "crashed"), outcome
            done += 1
            if time.monotonic() - began > seconds:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(killer())
    return done, time.monotonic() - began


def left_over(scratch: Path) -> Left:
    """Processes are those with a tool's mark, or whose name is that of the tools' children."""
    alive = zombies = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
                marked = MARK.encode() in Path(f"/proc/{name}/environ").read_bytes()
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            zombies += "(sleep) Z" in stat
            alive += marked or words == b"sleep\x001000\x00"
    return Left(alive, zombies, len(os.listdir("/proc/self/fd")), sum(1 for _ in scratch.rglob("*")))


def write_code(folder: Path) -> tuple[Path, Path]:
    """The agents' directory and that of the tools' scratch files."""
    agents, scratch = folder / "agents.d", folder / "scratch"
    (agents / "tools").mkdir(parents=True)
    (agents / "tools" / "bench.py").write_text(CODE)
    scratch.mkdir()
    return agents, scratch


async def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agents, scratch = write_code(Path(folder))
        async with webhook_server() as server:
            before = left_over(scratch)
            host = ToolHost(agents, scratch_dir=scratch)
            tools = await open_tools(definition(server.url, arguments.deadline), host=host)
            try:
                await measure_calls(tools, server.url, arguments)
                done, taken_s = await kill(tools, arguments.kills, arguments.kill_seconds)
            finally:
                await tools.aclose()
                await host.aclose()
            await asyncio.sleep(0.5)  # connections close
            after = left_over(scratch)
    print(f"{done} tools killed in {taken_s:.0f} s; left behind:")
    print(f"  processes    {after.processes - before.processes}")
    print(f"  zombies      {after.zombies - before.zombies}: ended, and not reaped by the machine's init")
    print(f"  descriptors  {max(0, after.descriptors - before.descriptors)}")
    print(f"  files        {after.files - before.files}")
    if (after.processes, after.files) != (before.processes, before.files) or after.descriptors > before.descriptors:
        raise SystemExit("something was left behind")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--deadline", type=float, default=0.5, help="of a tool that hangs, in seconds")
    parser.add_argument("--seconds", type=float, default=120.0, help="that each measurement may take")
    parser.add_argument("--kill-seconds", type=float, default=3600.0, help="that the kills may take in all")
    run(main, parser)
