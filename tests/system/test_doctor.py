"""`agentd doctor` against a real LiveKit server, and beside a daemon that serves."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from agentd.cli.checks import Finding
from agentd.cli.checks_machine import CALL_DESCRIPTORS
from agentd.cli.checks_network import livekit
from agentd.cli.doctor import findings
from agentd.cli.files import daemon_of
from agentd.loadtest.caller import Caller
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.system.caller import server_of, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

AGENT = zero_cost_agent("desk", ["Yes."], character="10ms", extra="greeting: {say: Good day.}")


def environment_of(credentials: LiveKitCredentials, state: Path) -> dict[str, str]:
    return {
        "LIVEKIT_URL": credentials.url,
        "LIVEKIT_API_KEY": credentials.api_key,
        "LIVEKIT_API_SECRET": credentials.api_secret,
        "AGENTD_STORE": str(state),
    }


async def test_a_servers_keys_are_tried_and_its_clock_is_read(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    environment = environment_of(credentials, tmp_path)
    daemon, _ = daemon_of(None, environment)
    found = await livekit(daemon.config, environment)
    assert [(each.check, each.state) for each in found] == [("livekit", "ok"), ("clock", "ok")]
    wrong = {**environment, "LIVEKIT_API_SECRET": "another-secret-that-is-long-enough"}
    (refused, *_) = await livekit(daemon.config, wrong)
    assert (refused.state, "does not take the key" in refused.found) == ("fail", True)


async def test_a_daemon_that_serves_is_known_and_a_call_holds_fewer_descriptors_than_are_counted(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    (tmp_path / "agents.d").mkdir()
    (tmp_path / "agents.d" / "desk.yaml").write_text(AGENT)
    given = environment_of(credentials, tmp_path / "state")
    async with running_daemon(server, {"desk.yaml": AGENT}, workers=1, environment=given) as running:
        environment = {**given, "AGENTD_ADMIN_ADDR": running.admin_url.removeprefix("http://")}
        settings, registry = daemon_of(None, environment)

        async def found(check: str) -> Finding:
            told = await findings(tmp_path / "agents.d", settings, registry, environment)
            return next(each for each in told if each.check == check)

        assert (await found("admin")).found.startswith("a daemon answers")
        assert (await found("state")).found.endswith(f"held by the daemon (pid {running.process.pid})")

        async with running.http.get(running.admin_url + "/v1/workers") as answer:
            (worker,) = (await answer.json())["workers"]
        idle = open_descriptors(worker["pid"])
        room = f"room-{uuid.uuid4().hex[:8]}"
        status, _ = await running.post("/v1/dispatches", {"agent": "desk", "room": room})
        assert status == 201
        async with Caller.join(server, room=room) as caller:
            await spoken(caller, 0)
            assert 0 < open_descriptors(worker["pid"]) - idle <= CALL_DESCRIPTORS


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
