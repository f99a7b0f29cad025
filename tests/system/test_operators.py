"""An operator calls an agent into a room, and mutes its ears and its voice, on a real LiveKit server."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from agentd.loadtest.caller import Caller
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

AGENT = zero_cost_agent(
    "desk",
    ["You said: {text}."],
    character="10ms",
    extra='greeting: {say: "Good day, {{ name }}."}\nvariables: {name: nobody}',
)


async def test_an_agent_is_called_into_a_room_and_muted(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    server, room = server_of(credentials), f"room-{uuid.uuid4().hex[:8]}"
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, {"desk.yaml": AGENT}, workers=1, environment=environment) as daemon:
        asks = {"agent": "desk", "room": room, "variables": {"name": "Zoë"}}
        status, dispatched = await daemon.post("/v1/dispatches", asks)
        assert (status, dispatched["room"]) == (201, room)
        async with Caller.join(server, room=room) as caller:
            await spoken(caller, 0)
            (session,) = await daemon.sessions()

            async def act(verb: str, what: str) -> None:
                """Returns once it holds."""
                before = await muted()
                status, _ = await daemon.post(f"/v1/sessions/{session['id']}/{verb}", {"what": what})
                assert status == 202

                async def held() -> bool:
                    return await muted() > before

                await daemon.until(held)

            async def muted() -> int:
                async with daemon.http.get(daemon.admin_url + "/v1/events?type=call_muted&follow=false") as told:
                    return (await told.text()).count("event: call_muted")

            await act("mute", "ears")
            await speak(caller, utterance("When do you open?"))
            assert await asked(caller, "hello") == "You said: hello."  # what is typed is taken
            await act("unmute", "ears")
            await caller.agent_state("listening", 15)
            _, ended_at = await speak(caller, utterance("When do you open?"))
            await spoken(caller, ended_at)

            await act("mute", "voice")
            muted_at = time.monotonic()
            shown = len(caller.agent_captions())
            await caller.chat("are you there")

            async def taken() -> bool:
                (now,) = await daemon.sessions()
                return int(now["turns"]) > int(session["turns"]) + 2

            await daemon.until(taken)
            silent = caller.heard.audible_s(muted_at)
            unmuted_at = time.monotonic()
            await act("unmute", "voice")
            await caller.hears_after(unmuted_at, 15)
            await caller.until(lambda: len(caller.agent_captions()) > shown, 15)
            answers = [caption.text.strip() for caption in caller.agent_captions()]
            await caller.leave()
        records = await ended_journal(tmp_path, room)
    assert answers[0] == "Good day, Zoë."
    assert answers[-1] == "You said: are you there."
    turns = [record.data["text"] for record in records if record.kind == "turn.user"]
    assert (turns[0], turns[-1], len(turns)) == ("hello", "are you there", 3), "what was said to muted ears was heard"
    assert silent < 0.05
    assert [(r.data["what"], r.data["muted"]) for r in records if r.kind == "mute"] == [
        *(("ears", True), ("ears", False), ("voice", True), ("voice", False)),
    ]
