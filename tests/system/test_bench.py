"""`agentd bench`, as a user runs it, on a real LiveKit server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from agentd.loadtest.processes import descendants
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import zero_cost_agent

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def variables(credentials: LiveKitCredentials) -> dict[str, str]:
    keys = {"LIVEKIT_API_KEY": credentials.api_key, "LIVEKIT_API_SECRET": credentials.api_secret}
    return {**os.environ, "LIVEKIT_URL": credentials.url, **keys, "AGENTD_ADMIN_TOKEN": "another"}


async def test_a_call_is_measured_and_nothing_is_left(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    """The file greets, so that an answer follows speech that is none."""
    agents = tmp_path / "agents.d"
    agents.mkdir()
    (agents / "desk.yaml").write_text(zero_cost_agent("desk", extra='greeting: {say: "Good day."}'))
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentd", "bench", "desk", "--calls", "1", "--seconds", "3", "--workers", "1"),
        *("--output", "json"),
        env=variables(credentials),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(measuring.communicate(), 100)
    assert measuring.returncode == 0, err.decode()
    told = json.loads(out)
    (step,) = told["steps"]
    assert step["v2v_s"]["n"] >= 1, err.decode()
    assert 0.3 < step["v2v_s"]["median"] < 10
    assert step["cpu_percent_per_call"] > 0
    assert step["idle_memory_mib"] > 20
    assert 0 < step["sound_arrived"] <= 1
    assert step["loop_lag_p99_s"] is not None
    assert told["conclusion"]["calls_per_core"] > 0
    assert not (tmp_path / "state").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agents.d"]
    assert descendants(measuring.pid) == [measuring.pid], "its daemon has ended with it"


async def test_a_signal_ends_what_it_has_started(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(zero_cost_agent("desk"))
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentd", "bench", "desk", "-d", ".", "--calls", "1", "--seconds", "300"),
        env=variables(credentials),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        while len(started := descendants(measuring.pid)) < 3:  # the daemon and a worker of its
            await asyncio.sleep(0.1)
    measuring.terminate()
    await asyncio.wait_for(measuring.communicate(), 30)
    async with asyncio.timeout(20):
        while any(Path(f"/proc/{pid}").exists() for pid in started):
            await asyncio.sleep(0.1)
