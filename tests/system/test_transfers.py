"""Callers put through to telephones, in real rooms of a real LiveKit server; its SIP service is ours."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc

from agentd.loadtest.caller import Caller, Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.fakes.sip_service import BUSY, sip_service
from tests.system.caller import ended_journal, server_of, spoken, tone

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

TOOLS = """
greeting: {say: "Hello."}
tools:
  - type: builtin
    name: transfer
    destinations:
      - {name: desk, to: "tel:+441", when: they want a person}
      - {name: closed, to: "tel:+442", when: they want nobody}
      - {name: doctor, to: "+443", when: it hurts, mode: warm, trunk: ST_1, briefing: "{{ summary }}", accept_key: "1"}
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def put_through(daemon: Daemon, destination: str) -> None:
    (session,) = await daemon.sessions()
    body = {"destination": destination, "summary": "Somebody has a sore back and wants to see you today."}
    status, _ = await daemon.post(f"/v1/sessions/{session['id']}/transfer", body)
    assert status == 202


def hears(listener: Caller, speaker: str) -> list[str]:
    """The names of the tracks of this participant that the listener is subscribed to."""
    assert listener.rtc is not None
    person = listener.rtc.remote_participants[speaker]
    return [track.name for track in person.track_publications.values() if track.subscribed]


async def hears_a_tone(listener: Caller, speaker: Caller) -> bool:
    """Whether what the speaker plays arrives. What an SDK says of its subscriptions does not tell: the server stops
    the sound of a track without the client's knowing."""
    assert listener.rtc is not None
    person = listener.rtc.remote_participants[speaker.identity]
    tracks = [each.track for each in person.track_publications.values() if isinstance(each.track, rtc.RemoteAudioTrack)]
    streams = [rtc.AudioStream(track, sample_rate=16_000, num_channels=1) for track in tracks]
    playing = asyncio.create_task(speaker.say(tone(440, 1.0)))
    loudest = 0.0
    for stream in streams:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                async for event in stream:
                    loudest = max(loudest, float(np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max()))
        await stream.aclose()
    await playing
    return loudest > 500


async def hears_soon(listener: Caller, speaker: Caller) -> bool:
    """A track that was kept back takes about a second until it sounds."""
    return await hears_a_tone(listener, speaker) or await hears_a_tone(listener, speaker)


async def test_a_doctor_is_told_alone_what_it_is_about_presses_a_key_and_is_brought_together_with_the_caller(
    server: Server, tmp_path: Path
) -> None:
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with sip_service(server) as sip:
        near = Server(sip.url, server.api_key, server.api_secret)
        agents = {"desk.yaml": zero_cost_agent("desk", ["Still trying."], extra=TOOLS)}
        async with (
            running_daemon(near, agents, workers=1, environment=environment) as daemon,
            Caller.join(server, agent="desk", kind="sip") as caller,
        ):
            await spoken(caller, 0, 30)
            agent = (await caller.agent()).identity
            await put_through(daemon, "doctor")
            await caller.until(lambda: "+443" in sip.rung, 20)
            doctor = sip.rung["+443"]
            await doctor.until(lambda: doctor.heard.audible_s(0) > 1.0, 20)
            await caller.until(lambda: doctor.identity in caller.rtc.remote_participants, 5)  # type: ignore[union-attr]
            assert [name.partition("-")[0] for name in hears(doctor, agent)] == ["aside"]
            assert not await hears_a_tone(doctor, caller)
            assert not await hears_a_tone(caller, doctor)
            said_by_then = caller.heard.audible_s(0)
            await doctor.until(lambda: doctor.heard.silent_from(doctor.heard.at[-1] - 1.0, 0.6) is not None, 20)
            assert caller.heard.audible_s(0) - said_by_then < 0.3  # the briefing was not for the caller
            assert doctor.rtc is not None
            await doctor.rtc.local_participant.publish_dtmf(code=1, digit="1")
            await caller.until(lambda: agent not in caller.rtc.remote_participants, 10)  # type: ignore[union-attr]
            assert await hears_soon(doctor, caller)
            assert await hears_soon(caller, doctor)
            records = await ended_journal(tmp_path / "state", caller.room)
    assert [r.data["state"] for r in records if r.kind == "transfer"] == ["started", "answered", "completed"]
    assert records[-1].data["reason"] == "transferred"


async def test_a_telephone_is_referred_and_a_busy_one_is_told(server: Server, tmp_path: Path) -> None:
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with sip_service(server) as sip:
        sip.refused["tel:+442"] = BUSY
        near = Server(sip.url, server.api_key, server.api_secret)
        agents = {"desk.yaml": zero_cost_agent("desk", ["They are busy."], extra=TOOLS)}
        async with (
            running_daemon(near, agents, workers=1, environment=environment) as daemon,
            Caller.join(server, agent="desk", kind="sip") as caller,
        ):
            await spoken(caller, 0, 30)
            await put_through(daemon, "closed")
            await caller.until(lambda: any("busy" in each.text for each in caller.agent_captions()), 20)
            await caller.agent_state("listening", 10)
            await put_through(daemon, "desk")
            await caller.until(lambda: any(each.what == "disconnected" for each in caller.happened), 20)
            records = await ended_journal(tmp_path / "state", caller.room)
    assert sip.referred == [(caller.identity, "tel:+441")]
    told = [(r.data["state"], r.data["reason"]) for r in records if r.kind == "transfer"]
    assert told == [("started", ""), ("failed", "the line is busy"), ("started", ""), ("completed", "")]
    assert records[-1].data["reason"] in ("transferred", "caller_left")
