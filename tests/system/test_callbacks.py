"""A webhook that answers later, on a real server: its result comes to the worker that took the call over."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from agentd.loadtest.caller import Caller, Server
from agentd.session.explanation import explain
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon
from tests.fakes.webhook_server import Behaviour, Received, webhook_server
from tests.system.caller import ended_journal, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

AGENT = """\
version: 1
name: kitchen
stt: {provider: scripted}
tts: {provider: scripted, character: 10ms}
llm:
  provider: scripted
  dialogue:
    start: ask
    states:
      ask:
        say: "What shall it be?"
        expect: [{match: ["dinner"], goto: order}]
      order:
        tool:
          name: ask_the_kitchen
          results:
            - {match: ["this call goes on *"], say: "The kitchen will tell us.", goto: ask}
          say: "{result}"
          goto: ask
tools:
  - type: webhook
    name: ask_the_kitchen
    description: Asks the kitchen.
    url: URL
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


def later(callbacks: list[dict[str, Any]]) -> Behaviour:
    async def behaviour(received: Received, _: web.Request) -> web.StreamResponse:
        callbacks.append({**received.json["data"]["callback"], "key": received.headers["webhook-id"]})
        return web.json_response({"agentd": {"pending": {"timeout": "1m"}}}, status=202)

    return behaviour


async def bring(daemon: Daemon, callback: dict[str, Any], token: str = "") -> int:
    """To the daemon itself, which stands behind the public address."""
    headers = {"Authorization": f"Bearer {token or callback['token']}"}
    url = daemon.admin_url + URL(callback["url"]).path
    async with daemon.http.post(url, json={"text": "the soup is ready"}, headers=headers) as answer:
        return answer.status


async def test_a_result_that_is_brought_after_the_death_of_its_worker_is_spoken_by_the_next(
    server: Server, tmp_path: Path
) -> None:
    callbacks: list[dict[str, Any]] = []
    environment = {"AGENTD_STORE": str(tmp_path), "AGENTD_HTTP_PUBLIC_URL": "http://localhost:9"}
    async with webhook_server() as hooks:
        hooks.default = later(callbacks)
        agents = {"kitchen.yaml": AGENT.replace("URL", hooks.url)}
        async with running_daemon(server, agents, workers=2, environment=environment) as daemon:
            async with Caller.join(server, agent="kitchen", microphone=False) as caller:
                await caller.agent_state("listening", 20)
                await caller.chat("dinner")
                await caller.until(lambda: any("kitchen will" in each.text for each in caller.agent_captions()), 20)
                (session,) = await daemon.sessions()
                worker = next(each for each in await daemon.workers() if each["id"] == session["worker"])
                os.kill(worker["pid"], signal.SIGKILL)
                statuses = []
                async with asyncio.timeout(30):
                    while not statuses or statuses[-1] == 503:
                        statuses.append(await bring(daemon, callbacks[0]))
                        await asyncio.sleep(0.2)
                again = [await bring(daemon, callbacks[0]), await bring(daemon, callbacks[0], token="wrong")]
                await caller.until(lambda: any("soup is ready" in each.text for each in caller.agent_captions()), 20)
                await caller.leave()
            records = await ended_journal(tmp_path, caller.room)
            gone = await bring(daemon, callbacks[0])
    assert statuses[-1] == 204
    assert again == [409, 401]
    assert gone == 410
    assert len(hooks.received) == 1
    (tool,) = [tool for turn in explain("s", records).turns if turn.reply for tool in turn.reply.tools]
    assert (tool.key, tool.outcome, tool.detached.rule) == (callbacks[0]["key"], "ok", "pending")  # type: ignore[union-attr]
