"""A real call, and what `agentd explain` tells of it, from the journal's file and from the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon
from tests.speech import utterance
from tests.system.caller import server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

AGENT = """\
version: 1
name: a
greeting: {say: "Hello."}
vad: {provider: silero}
stt: {provider: scripted}
llm: {provider: scripted, replies: ["Yes, we do."], first_delay: 300ms}
tts: {provider: scripted, character: 10ms}
turn:
  endpointing:
    min_delay: 0.6s
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def explain(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "agentd", "explain", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return told.decode()


async def once_answered(environment: Mapping[str, str], session: str) -> dict[str, Any]:
    """The call as JSON, when its first turn has been answered to the end."""
    async with asyncio.timeout(30):
        while True:
            call: dict[str, Any] = json.loads(await explain(environment, session, "-o", "json"))
            if call["turns"] and (call["turns"][0]["reply"] or {}).get("finished"):
                return call
            await asyncio.sleep(0.2)


async def test_a_call_is_explained_down_to_the_line_while_it_lasts_and_after_it(server: Server, tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    options = {"AGENTD_STORE": str(state), "AGENTD_ADMIN_TOKEN": "correct"}
    sound = utterance("When do you open?")
    async with running_daemon(server, {"a.yaml": AGENT}, workers=1, environment=options) as daemon:
        daemon.http.headers["Authorization"] = "Bearer correct"
        async with Caller.join(server, agent="a") as caller:
            await caller.hears_after(0, 30)
            await caller.agent_state("listening", 20)
            _, ended = await caller.say(sound.array(), sound.sample_rate_hz)
            await caller.hears_after(ended, 20)
            (under_way,) = await daemon.sessions()
            asked = {
                "AGENTD_STORE": str(elsewhere),
                "AGENTD_ADMIN_ADDR": daemon.admin_url,
                "AGENTD_ADMIN_TOKEN": "correct",
            }
            remote = await once_answered(asked, under_way["id"])
            await caller.leave()
        place = f"{daemon.agents_dir}/a.yaml:10"
    (turn, *_) = remote["turns"]
    assert (turn["ended"]["rule"], turn["ended"]["value"]) == ("silence", "turn.endpointing.min_delay=0.6")
    assert turn["ended"]["place"] == place
    assert turn["reply"]["text"] == "Yes, we do."
    assert [early["outcome"] for early in turn["early"]][-1] == "used"
    _adds_up(turn["reply"]["latencies"])
    local = await explain({"AGENTD_STORE": str(state)}, under_way["id"])
    assert place in local.replace("\n           ", "")
    assert '"Yes, we do."' in local


def _adds_up(latencies: Mapping[str, Any]) -> None:
    stages = {name: seconds for name, seconds in latencies.items() if name != "e2e"}
    assert sum(stages.values()) == pytest.approx(latencies["e2e"], abs=1e-6)
    assert latencies["e2e"] > 0.6
