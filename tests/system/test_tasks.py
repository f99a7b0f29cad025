"""Tasks in real calls: name, number and day by voice without a key, digits by the keys of a telephone."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path

import pytest
from livekit import rtc

from agentd.loadtest.caller import Caller, Server
from agentd.providers.llm import ToolResult
from agentd.session.restore import restore
from agentd.transport.dtmf import KEYS
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.documents import ROOT
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def test_a_name_a_number_and_a_day_are_collected_by_voice(server: Server, tmp_path: Path) -> None:
    lines = [
        "Yes, please.",
        "My name is Peter Brown.",
        "It is zero two zero, seven nine four six, one five eight three.",
        "No, that's wrong.",
        "It is zero two zero, seven nine four six, one five eight four.",
        "Yes, that is right.",
        "On the fifth of March.",
    ]
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with running_daemon(server, ROOT / "agents.d", workers=1, environment=environment):
        async with Caller.join(server, agent="callback") as caller:
            await spoken(caller, 0)
            for line in lines:
                await asyncio.sleep(0.6)
                _, ended_at = await speak(caller, utterance(line))
                await spoken(caller, ended_at)
            said = " ".join(caption.text for caption in caller.agent_captions())
        records = await ended_journal(tmp_path / "state", caller.room)
    (over,) = [record.data for record in records if record.kind == "task.ended"]
    assert over["outcome"] == "complete"
    assert over["values"]["phone"] == "+442079461584"
    assert "Peter" in over["values"]["caller"]
    day = date.fromisoformat(over["values"]["day"])
    assert (day.day, day.month) == (5, 3)
    assert [record.data["rule"] for record in records if record.kind == "task.step"].count("denied") == 1
    assert "We will call you on" in said


MENU = """
tasks:
  - name: order
    at_start: true
    understanding: rules
    fields:
      - {name: pin, type: digits, length: 4, ask: "Your code?"}
      - {name: order, type: digits, ask: "Your order, then hash?"}
    done: {say: "Order {{ order }}."}
hooks:
  - {on: task_ended, do: {dtmf: "1,20#"}}
"""


async def test_keys_of_the_caller_answer_and_the_agent_presses_some_itself(server: Server, tmp_path: Path) -> None:
    agents = {"menu.yaml": zero_cost_agent("menu", character="5ms", extra=MENU)}
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with running_daemon(server, agents, workers=1, environment=environment):
        async with (
            Caller.join(server, agent="menu") as caller,
            Caller.join(server, room=caller.room, microphone=False) as other,
        ):
            heard: list[str] = []
            assert caller.rtc is not None
            assert other.rtc is not None
            caller.rtc.on("sip_dtmf_received", lambda pressed: heard.append(pressed.digit))
            await spoken(caller, 0)
            await push(other.rtc, "99999")  # nobody whom the agent talks with
            await push(caller.rtc, "4711")
            await caller.until(lambda: any("hash" in caption.text for caption in caller.agent_captions()), 15)
            await push(caller.rtc, "208#")
            await caller.until(lambda: any("208" in caption.text for caption in caller.agent_captions()), 15)
            await caller.until(lambda: len(heard) == 4, 15)
        records = await ended_journal(tmp_path / "state", caller.room)
    assert heard == ["1", "2", "0", "#"]
    assert [record.data["key"] for record in records if record.kind == "dtmf.received"] == list("4711208#")
    (over,) = [record.data for record in records if record.kind == "task.ended"]
    assert over["values"] == {"pin": "4711", "order": "208"}
    results = [item for item in restore(records).items if isinstance(item, ToolResult)]
    assert json.loads(results[-1].content) == {"status": "complete", "values": {"pin": "4711", "order": "208"}}


async def push(room: rtc.Room, keys: str) -> None:
    for key in keys:
        await room.local_participant.publish_dtmf(code=KEYS[key], digit=key)
        await asyncio.sleep(0.1)
