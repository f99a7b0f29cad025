"""`agentd call`: an agent rings a telephone, in real rooms of a real LiveKit server; its SIP service is ours."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.session.room import Number
from agentd.transport.outbound import NotConnected, OutboundCall, call_out
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.fakes.sip_service import BUSY, SipService, sip_service
from tests.system.caller import server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

DESK = zero_cost_agent("desk", extra='greeting: {say: "Good day, {{ name }}."}\nvariables: {name: nobody}')


async def called(sip: SipService, server: Server, *arguments: str) -> asyncio.subprocess.Process:
    keys = {"LIVEKIT_API_KEY": server.api_key, "LIVEKIT_API_SECRET": server.api_secret}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentd", "call", *arguments, "--trunk", "ST_1", "--output", "json"),
        env={**os.environ, "LIVEKIT_URL": sip.url, **keys},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def outcome(calling: asyncio.subprocess.Process) -> tuple[int | None, dict[str, str]]:
    out, err = await asyncio.wait_for(calling.communicate(), 40)
    assert out, err.decode()
    return calling.returncode, json.loads(out)


async def test_the_agent_is_there_first_and_speaks_when_somebody_has_answered(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with sip_service(server) as sip, running_daemon(server, {"desk.yaml": DESK}, workers=1) as daemon:
        sip.picked_up.clear()
        calling = await called(sip, server, "+441", "--agent", "desk", "--var", "name=Zoë", "--from", "+440", "--wait")
        async with asyncio.timeout(30):
            while "+441" not in sip.rung:
                await asyncio.sleep(0.05)
        phone = sip.rung["+441"]
        await phone.agent(1)  # came before it rang
        await asyncio.sleep(1)
        assert (await daemon.sessions())[0]["caller"] in (None, "")
        assert phone.agent_captions() == []
        sip.picked_up.set()
        await phone.until(lambda: phone.agent_captions(), 20)
        assert phone.agent_captions()[0].text.strip() == "Good day, Zoë."
        assert calling.returncode is None, "it waits until they hang up"
        await phone.leave()
        code, told = await outcome(calling)
    assert (code, told["outcome"], told["to"]) == (0, "answered", "+441")
    (asked,) = sip.asked
    assert (asked.sip_trunk_id, asked.sip_number, asked.wait_until_answered) == ("ST_1", "+440", True)


async def test_a_telephone_that_is_not_answered_is_told_and_the_agent_leaves(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with sip_service(server) as sip, running_daemon(server, {"desk.yaml": DESK}, workers=1) as daemon:
        sip.refused |= {"+441": BUSY, "+442": ("487", "Request Terminated"), "+443": ("603", "Decline")}
        numbers = {"+441": (5, "busy"), "+442": (6, "no_answer"), "+443": (7, "rejected")}
        for number, (code, word) in numbers.items():
            ended, told = await outcome(await called(sip, server, number, "--agent", "desk"))
            assert (ended, told["outcome"]) == (code, word)
            assert told["detail"].startswith(sip.refused[number][0])
            room = Caller(server, told["room"], "", kind="", attributes={}, microphone=False, ear_frame_ms=10)
            assert not await room.room_exists()

        async def alone() -> bool:
            return not await daemon.sessions()

        await daemon.until(alone)


async def test_nobody_is_rung_for_an_agent_that_does_not_come(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with sip_service(server) as sip:
        near = LiveKitCredentials(url=sip.url, api_key=server.api_key, api_secret=server.api_secret)
        number = Number(to="+441", trunk="ST_1", ringing_s=5)
        wanted = OutboundCall(agent="nobody", room="call-nobody", number=number)
        with pytest.raises(NotConnected, match="no agent 'nobody' has come") as failed:
            await call_out(near, wanted, agent_timeout_s=1)
    assert failed.value.refusal.outcome == "unavailable"
    assert sip.asked == []
