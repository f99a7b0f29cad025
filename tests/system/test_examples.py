"""Whole workflows from the files in examples/, as calls by voice on a real LiveKit server with the examples' own
webhook servers: what was said, what those were asked, once each, and what stands in the journal and the audit log."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentd.session.explanation import explain
from agentd.session.records import Record
from agentd.transport.tokens import LiveKitCredentials
from bench.caller import Caller, Server
from bench.daemon import free_port, running_daemon
from tests.documents import ROOT
from tests.fakes.sip_service import sip_service
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

EXAMPLES = ROOT / "examples"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
Asked = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


@asynccontextmanager
async def example_server(path: Path, port: int) -> AsyncIterator[Asked]:
    """An example's server.py as it stands; what it was sent, by path, in order."""
    asked: Asked = []

    @web.middleware
    async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        if response.status < 300:  # its signature was right
            asked.append((request.path, {**await request.json(), "key": request.headers["webhook-id"]}))
        return response

    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.app.middlewares.append(keep)
    runner = web.AppRunner(module.app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield asked
    finally:
        await runner.cleanup()


def files(folder: str, old_port: int, port: int) -> dict[str, str]:
    """The agents of an example, whose servers are on another port."""
    found = sorted((EXAMPLES / folder).glob("*.yaml"))
    return {path.name: path.read_text().replace(f":{old_port}/", f":{port}/") for path in found}


async def talk(caller: Caller, lines: list[str]) -> None:
    """Says each, once the agent has answered what was said before."""
    for line in lines:
        await asyncio.sleep(0.5)
        _, ended_at = await speak(caller, utterance(line))
        await spoken(caller, ended_at)


def said_by_agent(caller: Caller) -> str:
    return " ".join(caption.text.strip() for caption in caller.agent_captions())


async def told_of_the_end(asked: Asked) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while not (ends := [body for path, body in asked if path == "/events" and body["type"] == "session.ended"]):
            await asyncio.sleep(0.1)
    return dict(ends[0]["data"])


def tool_calls(asked: Asked) -> list[tuple[str, Any]]:
    """Each with its arguments; that each came once under a key of its own is seen here, too."""
    calls = [body for path, body in asked if path == "/tools"]
    assert len({body["key"] for body in calls}) == len(calls)
    return [(body["data"]["tool"], body["data"]["arguments"]) for body in calls]


def data_of(records: list[Record], kind: str) -> list[dict[str, Any]]:
    return [dict(record.data) for record in records if record.kind == kind]


def audited(store: Path) -> list[dict[str, Any]]:
    """What the audit log holds, which `agentd audit verify` finds unbroken."""
    log = store / "audit.jsonl"
    verify = [sys.executable, "-m", "agentd", "audit", "verify", str(log)]
    run = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_a_patient_books_asks_about_a_bill_and_is_put_through_to_a_nurse(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINIC_WHSEC", SECRET)
    port, environment = free_port(), {"AGENTD_STORE": str(tmp_path)}
    metadata = json.dumps({"from": "+442079461584"})
    lines = [
        "I would like to book an appointment.",
        "My name is Peter Brown.",
        "It is zero two zero, seven nine four six, one five eight four.",
        "On the fifth of March.",
        "Yes, please.",
        "I have a question about my bill.",
        "It is number forty two.",
        "No, thank you.",
        "When is my appointment?",
    ]
    async with sip_service(server) as sip, example_server(EXAMPLES / "clinic" / "server.py", port) as asked:
        near = Server(sip.url, server.api_key, server.api_secret)
        agents = files("clinic", 8091, port)
        async with (
            running_daemon(near, agents, workers=1, environment=environment),
            Caller.join(
                server,
                agent="desk",
                agent_metadata=metadata,
                kind="sip",
                attributes={"sip.phoneNumber": "+442079461584"},
            ) as caller,
        ):
            await spoken(caller, 0)
            await talk(caller, lines)
            await speak(caller, utterance("Can I talk to a nurse, please?"))
            await caller.until(lambda: any(each.what == "disconnected" for each in caller.happened), 30)
            records = await ended_journal(tmp_path, caller.room)
            ended = await told_of_the_end(asked)
    said = said_by_agent(caller)
    (task,) = data_of(records, "task.ended")
    day = task["values"]["day"]
    assert day.endswith("-03-05")
    booking = {"name": "Peter Brown", "phone": "+442079461584", "day": day}
    assert tool_calls(asked) == [("book_appointment", booking), ("find_bill", {"bill": 42})]
    assert [path for path, _ in asked].count("/calls") == 1
    assert "good day, Peter." in said
    for words in ("Shall I book", "You are booked", "Bill 42 is paid.", "I have noted this"):
        assert said.count(words) == 1, said
    assert [each["outcome"] for each in data_of(records, "consent")] == ["asked", "heard", "granted", "used"]
    assert [(each.agent, each.to) for each in explain("s", records).handoffs] == [
        ("desk", "billing"),
        ("billing", "desk"),
    ]
    assert sip.referred == [(caller.identity, "tel:+442079460999")]
    assert [each["state"] for each in data_of(records, "transfer")] == ["started", "completed"]
    assert ended["reason"] in ("transferred", "caller_left")
    assert ended["variables"]["booked"] == f"Peter Brown, {day}"
    passed = [body["data"] for path, body in asked if path == "/events" and body["type"] == "handoff"]
    assert [each["to"] for each in sorted(passed, key=lambda each: each["seq"])] == ["billing", "desk"]
    log = audited(tmp_path)
    granted = [each for each in log if each["kind"] == "consent.granted"]
    assert [(each["tool"], each["caller"]) for each in granted] == [("book_appointment", caller.identity)]


async def test_a_customer_cancels_an_order_and_is_told_of_the_refund_when_the_bank_has_answered(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_WHSEC", SECRET)
    monkeypatch.setenv("BANK_S", "12")
    port, admin_port = free_port(), free_port()
    environment = {"AGENTD_STORE": str(tmp_path), "AGENTD_HTTP_PUBLIC_URL": f"http://127.0.0.1:{admin_port}"}
    lines = ["It is order number seventeen.", "Yes, please.", "I would like a refund."]
    path = EXAMPLES / "webhooks" / "python" / "server.py"
    agents = files("webhooks", 8090, port)
    async with (
        example_server(path, port) as asked,
        running_daemon(server, agents, workers=1, environment=environment, admin_port=admin_port),
        Caller.join(server, agent="shop", agent_metadata=json.dumps({"from": "+15550100"})) as caller,
    ):
        await spoken(caller, 0)
        await talk(caller, lines)
        assert "The refund" not in said_by_agent(caller)
        await caller.until(lambda: "The refund of order 17 is on its way." in said_by_agent(caller), 30)
        await caller.agent_state("listening", 20)
        await speak(caller, utterance("No, thank you."))
        await caller.until(lambda: any(each.what == "disconnected" for each in caller.happened), 30)
        records = await ended_journal(tmp_path, caller.room)
        ended = await told_of_the_end(asked)
    said = said_by_agent(caller)
    names = ("find_order", "cancel_order", "refund_order")
    assert tool_calls(asked) == [(name, {"order": 17}) for name in names]
    assert [path for path, _ in asked].count("/calls") == 1
    order = ("good day, Zoë.", "Order 17 is cancelled.", "I am asking our bank", "The refund of order 17", "Goodbye.")
    assert [said.count(words) for words in order] == [1] * len(order), said
    assert sorted(order, key=said.index) == list(order)
    completed = data_of(records, "tool.completed")
    assert [(each["name"], each["outcome"]) for each in completed if each["name"] in names] == [
        (name, "ok") for name in names
    ]
    assert (ended["reason"], ended["variables"]["order_state"]) == ("ended_by_agent", "packed")
    log = audited(tmp_path)
    assert [each["tool"] for each in log if each["kind"] == "tool.completed" and each["tool"] in names] == list(names)
