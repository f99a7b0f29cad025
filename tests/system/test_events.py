"""A real call that a webhook server is asked about before, and told of: it goes to another agent, or is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentd.loadtest.caller import Caller, Server
from agentd.tools import signing
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.fakes.webhook_server import Behaviour, Received, WebhookServer, respond, webhook_server
from tests.system.caller import ended_journal, server_of, spoken
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SECRET = "whsec_" + "E" * 32
GREETING = "Good day, Zoë."
TAKEN = {"agent": "gold", "variables": {"name": "Zoë"}, "instructions_append": "She has been here before."}


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


def files(hooks: WebhookServer) -> dict[str, str]:
    secret = f"secret: '{SECRET}'"
    asks = f"on_request: {{url: '{hooks.url}/calls', {secret}, on_error: refuse}}\n"
    tells = f"events: [{{url: '{hooks.url}/events', {secret}, transcript: true}}]\n"
    greets = tells + 'greeting: {say: "Good day, {{ name }}."}\nvariables: {name: nobody}\n'
    return {
        "desk.yaml": zero_cost_agent("desk", extra=asks),
        "gold.yaml": zero_cost_agent("gold", ["You said: {text}."], character="5ms", extra=greets),
    }


def asked_first(answer: Any, seconds: float) -> Behaviour:
    """Thinks so long about a call, and takes events at once."""

    async def behaviour(received: Received, request: web.Request) -> web.StreamResponse:
        if not received.path.endswith("/calls"):
            return await respond()(received, request)
        await asyncio.sleep(seconds)
        return await respond(answer)(received, request)

    return behaviour


def said(caller: Caller) -> str:
    return " ".join(caption.text.strip() for caption in caller.agent_captions())


def of(hooks: WebhookServer, path: str) -> list[Received]:
    return [received for received in hooks.received if received.path.endswith(path)]


async def test_the_question_directs_a_call_that_is_told_from_its_start_to_its_end_and_refuses_the_next(
    server: Server, tmp_path: Path
) -> None:
    async with webhook_server() as hooks:
        hooks.default = asked_first(TAKEN, 1.7)  # LiveKit waits that long
        environment = {"AGENTD_STORE": str(tmp_path)}
        async with running_daemon(server, files(hooks), workers=1, environment=environment) as daemon:
            async with Caller.join(server, agent="desk") as caller:
                await spoken(caller, 0)
                await caller.until(lambda: said(caller) == GREETING, 10)  # captions come by another way than states
                answer = await asked(caller, "when do you open")
                (session,) = await daemon.sessions()
                await caller.leave()
            records = await ended_journal(tmp_path, caller.room)
            async with asyncio.timeout(15):
                while not any(event.json["type"] == "session.ended" for event in of(hooks, "/events")):
                    await asyncio.sleep(0.05)
            hooks.default = asked_first({"accept": False}, 0)
            async with Caller.join(server, agent="desk"):
                async with asyncio.timeout(15):
                    while len(of(hooks, "/calls")) < 2:
                        await asyncio.sleep(0.05)
                await asyncio.sleep(1)  # in which nobody may join
                refused = await daemon.sessions()
            figures = await daemon.metrics()
    assert (answer, session["agent"]) == ("You said: when do you open.", "gold")
    assert refused == []
    (requested,) = [record.data for record in records if record.kind == "session.requested"]
    assert (requested["outcome"], requested["instructions_append"]) == ("accepted", TAKEN["instructions_append"])
    for received in hooks.received:
        at = int(received.headers["webhook-timestamp"])
        signing.verify(signing.keys(SECRET), received.headers, received.body, at)
    events = {
        event.json["data"]["seq"]: event.json for event in of(hooks, "/events") if "session" in event.json["data"]
    }
    kinds = [events[seq]["type"] for seq in sorted(events)]
    assert sorted(events) == list(range(1, len(events) + 1))
    assert kinds[:3] == ["session.started", "participant.linked", "turn.agent"]
    assert {"turn.user", "participant.left"} < {*kinds}
    assert kinds[-2:] == ["session.usage", "session.ended"]
    ended = events[len(events)]["data"]
    assert (ended["reason"], ended["session"]["id"], ended["variables"]["name"]) == (
        *("caller_left", session["id"], "Zoë"),
    )
    assert [turn["text"] for turn in ended["transcript"]] == [GREETING, "when do you open", answer]
    assert 'agentd_session_requests_total{agent="desk",outcome="accepted"} 1.0' in figures
    assert 'agentd_session_requests_total{agent="desk",outcome="refused"} 1.0' in figures
    assert 'agentd_event_deliveries_total{agent="gold",outcome="delivered"}' in figures
