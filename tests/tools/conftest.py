"""A directory of agents with Python tools, and hosts that are closed after the test."""

import gc
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.tools.host import ToolHost
from agentd.tools.spec import Caller, ToolContext


@pytest.fixture
def agents_dir(tmp_path: Path) -> Path:
    tools = tmp_path / "agents.d" / "tools"
    tools.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("fixture_code.py"), tools / "code.py")
    return tmp_path / "agents.d"


@pytest.fixture
async def make_host(agents_dir: Path, tmp_path: Path) -> AsyncIterator[Callable[..., ToolHost]]:
    """After the test no process, no file and no descriptor of the hosts is left."""
    hosts: list[ToolHost] = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    gc.collect()  # what earlier tests left to the collector is not counted
    descriptors = len(os.listdir("/proc/self/fd"))

    def make(**options: Any) -> ToolHost:
        hosts.append(ToolHost(agents_dir, ("tools.*",), **{"scratch_dir": scratch, **options}))
        return hosts[-1]

    yield make
    pids = [pid for host in hosts for pid in host.pids]
    for host in hosts:
        await host.aclose()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert list(scratch.iterdir()) == []
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.fixture
async def host(make_host: Callable[..., ToolHost]) -> ToolHost:
    return make_host()


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(
        session_id="s1",
        agent="front-desk",
        revision="abc",
        room="room-1",
        job_id="job-1",
        started_at="2030-01-31T12:00:00Z",
        caller=Caller(identity="caller-1", name="Zoë", attributes={"tier": "gold"}),
        variables={"draft": "x", "count": 1},
    )
