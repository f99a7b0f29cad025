"""Hooks in real calls: Python functions in their processes speak when the caller joins, and change a turn."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from livekit import rtc

from agentd.loadtest.caller import Caller, Server
from agentd.providers.llm import Message
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.documents import ROOT
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

HOOKS = """
hooks:
  - {on: participant_linked, do: {python: "tools.visitors:on_join"}}
  - {on: before_reply, do: {python: "tools.visitors:before_reply"}}
  - {on: close, do: {python: "tools.visitors:on_close"}}
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def test_a_function_greets_who_joins_another_changes_a_turn_and_a_third_runs_at_the_end(
    server: Server, tmp_path: Path
) -> None:
    agents = tmp_path / "agents.d"
    (agents / "tools").mkdir(parents=True)
    text = zero_cost_agent("visitors", ["You said: {text}."], character="5ms", extra=HOOKS)
    (agents / "visitors.yaml").write_text(text)
    (agents / "tools" / "visitors.py").write_text((ROOT / "agents.d" / "tools" / "visitors.py").read_text())
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with running_daemon(server, agents, workers=1, environment=environment) as daemon:
        async with Caller.join(server, agent="visitors") as caller:
            await spoken(caller, 0)
            greeted = " ".join(caption.text.strip() for caption in caller.agent_captions())
            _, ended_at = await speak(caller, utterance("When do you open?"))
            await spoken(caller, ended_at)
            answer = await asked(caller, "my card is 4111 1111 1111 1111")
            await caller.agent_state("listening", 15)
            (session,) = await daemon.sessions()
            history = await daemon.get(f"/v1/sessions/{session['id']}/history")
            edited = await daemon.post(f"/v1/sessions/{session['id']}/history", {"keep": 1})
            await caller.leave()
        records = await ended_journal(tmp_path / "state", caller.room)
        log = daemon.log.read_text()
    assert greeted.endswith("Whom do you want to see?")
    assert answer == "You said: my card is [a card number]."
    assert [item["text"] for item in history["items"]] == [None] * 5  # there is no admin token
    assert edited == (202, {"session": session["id"], "edit": "keep"})
    assert restore(records).items == (Message(role="assistant", text="You said: my card is [a card number]."),)
    done = [(r.data["event"], r.data["outcome"]) for r in records if r.kind == "hook.completed"]
    assert done[:2] == [("participant_linked", "ok"), ("before_reply", "ok")]
    assert "said 0 things and left: caller_left" in log


BAD = """\
import os

def hang() -> None:
    while True:
        pass

def crash() -> None:
    os._exit(3)
"""
MORE_HOOKS = """\
  - {on: agent_state_changed, if: {new_state: speaking}, timeout: 1s, do: {python: "tools.bad:hang"}}
  - {on: participant_linked, do: {python: "tools.bad:crash"}}
"""


async def test_hooks_that_hang_or_crash_harm_nothing_and_all_go_on_when_a_worker_is_killed(
    server: Server, tmp_path: Path
) -> None:
    files = {
        "visitors.yaml": zero_cost_agent("visitors", ["You said: {text}."], character="5ms", extra=HOOKS + MORE_HOOKS),
        "tools/__init__.py": "",
        "tools/visitors.py": (ROOT / "agents.d" / "tools" / "visitors.py").read_text(),
        "tools/bad.py": BAD,
    }
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, files, workers=2, environment=environment) as daemon:
        async with Caller.join(server, agent="visitors") as caller:
            await spoken(caller, 0)
            before = await asked(caller, "my card is 4111 1111 1111 1111")
            (session,) = await daemon.sessions()
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            await caller.agent_state("listening", 15)
            killed = time.monotonic()
            os.kill(int(worker["pid"]), signal.SIGKILL)
            await spoken(caller, killed)  # that there was a fault
            after = await asked(caller, "my card is 4111 1111 1111 1112")
            await caller.agent_state("listening", 15)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert before == after == "You said: my card is [a card number]."
    ran = [(r.data["hook"], r.data["event"], r.data["outcome"]) for r in records if r.kind == "hook.completed"]
    assert ran.count((0, "participant_linked", "ok")) == 1
    assert ran.count((4, "participant_linked", "crashed")) == 1
    assert ran.count((1, "before_reply", "ok")) == 2
    assert (3, "agent_state_changed", "timeout") in ran
    errors = [record.data for record in records if record.kind == "error"]
    assert all(re.match(r"hook .*visitors\.yaml:\d+$", error["where"]) for error in errors)
    assert any("it ended with exit code 3" in error["message"] for error in errors)


JOB_HOOKS = """
hooks:
  - {on: participant_linked, timeout: 30s, do: {python: "tools.support:on_join"}}
  - {on: participant_linked, do: {python: "tools.marks:mark"}}
  - {on: participant_updated, if: {attributes.tier: gold}, do: {python: "tools.support:on_gold"}}
"""
MARKS = """\
from agentd.tools import Event, JobContext

async def mark(ctx: JobContext, event: Event) -> None:
    await ctx.room.set_metadata((await ctx.room.look()).sid)
    await ctx.room.set_attributes({"vip": "yes"}, identity=event.data["identity"])
"""


async def test_a_hook_has_the_job_and_the_room_and_what_it_wants_at_the_end_is_done_after_a_fault_too(
    server: Server, tmp_path: Path
) -> None:
    """The dispatch's metadata are seen, attributes reach the caller, their program is asked, and the shutdown callback
    runs once, in another process than the one that added it."""
    files = {
        "support.yaml": zero_cost_agent("support", ["Thank you."], character="5ms", extra=JOB_HOOKS),
        "tools/__init__.py": "",
        "tools/support.py": (ROOT / "agents.d" / "tools" / "support.py").read_text(),
        "tools/marks.py": MARKS,
    }
    environment = {"AGENTD_STORE": str(tmp_path)}
    packets: list[tuple[str | None, bytes]] = []
    async with running_daemon(server, files, workers=2, environment=environment) as daemon:
        async with Caller.join(server) as caller:
            assert caller.rtc is not None
            caller.rtc.on("data_received", lambda packet: packets.append((packet.topic, packet.data)))
            caller.rtc.local_participant.register_rpc_method("current_page", _current_page)
            await caller.dispatch("support", '{"ticket": "4711"}')
            agent = await caller.agent(20)
            await caller.until(lambda: agent.attributes.get("stage") == "talking", 20)
            assert agent.attributes["ticket"] == "4711"
            await caller.until(lambda: caller.rtc and caller.rtc.local_participant.attributes.get("vip") == "yes", 10)
            await caller.until(lambda: agent.metadata.startswith("RM_"), 10)
            (session,) = await daemon.sessions()
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            await caller.agent_state("listening", 15)
            killed = time.monotonic()
            os.kill(int(worker["pid"]), signal.SIGKILL)
            await spoken(caller, killed)  # that there was a fault
            await caller.until(lambda: _shown(caller, "ticket") == "4711" and _shown(caller, "stage") == "talking", 15)
            await caller.rtc.local_participant.set_attributes({"tier": "gold"})
            await caller.until(lambda: ("badge", b"gold") in packets, 15)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
        async with asyncio.timeout(20):
            while "ticket 4711 of" not in daemon.log.read_text():
                await asyncio.sleep(0.05)
        log = daemon.log.read_text()
    assert f"ticket 4711 of {caller.room}: caller_left" in log
    assert log.count("ticket 4711 of") == 1
    told = [each.data for each in records if each.kind == "agent.adjusted"]
    assert [each["text"] for each in told] == ["The caller is looking at the page /invoices."]
    updated = [each.data for each in records if each.kind == "caller.changed"]
    assert {"tier": "gold"} in [each["attributes"] for each in updated]
    errors = [each.data for each in records if each.kind == "error" and each.data["where"].startswith("hook")]
    assert errors == []


async def _current_page(call: rtc.RpcInvocationData) -> str:
    return "/invoices"


def _shown(caller: Caller, name: str) -> str | None:
    """An attribute of the agent that is there now."""
    agents = caller._agents()
    return agents[0].attributes.get(name) if agents else None
