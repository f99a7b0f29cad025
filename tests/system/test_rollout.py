"""A canary on a real LiveKit server: its share of the calls and its end by itself.

Calls are short and typed: what is looked at is who holds them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.system.caller import server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

CANARY = """rollout:
  of: desk
  percent: 50
  objectives: {tool_failure_rate: 0.2, error_rate: 0.2, min_calls: 2, max_calls: 2}
hooks: [{on: session_started, do: {python: "tools.setup:begin"}}]
"""
BROKEN = "def begin(event, context):\n    raise RuntimeError('not set up')\n"


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def held_by(daemon: Daemon, server: Server) -> str:
    """The agent whose definition holds one call of `desk`, which is answered and over afterwards."""
    async with Caller.join(server, agent="desk", microphone=False) as caller:
        await caller.agent_state("listening", 30)
        await caller.chat("hello")
        await caller.until(lambda: bool(caller.agent_captions()), 30)
        [session] = await daemon.sessions()
        await caller.leave()

    async def over() -> bool:
        return not await daemon.sessions()

    await daemon.until(over, 30)
    return str(session["agent"])


async def test_a_canary_takes_its_share_and_is_rolled_back_by_itself(server: Server, tmp_path: Path) -> None:
    files = {
        "desk.yaml": zero_cost_agent("desk"),
        "desk-next.yaml": zero_cost_agent("desk-next", extra=CANARY),
        "tools/setup.py": BROKEN,
    }
    agents = tmp_path / "agents.d"
    for name, text in files.items():
        (agents / name).parent.mkdir(parents=True, exist_ok=True)
        (agents / name).write_text(text)
    async with running_daemon(server, agents, workers=1, environment={"AGENTD_STORE": str(tmp_path)}) as daemon:
        assert [await held_by(daemon, server) for _ in range(5)] == ["desk-next", "desk", "desk-next", "desk", "desk"]
        [rollout] = (await daemon.get("/v1/rollouts"))["rollouts"]
        assert (rollout["state"], rollout["calls"], rollout["baseline_calls"]) == ("rolled_back", 2, 1)
        assert rollout["why"].startswith("error_rate 100.0%")
        assert 'agentd_rollout_share_ratio{agent="desk-next",of="desk"} 0.0' in await daemon.metrics()
