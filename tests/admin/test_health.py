from __future__ import annotations

import subprocess
import sys

from agentd.runtime.status import Readiness
from tests.admin.conftest import Serve
from tests.fakes.daemon import FakeDaemon, agent


async def test_root_answers_as_livekit_agents_does(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    answer = await client.get("/")
    assert (answer.status, await answer.text()) == (200, "OK")
    daemon.agent_list = (agent(registered=False),)
    answer = await client.get("/")
    assert (answer.status, await answer.text()) == (503, "failed to connect to livekit")


async def test_worker_describes_what_is_registered(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.agent_list = (agent("front-desk"), agent("billing"), agent("draft.yaml", state="rejected"))
    client = await serve()
    answer = await (await client.get("/worker")).json()
    assert answer == {
        "agent_name": "front-desk,billing",
        "agent_names": ["front-desk", "billing"],
        "worker_type": "JT_ROOM",
        "worker_load": 0.25,
        "active_jobs": 1,
        "sdk_version": "1.2.1",
        "protocol_version": 1,
        "project_type": "python",
    }


async def test_readyz_gives_the_reasons_why_not(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    assert (await client.get("/readyz")).status == 200
    daemon.ready = Readiness(ready=False, reasons=("No agent is registered.", "The daemon drains."))
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert (await answer.json())["reasons"] == ["No agent is registered.", "The daemon drains."]
    assert (await client.get("/livez")).status == 200


def test_the_admin_side_runs_in_the_supervisor_so_it_loads_no_media() -> None:
    loaded = "import sys, agentd.admin.server; print([m for m in ('livekit.rtc', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "[]\n"
