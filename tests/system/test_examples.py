"""Whole workflows from the files in examples/, as calls by voice on a real LiveKit server with the examples' own
webhook servers in each of their languages: what was said, what those were asked, once each, and what stands in the
journal and the audit log.

The clinic and the shop are called at the same time, on one daemon: the calls last minutes, and more than one at a time
is what a daemon has.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.session.explanation import explain
from agentd.session.records import Record
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import free_port, running_daemon
from tests.fakes.sip_service import SipService, sip_service
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken
from tests.system.example_servers import CLINIC, LANGUAGES, SECRET, SHOP, Asked, command, overheard

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PATIENT = "+442079461584"
TO_THE_CLINIC = [
    "I would like to book an appointment.",
    "My name is Peter Brown.",
    "It is zero two zero, seven nine four six, one five eight four.",
    "On the fifth of March.",
    "Yes, please.",
    "I have a question about my bill.",
    "It is number forty two.",
]
BANK_S = 8  # how long a refund takes: longer than the agent says that it asks for one


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


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


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_clinic_and_a_shop_are_called_at_once_and_serve_their_callers_to_the_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    for example in (CLINIC, SHOP):
        monkeypatch.setenv(example.secret, SECRET)
    ports = [free_port() for _ in range(5)]
    clinic, shop = command(CLINIC, language), command(SHOP, language)
    agents = {**CLINIC.agents(ports[0]), **SHOP.agents(ports[2])}
    environment = {"AGENTD_STORE": str(tmp_path), "AGENTD_HTTP_PUBLIC_URL": f"http://127.0.0.1:{ports[4]}"}
    async with (
        sip_service(server) as sip,
        overheard(clinic, ports[0], ports[1]) as clinic_asked,
        overheard(shop, ports[2], ports[3], BANK_S=str(BANK_S)) as shop_asked,
        running_daemon(
            Server(sip.url, server.api_key, server.api_secret), agents, environment=environment, admin_port=ports[4]
        ),
        asyncio.TaskGroup() as calls,
    ):
        calls.create_task(
            a_patient_books_asks_about_a_bill_and_wants_a_nurse(server, sip, clinic_asked, tmp_path)
            if language == "python"
            else a_patient_books_and_asks_about_a_bill(server, clinic_asked, tmp_path)
        )
        calls.create_task(a_customer_cancels_and_waits_for_the_refund(server, shop_asked, tmp_path))
    audited(tmp_path)


def as_the_patient(server: Server) -> AbstractAsyncContextManager[Caller]:
    metadata = json.dumps({"from": PATIENT})
    return Caller.join(
        server, agent="desk", agent_metadata=metadata, kind="sip", attributes={"sip.phoneNumber": PATIENT}
    )


async def a_patient_books_and_asks_about_a_bill(server: Server, asked: Asked, store: Path) -> None:
    """All that the clinic's server is asked for; what follows is between caller and agents alone."""
    async with as_the_patient(server) as caller:
        await spoken(caller, 0)
        await talk(caller, TO_THE_CLINIC)
    records = await ended_journal(store, caller.room)
    ended = await told_of_the_end(asked)
    check_the_booking_and_the_bill(caller, asked, records, ended)
    assert ended["reason"] == "caller_left"


async def a_patient_books_asks_about_a_bill_and_wants_a_nurse(
    server: Server, sip: SipService, asked: Asked, store: Path
) -> None:
    async with as_the_patient(server) as caller:
        await spoken(caller, 0)
        await talk(caller, [*TO_THE_CLINIC, "No, thank you.", "When is my appointment?"])
        await speak(caller, utterance("Can I talk to a nurse, please?"))
        await caller.until(lambda: any(each.what == "disconnected" for each in caller.happened), 30)
        records = await ended_journal(store, caller.room)
        ended = await told_of_the_end(asked)
    check_the_booking_and_the_bill(caller, asked, records, ended)
    assert said_by_agent(caller).count("I have noted this") == 1
    assert [(each.agent, each.to) for each in explain("s", records).handoffs] == [
        ("desk", "billing"),
        ("billing", "desk"),
    ]
    assert sip.referred == [(caller.identity, "tel:+442079460999")]
    assert [each["state"] for each in data_of(records, "transfer")] == ["started", "completed"]
    assert ended["reason"] in ("transferred", "caller_left")
    passed = [body["data"] for path, body in asked if path == "/events" and body["type"] == "handoff"]
    assert [each["to"] for each in sorted(passed, key=lambda each: each["seq"])] == ["billing", "desk"]
    granted = [each for each in audited(store) if each["kind"] == "consent.granted"]
    assert [(each["tool"], each["caller"]) for each in granted] == [("book_appointment", caller.identity)]


def check_the_booking_and_the_bill(caller: Caller, asked: Asked, records: list[Record], ended: dict[str, Any]) -> None:
    said = said_by_agent(caller)
    (task,) = data_of(records, "task.ended")
    day = task["values"]["day"]
    assert day.endswith("-03-05")
    booking = {"name": "Peter Brown", "phone": "+442079461584", "day": day}
    assert tool_calls(asked) == [("book_appointment", booking), ("find_bill", {"bill": 42})]
    assert [path for path, _ in asked].count("/calls") == 1
    assert "good day, Peter." in said
    for words in ("Shall I book", "You are booked", "Bill 42 is paid."):
        assert said.count(words) == 1, said
    assert [each["outcome"] for each in data_of(records, "consent")] == ["asked", "heard", "granted", "used"]
    assert ended["variables"]["booked"] == f"Peter Brown, {day}"


async def a_customer_cancels_and_waits_for_the_refund(server: Server, asked: Asked, store: Path) -> None:
    lines = ["It is order number seventeen.", "Yes, please.", "I would like a refund."]
    async with Caller.join(server, agent="shop", agent_metadata=json.dumps({"from": "+15550100"})) as caller:
        await spoken(caller, 0)
        await talk(caller, lines)
        await caller.until(lambda: "The refund of order 17 is on its way." in said_by_agent(caller), 30)
        await caller.agent_state("listening", 20)
        await speak(caller, utterance("No, thank you."))
        await caller.until(lambda: any(each.what == "disconnected" for each in caller.happened), 30)
        records = await ended_journal(store, caller.room)
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
    log = audited(store)
    assert [each["tool"] for each in log if each["kind"] == "tool.completed" and each["tool"] in names] == list(names)
