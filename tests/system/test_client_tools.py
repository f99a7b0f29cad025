"""A tool of the caller's front end, and the caller's consent, on a real LiveKit server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from livekit import rtc

from agentd.loadtest.caller import Caller
from agentd.runtime.audit_chain import verify
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.system.caller import ended_journal, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

GUIDE = """\
version: 1
name: guide
stt: {provider: whisper}
tts: {provider: hibari}
llm:
  provider: scripted
  dialogue:
    start: ask
    states:
      ask:
        say: "Where to?"
        expect:
          - {match: ["* map *"], goto: show}
      show:
        tool:
          name: show_map
          arguments: {place: Hill Street}
          say: "{result}"
          goto: ask
          error_say: "It failed. {result}"
          error_goto: ask
tools:
  - type: client
    name: show_map
    description: Shows a place on the caller's screen.
    parameters: {type: object, properties: {place: {type: string}}, required: [place]}
    confirm: {by: spoken, read_back: "Shall I open a map of {{ place }}?"}
    timeout: 5s
"""


async def test_the_front_end_shows_a_map_once_its_caller_has_agreed_to_it(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    asked: list[tuple[str, str]] = []

    async def show_map(call: rtc.RpcInvocationData) -> str:
        asked.append((call.caller_identity, call.payload))
        return "The map is on the screen."

    async with (
        running_daemon(server, {"guide.yaml": GUIDE}, environment={"AGENTD_STORE": str(tmp_path)}, workers=1),
        Caller.join(server, agent="guide", identity="anna") as anna,
    ):
        assert anna.rtc is not None
        anna.rtc.local_participant.register_rpc_method("show_map", show_map)
        await anna.agent_state("listening", 30)
        agent = (await anna.agent()).identity

        def said() -> list[str]:
            return [c.text.strip() for c in anna.captions if c.ended and c.final and c.sender == agent]

        await anna.chat("Show me a map please.")
        await anna.until(lambda: "Shall I open a map of Hill Street?" in said(), 30)
        await anna.agent_state("listening", 20)
        assert asked == []
        await anna.chat("Yes, please.")
        await anna.until(lambda: bool(asked), 20)
        await asyncio.sleep(3)
        await anna.leave()
        records = await ended_journal(tmp_path, anna.room)
    assert asked == [(agent, '{"place":"Hill Street"}')]
    done = [dict(r.data) for r in records if r.kind == "tool.completed"]
    assert [(d["outcome"], d["id"]) for d in done][-1] == ("ok", "consent-1-1")
    assert done[-1]["content"] == "The map is on the screen."
    found = verify([("audit.jsonl", (tmp_path / "audit.jsonl").read_bytes())])
    assert found.broken == []
    of_the_call = [record for record in found.records if record["kind"].startswith(("tool.", "consent."))]
    kinds = [(record["kind"], record.get("caller")) for record in of_the_call]
    assert ("consent.granted", "anna") in kinds
    assert kinds[-1][0] == "tool.completed"
    assert {record["agent"] for record in of_the_call} == {"guide"}


async def test_a_front_end_calls_what_the_file_offers_and_nothing_else(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    screen = (Path(__file__).parent.parent.parent / "agents.d" / "screen.yaml").read_text()
    async with (
        running_daemon(server, {"screen.yaml": screen}, environment={"AGENTD_STORE": str(tmp_path)}, workers=1),
        Caller.join(server, agent="screen", identity="anna") as anna,
        Caller.join(server, room=anna.room, identity="eve") as eve,
    ):
        await anna.agent_state("listening", 40)
        agent = (await anna.agent()).identity

        async def call(who: Caller, method: str, payload: str) -> str:
            assert who.rtc is not None
            try:
                return await who.rtc.local_participant.perform_rpc(
                    destination_identity=agent, method=method, payload=payload
                )
            except rtc.RpcError as error:
                return error.message

        assert await call(anna, "choose_seat", '{"seat": "12A"}') == "ok"
        assert "does not fit" in await call(anna, "choose_seat", '{"seat": "first class"}')
        assert await call(eve, "choose_seat", '{"seat": "1A"}') == "choose_seat is not for you"
        assert "not supported" in await call(anna, "end_call", "{}")
        await anna.until(lambda: any("Seat 12A, gladly." in c.text for c in anna.captions), 20)
        await anna.leave()
        records = await ended_journal(tmp_path, anna.room)
    assert [r.data["values"] for r in records if r.kind == "variables"] == [{"seat": "12A"}]


async def test_after_a_handoff_front_ends_reach_the_methods_of_the_agent_that_has_the_call(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    files = {
        "desk.yaml": zero_cost_agent("desk", extra="rpc: [{method: choose}]"),
        "billing.yaml": zero_cost_agent("billing", extra="rpc: [{method: pay}]"),
    }
    async with (
        running_daemon(server, files, environment={"AGENTD_STORE": str(tmp_path)}, workers=1) as daemon,
        Caller.join(server, agent="desk") as caller,
    ):
        await caller.agent_state("listening", 30)
        agent = (await caller.agent()).identity

        async def call(method: str) -> str:
            assert caller.rtc is not None
            return await caller.rtc.local_participant.perform_rpc(
                destination_identity=agent, method=method, payload="{}", response_timeout=10
            )

        async def is_handed_over() -> bool:
            return (await daemon.sessions())[0]["acting"] == "billing"

        assert await call("choose") == "ok"
        (session,) = await daemon.sessions()
        await daemon.post(f"/v1/sessions/{session['id']}/handoff", {"agent": "billing", "enter": "wait"})
        await daemon.until(is_handed_over)
        assert await call("pay") == "ok"
        with pytest.raises(rtc.RpcError) as refused:
            await call("choose")
        await caller.leave()
    assert refused.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
