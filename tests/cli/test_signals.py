"""What ends `agentd serve` when: during its start, in an upgrade, and as `agentd drain` is told of it. Processes, as in
tests/cli/test_serve.py."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from agentd.loadtest.processes import descendants
from agentd.runtime.journals import locked
from bench.daemon import zero_cost_agent
from tests.cli.test_serve import PATIENCE_S, Serve, here, serving
from tests.transport.fake_server import fake_server

pytestmark = pytest.mark.timeout(120)

SLOW_TOOL = """\
import pathlib
import time

pathlib.Path("{mark}").touch()
time.sleep(600)


def find_slot() -> str:
    return "three"
"""

RESOLVES_FOR_LONG = """
import sys, time
import agentd.cli.serve as serve

def resolve(*_):
    print("it resolves", file=sys.stderr, flush=True)
    time.sleep(600)

serve.resolve = resolve
from agentd.cli.main import main
main()
"""

SIGNALLED_AS_IT_IS_REPLACED = """
import os, signal
execve = os.execve

def replaced(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    execve(*arguments)

os.execve = replaced
from agentd.cli.main import main
main()
"""

SIGNALLED_AS_IT_BEGINS = """
import os, signal
if "AGENTD_HANDED_LOCK" in os.environ:
    os.kill(os.getpid(), signal.SIGTERM)
from agentd.cli.main import main
main()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with one agent that costs nothing."""
    (tmp_path / "agents.d").mkdir()
    (tmp_path / "agents.d" / "ada.yaml").write_text(zero_cost_agent("ada"))
    return tmp_path


async def file_there(path: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not path.exists():
            await asyncio.sleep(0.02)


def admin_url(serve: Serve) -> str:
    return "http://" + str(serve.logged("admin server started")[0]["address"])


# The start


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_start_in_which_a_worker_still_loads(place: Path, stop: signal.Signals) -> None:
    agent = zero_cost_agent("ada", extra='tools: [{type: python, ref: "tools.clinic:find_slot"}]')
    (place / "agents.d" / "ada.yaml").write_text(agent)
    (place / "agents.d" / "tools").mkdir()
    (place / "agents.d" / "tools" / "clinic.py").write_text(SLOW_TOOL.format(mark=place / "loads"))
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await file_there(place / "loads")
        begun = descendants(serve.process.pid)
        serve.process.send_signal(stop)
        async with asyncio.timeout(8):  # less than calls are given to end, and than the tool takes
            assert await serve.process.wait() == 0
        assert (serve.logged("drain began")[0]["sessions"], serve.logged("daemon started")) == (0, [])
        assert len(begun) >= 3, "itself, a worker, and its process for tools"
        async with asyncio.timeout(PATIENCE_S):
            while any(Path(f"/proc/{pid}").exists() for pid in begun):
                await asyncio.sleep(0.02)
    with locked(place / "state"):
        pass


async def test_a_signal_before_there_is_a_supervisor_ends_the_process_with_0(place: Path) -> None:
    async with serving(place, livekit=here(), program=("-c", RESOLVES_FOR_LONG)) as serve:
        async with asyncio.timeout(PATIENCE_S):
            while "it resolves" not in serve.lines:
                await asyncio.sleep(0.02)
        serve.process.send_signal(signal.SIGTERM)
        assert await serve.ended() == 0


# An upgrade


@pytest.mark.parametrize(
    "program", [SIGNALLED_AS_IT_IS_REPLACED, SIGNALLED_AS_IT_BEGINS], ids=["before the exec", "after it"]
)
async def test_a_signal_around_the_exec_of_an_upgrade_drains_the_successor(place: Path, program: str) -> None:
    async with fake_server() as livekit, serving(place, livekit=livekit.url, program=("-c", program)) as serve:
        await serve.until_logged("agent registered")
        await serve.until_logged("daemon started")
        async with aiohttp.ClientSession() as http, http.post(admin_url(serve) + "/v1/upgrade") as reply:
            assert reply.status == 202, await reply.text()
        assert await serve.ended() == 0
        told = [record["message"] for record in serve.records]
        assert "drain began" in told[told.index("upgrade began") :]
        assert told.count("daemon started") == 1, "the successor took calls"


# What `agentd drain` is told


async def test_a_drain_that_is_waited_for_is_told_its_end(place: Path) -> None:
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await serve.until_logged("daemon started")
        command = (sys.executable, "-m", "agentd", "drain", "--wait", "--admin-addr", admin_url(serve))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert (process.returncode, said.decode().splitlines()[-1]) == (0, "It has ended.")
        assert await serve.ended() == 0
