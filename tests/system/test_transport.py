"""LiveKitRoom and Registration on a real LiveKit server, seen from the other side as front ends see it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from livekit import rtc

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame
from agentd.cli.devserver import free_ports, running_livekit_server
from agentd.errors import RoomLost
from agentd.session.room import (
    CallerLeft,
    CallerLinked,
    CallerMuted,
    RoomClosed,
    RoomEvent,
    TextReceived,
    TurnByHand,
    VoiceUnheard,
)
from agentd.transport.protocol import Accept, Assignment, Decline, JobOffer, LoadReport
from agentd.transport.registration import Registration
from agentd.transport.room import LiveKitRoom, RoomJoin
from agentd.transport.tokens import LiveKitCredentials, agent_token
from tests.system.caller import Caller, server_of, tone

pytestmark = pytest.mark.system

Event = TypeVar("Event", bound=RoomEvent)


def loudest_hz(samples: np.ndarray, hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * hz / len(samples))


def voice(hz: float, duration_s: float) -> AudioFrame:
    return AudioFrame(tone(hz, duration_s)[::2].tobytes(), OUTPUT_HZ)


class Guest:
    """An agent's side of a room: collects what comes in."""

    def __init__(self, room: LiveKitRoom) -> None:
        self.room = room
        self.seen: list[RoomEvent] = []
        self.heard: list[tuple[float, AudioFrame]] = []

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.seen if isinstance(event, kind)]

    def samples(self, since: float = 0.0) -> np.ndarray:
        return np.frombuffer(b"".join(frame.data for at, frame in self.heard if at >= since), np.int16)

    async def watch(self) -> None:
        async for event in self.room.events():
            self.seen.append(event)

    async def listen(self) -> None:
        async for frame in self.room.audio_in():
            self.heard.append((time.monotonic(), frame))


@asynccontextmanager
async def guest_in(
    credentials: LiveKitCredentials,
    room: str,
    *,
    identity: str = "agent-AJ_test",
    options: RoomJoin | None = None,
) -> AsyncIterator[Guest]:
    token = agent_token(credentials, room=room, identity=identity, agent_name="ada")
    async with (
        LiveKitRoom.join(credentials.url, token, options or RoomJoin(credentials=credentials)) as joined,
        asyncio.TaskGroup() as group,
    ):
        guest = Guest(joined)
        tasks = [group.create_task(guest.watch()), group.create_task(guest.listen())]
        yield guest
        for task in tasks:
            task.cancel()


async def until(ready: Callable[[], object], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not ready():
            await asyncio.sleep(0.02)


async def test_a_dispatched_agent_joins_and_both_sides_hear_each_other(credentials: LiveKitCredentials) -> None:
    offers: list[JobOffer] = []
    assignments: asyncio.Queue[Assignment] = asyncio.Queue()
    registered = asyncio.Event()

    async def offered(offer: JobOffer) -> Accept | Decline:
        offers.append(offer)
        return Accept(participant_name="Ada")

    registration = Registration(
        "ada",
        credentials,
        offered=offered,
        assigned=assignments.put_nowait,
        terminated=lambda job_id: None,
        load=lambda: LoadReport(load=0.0, full=False, job_count=0),
        changed=lambda now: registered.set(),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(registration.run())
        async with asyncio.timeout(5):
            await registered.wait()
        asked_at = time.monotonic()
        async with Caller.join(server_of(credentials), agent="ada", agent_metadata="hello") as caller:
            async with asyncio.timeout(5):
                given = await assignments.get()
            assert (given.job.metadata, given.job.room_name) == ("hello", caller.room)
            assert given.identity == f"agent-{offers[0].job.id}"
            async with LiveKitRoom.join(given.url, given.token, RoomJoin(credentials=credentials)) as room:
                registration.job_running(given.job.id)
                agent = await caller.agent()
                assert agent.identity == given.identity
                assert agent.name == "Ada"
                assert agent.attributes["lk.agent.name"] == agent.attributes["lk.agent_name"] == "ada"
                assert agent.attributes["lk.agent.state"] == "initializing"
                assert "lk.publish_on_behalf" not in agent.attributes
                await room.audio_out.write(voice(440, 1.0))
                heard_at = await caller.hears_after(asked_at)
                await room.audio_out.drained()
                await asyncio.sleep(0.3)
                assert caller.heard.audible_s(heard_at) == pytest.approx(1.0, abs=0.1)
                sound = caller.heard.samples(heard_at + 0.1, heard_at + 0.9)
                assert loudest_hz(sound, OUTPUT_HZ) == pytest.approx(440, abs=5)
                tracks = list(agent.track_publications.values())
                assert [track.source for track in tracks] == [rtc.TrackSource.SOURCE_MICROPHONE]
            registration.job_ended(given.job.id)
        running.cancel()


async def test_the_callers_sound_comes_in_at_16_khz_in_frames_of_64_ms(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        began_at, ended_at = await caller.say(tone(1_000, 1.0))
        assert ended_at - began_at == pytest.approx(1.0, abs=0.15)
        await asyncio.sleep(0.3)
        assert {frame.samples for _, frame in guest.heard} == {1024}
        assert {frame.sample_rate_hz for _, frame in guest.heard} == {INPUT_HZ}
        assert loudest_hz(guest.samples(began_at + 0.3)[: INPUT_HZ // 2], INPUT_HZ) == pytest.approx(1_000, abs=10)
        assert guest.room.dropped_frames == 0


async def test_states_reach_front_ends_in_order(credentials: LiveKitCredentials) -> None:
    states = ["listening", "thinking", "speaking", "listening"]
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await caller.agent_state("initializing")
        for state in states:
            await guest.room.set_state(state)
            await caller.agent_state(state)
        assert [seen.state for seen in caller.states] == ["initializing", *states]


async def test_after_a_burst_of_states_front_ends_have_the_last(credentials: LiveKitCredentials) -> None:
    """The server may merge updates that come within one of its own rounds; it never reorders them."""
    burst = ["listening", "thinking", "speaking", "thinking", "idle"]
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await caller.agent_state("initializing")
        began_at = time.monotonic()
        for state in burst:
            await guest.room.set_state(state)
        assert time.monotonic() - began_at < 1.0  # nobody waits for the server
        await caller.agent_state("idle")
        seen = iter(["initializing", *burst])
        assert all(one.state in seen for one in caller.states)  # a subsequence, in order


async def test_captions_are_what_stock_front_ends_read(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        await guest.room.user_caption("u1", "good", final=False)
        await caller.until(lambda: len(caller.captions) >= 2)
        await guest.room.user_caption("u1", "Good morning.", final=True)
        caption = await guest.room.open_caption("a1")
        for word in ("Hello ", "there, ", "you."):
            await caption.write(word)
            await asyncio.sleep(0.1)
        await caption.close()
        await caller.until(lambda: sum(one.ended for one in caller.captions) >= 3)
        agent = await caller.agent()
        voice_track = next(iter(agent.track_publications))
        interim, final, spoken = (one for one in caller.captions if one.ended)
        assert [(one.sender, one.text, one.segment_id, one.final) for one in (interim, final, spoken)] == [
            (caller.identity, "good", "u1", False),
            (caller.identity, "Good morning.", "u1", True),
            (agent.identity, "Hello there, you.", "a1", True),
        ]
        assert interim.stream_id != final.stream_id
        assert spoken.attributes["lk.transcribed_track_id"] == voice_track
        assert interim.attributes["lk.transcribed_track_id"] not in ("", voice_track)
        deltas = [one for one in caller.captions if one.stream_id == spoken.stream_id and not one.ended]
        assert [one.chunk for one in deltas] == ["Hello ", "there, ", "you."]
        assert not any(one.final for one in deltas)  # the trailer says it, not the header
        await caller.until(lambda: len(caller.legacy) >= 6)
        assert [(one.sender, one.segment_id, one.text, one.final) for one in caller.legacy] == [
            (caller.identity, "u1", "good", False),
            (caller.identity, "u1", "Good morning.", True),
            (agent.identity, "a1", "Hello ", False),
            (agent.identity, "a1", "Hello there, ", False),
            (agent.identity, "a1", "Hello there, you.", False),
            (agent.identity, "a1", "Hello there, you.", True),
        ]


async def test_a_segment_of_which_nothing_was_heard_has_no_caption(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await (await guest.room.open_caption("cut")).close()
        spoken = await guest.room.open_caption("kept")
        await spoken.write("Yes.")
        await spoken.close()
        await caller.until(lambda: caller.agent_captions())
        assert {one.segment_id for one in caller.captions} == {"kept"}


async def test_chat_of_the_linked_caller_is_taken_and_nobody_elses(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with Caller.join(server, identity="bob") as bob, guest_in(credentials, bob.room) as guest:
        await until(lambda: guest.of(CallerLinked))
        async with Caller.join(server, room=bob.room, identity="eve", microphone=False) as eve:
            await eve.agent()
            await eve.chat("I am Eve")
            await bob.chat("I am Bob")
            await until(lambda: guest.of(TextReceived))
            await asyncio.sleep(0.2)
            assert [event.text for event in guest.of(TextReceived)] == ["I am Bob"]
            assert [sender for _, sender, _ in eve.chats] == ["bob"]  # the agent echoes nothing


async def test_a_button_of_the_linked_caller_is_taken_by_rpc_and_by_data_and_nobody_elses(
    credentials: LiveKitCredentials,
) -> None:
    server = server_of(credentials)
    async with Caller.join(server, identity="bob") as bob, guest_in(credentials, bob.room) as guest:
        await until(lambda: guest.of(CallerLinked))
        async with Caller.join(server, room=bob.room, identity="eve", microphone=False) as eve:
            agent = (await eve.agent()).identity
            await bob.agent()
            with pytest.raises(rtc.RpcError, match="only the linked caller"):
                await eve.rtc.local_participant.perform_rpc(
                    destination_identity=agent, method="start_turn", payload="{}"
                )
            await eve.rtc.local_participant.publish_data("end_turn", topic="agentd.turn")
            for method in ("start_turn", "end_turn"):
                answer = await bob.rtc.local_participant.perform_rpc(
                    destination_identity=agent, method=method, payload="{}"
                )
                assert answer == "ok"
            await bob.rtc.local_participant.publish_data("cancel_turn", topic="elsewhere")
            await bob.rtc.local_participant.publish_data("nonsense", topic="agentd.turn")
            await bob.rtc.local_participant.publish_data("cancel_turn", topic="agentd.turn")
            await until(lambda: len(guest.of(TurnByHand)) >= 3)
            await asyncio.sleep(0.2)
            assert [event.action for event in guest.of(TurnByHand)] == ["begin", "end", "cancel"]


async def test_chat_can_be_switched_off(credentials: LiveKitCredentials) -> None:
    off = RoomJoin(text_input=False)
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room, options=off) as guest:
        await caller.agent()
        await caller.chat("hello?")
        await asyncio.sleep(0.5)
        assert not guest.of(TextReceived)


async def test_of_several_participants_the_first_person_is_linked_and_heard(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with (
        Caller.join(server, identity="other-agent", kind="agent") as other,
        Caller.join(server, room=other.room, identity="bob") as bob,
        guest_in(credentials, other.room) as guest,
        Caller.join(server, room=other.room, identity="eve") as eve,  # last: of two within a second, either is first
    ):
        await until(lambda: guest.heard)
        assert [event.caller.identity for event in guest.of(CallerLinked)] == ["bob"]
        (began_at, _), _, _ = await asyncio.gather(
            bob.say(tone(600, 1.0)), eve.say(tone(1_500, 1.0, dbfs=-3)), other.say(tone(2_500, 1.0, dbfs=-3))
        )
        await asyncio.sleep(0.2)
        assert loudest_hz(guest.samples(began_at + 0.2)[:INPUT_HZ], INPUT_HZ) == pytest.approx(600, abs=10)


async def test_a_caller_who_comes_after_the_agent_is_linked(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with (
        guest_in(credentials, "late-caller") as guest,
        Caller.join(server, room="late-caller", identity="bob", attributes={"tier": "gold"}),
    ):
        await until(lambda: guest.heard)
        (linked,) = guest.of(CallerLinked)
        assert not linked.returned
        assert (linked.caller.identity, linked.caller.kind) == ("bob", "standard")
        assert linked.caller.attributes == {"tier": "gold"}


async def test_mute_and_unmute_are_told(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        caller.mute()
        await until(lambda: guest.of(CallerMuted) == [CallerMuted(muted=True, identity=caller.identity)])
        caller.unmute()
        muted, unmuted = (CallerMuted(muted=muted, identity=caller.identity) for muted in (True, False))
        await until(lambda: guest.of(CallerMuted) == [muted, unmuted])
        began_at, _ = await caller.say(tone(700, 0.6))
        await asyncio.sleep(0.2)
        assert loudest_hz(guest.samples(began_at + 0.2)[: INPUT_HZ // 2], INPUT_HZ) == pytest.approx(700, abs=10)


async def test_a_caller_who_hangs_up_has_left_for_good_and_may_still_return(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        await caller.leave()
        left_at = time.monotonic()
        await until(lambda: guest.of(CallerLeft))
        assert 2.0 < time.monotonic() - left_at < 4.0
        assert guest.of(CallerLeft) == [CallerLeft(identity=caller.identity, reason="client_initiated", final=True)]
        await caller.connect()
        await until(lambda: len(guest.of(CallerLinked)) == 2)
        assert guest.of(CallerLinked)[1].returned
        back_at = time.monotonic()
        await until(lambda: guest.heard[-1][0] > back_at)


@pytest.mark.parametrize("how", ["rejoins", "reconnects fully", "resumes"])
async def test_a_caller_who_is_back_at_once_was_never_away(credentials: LiveKitCredentials, how: str) -> None:
    """A full reconnect leaves with CLIENT_INITIATED and returns with a new track: it must be taken."""
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        if how == "rejoins":
            await caller.rejoin()
        else:
            await caller.reconnect(full=how == "reconnects fully")
        await asyncio.sleep(1.0)
        began_at, _ = await caller.say(tone(900, 0.8))
        await asyncio.sleep(0.2)
        assert loudest_hz(guest.samples(began_at + 0.2)[: INPUT_HZ // 2], INPUT_HZ) == pytest.approx(900, abs=10)
        await guest.room.audio_out.write(voice(500, 0.5))
        await caller.hears_after(began_at, 3)
        await asyncio.sleep(1.5)
        assert not guest.of(CallerLeft)
        assert len(guest.of(CallerLinked)) == 1


async def test_our_own_full_reconnect_in_mid_sentence_tells_what_was_not_heard(
    credentials: LiveKitCredentials,
) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        out = guest.room.audio_out
        await out.write(voice(500, 0.6))
        assert guest.room._rtc is not None
        broke_at = time.monotonic()
        await guest.room._rtc.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        talking = asyncio.create_task(_talk_on(guest))
        await until(lambda: any(told.seconds for told in guest.of(VoiceUnheard)), 15)
        assert max(told.seconds for told in guest.of(VoiceUnheard)) <= time.monotonic() - broke_at
        told_at = time.monotonic()
        await caller.hears_after(told_at, 6)
        talking.cancel()
        assert not guest.of(CallerLeft)


async def _talk_on(guest: Guest) -> None:
    while True:
        await guest.room.audio_out.write(voice(500, 0.1))


async def test_our_own_full_reconnect_is_not_noticed_by_the_session(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        await guest.room.set_state("listening")
        assert guest.room._rtc is not None
        await guest.room._rtc.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await asyncio.sleep(1.5)
        began_at, _ = await caller.say(tone(900, 0.8))
        await asyncio.sleep(0.2)
        assert loudest_hz(guest.samples(began_at + 0.2)[: INPUT_HZ // 2], INPUT_HZ) == pytest.approx(900, abs=10)
        spoke_at = time.monotonic()
        await guest.room.audio_out.write(voice(500, 0.5))
        await caller.hears_after(spoke_at, 3)
        caption = await guest.room.open_caption("after")
        await caption.write("Still here.")
        await caption.close()
        await caller.until(lambda: caller.agent_captions())
        tracks = (await caller.agent()).track_publications
        assert len(tracks) == 1
        assert caller.agent_captions()[-1].attributes["lk.transcribed_track_id"] == next(iter(tracks))
        assert not guest.of(CallerLeft)
        assert not guest.of(RoomClosed)


async def test_an_interruption_is_heard_at_once(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        out = guest.room.audio_out
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(out.write(voice(440, 10.0)))
            heard_at = await caller.hears_after(0.0)
            await asyncio.sleep(1.0)
            assert 0.0 < out.queued_s <= 0.35
            speaking.cancel()
            out.clear()
            cut_at = time.monotonic()
        await caller.until(lambda: caller.heard.silent_from(cut_at) is not None)
        silent_at = caller.heard.silent_from(cut_at)
        assert silent_at is not None
        assert heard_at < cut_at
        assert silent_at - cut_at < 0.3
        async with asyncio.timeout(0.5):
            await out.drained()


async def test_the_first_words_wait_until_somebody_can_hear_them(credentials: LiveKitCredentials) -> None:
    async with guest_in(credentials, "first-words") as guest, asyncio.TaskGroup() as group:
        speaking = group.create_task(guest.room.audio_out.write(voice(440, 1.0)))
        await asyncio.sleep(1.0)
        assert not speaking.done()
        async with Caller.join(server_of(credentials), room="first-words") as caller:
            heard_at = await caller.hears_after(0.0)
            await speaking
            await asyncio.sleep(0.5)
            assert caller.heard.audible_s(heard_at - 1) == pytest.approx(1.0, abs=0.12)


async def test_ending_the_call_deletes_the_room_for_everybody(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await caller.agent()
        caption = await guest.room.open_caption("bye")
        await caption.write("Goodbye.")
        await caption.close()
        await guest.room.end(delete=True)
        await until(lambda: guest.of(RoomClosed) == [RoomClosed(reason="room_deleted")])
        await caller.until(
            lambda: [one.detail for one in caller.happened if one.what == "disconnected"] == ["ROOM_DELETED"]
        )
        assert not await caller.room_exists()
        assert [one.text for one in caller.agent_captions()] == ["Goodbye."]
        await guest.room.audio_out.write(voice(440, 0.1))  # goes nowhere, in real time, and hurts nobody
        await guest.room.set_state("idle")


async def test_leaving_keeps_the_room(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        agent = await caller.agent()
        await guest.room.end(delete=False)
        await caller.until(lambda: ("left", agent.identity) in [(one.what, one.identity) for one in caller.happened])
        assert await caller.room_exists()


async def test_a_room_deleted_by_others_closes_the_session(credentials: LiveKitCredentials) -> None:
    async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
        await until(lambda: guest.heard)
        await caller.delete_room()
        await until(lambda: guest.of(RoomClosed))
        assert guest.of(RoomClosed) == [RoomClosed(reason="room_deleted")]


RESCUER = """
import asyncio, sys, time
from agentd.audio import AudioFrame
from agentd.transport.room import LiveKitRoom, RoomJoin
from agentd.loadtest.microphone import tone

async def main(url, token):
    async with LiveKitRoom.join(url, token, RoomJoin()) as room:
        caption = await room.open_caption("bridge")
        await caption.write("I lost you a moment.")
        await room.audio_out.write(AudioFrame(tone(800, 1.0)[::2].tobytes(), 24_000))
        await caption.close()
        await room.audio_out.drained()
        await asyncio.sleep(0.5)

print("ready", flush=True)
asyncio.run(main(*sys.stdin.readline().split()))
"""


async def test_another_process_takes_a_call_over_by_joining_as_the_same_participant(
    credentials: LiveKitCredentials,
) -> None:
    rescuer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RESCUER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert rescuer.stdin is not None
    assert rescuer.stdout is not None
    try:
        await rescuer.stdout.readline()  # warm: everything is imported
        async with Caller.join(server_of(credentials)) as caller, guest_in(credentials, caller.room) as guest:
            await guest.room.audio_out.write(voice(440, 0.5))
            await caller.hears_after(0.0)
            await asyncio.sleep(0.7)
            token = agent_token(credentials, room=caller.room, identity="agent-AJ_test", agent_name="ada")
            asked_at = time.monotonic()
            rescuer.stdin.write(f"{credentials.url} {token}\n".encode())
            heard_at = await caller.hears_after(asked_at)
            assert heard_at - asked_at < 2.0
            await until(lambda: guest.of(RoomClosed) == [RoomClosed(reason="replaced")])
            await caller.until(lambda: caller.agent_captions())
            assert caller.agent_captions()[-1].text == "I lost you a moment."
            assert await rescuer.wait() == 0
    finally:
        if rescuer.returncode is None:
            rescuer.kill()
            await rescuer.wait()


async def test_what_was_said_before_the_agent_came_is_heard_first(credentials: LiveKitCredentials) -> None:
    server = server_of(credentials)
    async with (
        Caller.join(server, microphone=False) as caller,
        guest_in(credentials, caller.room) as guest,
    ):
        assert caller.rtc is not None
        agent = await caller.agent()
        source = rtc.AudioSource(48_000, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, preconnect_buffer=True)
        publication = await caller.rtc.local_participant.publish_track(track, options)
        writer = await caller.rtc.local_participant.stream_bytes(
            "early.pcm",
            topic="lk.agent.pre-connect-audio-buffer",
            attributes={"trackId": publication.sid, "sampleRate": "48000", "channels": "1"},
            destination_identities=[agent.identity],
            mime_type="audio/pcm",
        )
        await writer.write(tone(1_200, 1.0).tobytes())
        await writer.aclose()
        await until(lambda: len(guest.heard) > 40)
        early = guest.samples()[: INPUT_HZ // 2]
        assert loudest_hz(early, INPUT_HZ) == pytest.approx(1_200, abs=10)
        await source.aclose()


@pytest.mark.timeout(90)
async def test_a_server_that_is_away_for_longer_than_the_engine_tries_gets_the_call_back(livekit_binary: Path) -> None:
    """Its rooms are gone with it: the agent joins anew with a token of its own, and so does the caller."""
    ports = free_ports()
    async with running_livekit_server(livekit_binary, ports=ports) as server:
        credentials = LiveKitCredentials(url=server.url, api_key=server.api_key, api_secret=server.api_secret)
        caller_room = Caller.join(server_of(credentials), identity="bob")
        caller = await caller_room.__aenter__()
        guest_room = guest_in(credentials, caller.room)
        guest = await guest_room.__aenter__()
        await until(lambda: guest.heard)
        await guest.room.set_state("listening")
    try:
        await caller.until(lambda: any(one.what == "disconnected" for one in caller.happened), 60)
        await caller.leave()
        async with running_livekit_server(livekit_binary, ports=ports), asyncio.TaskGroup() as group:
            back_at = time.monotonic()
            await caller.connect()
            await caller.agent_state("listening", 15)
            speaking = group.create_task(guest.room.audio_out.write(voice(440, 1.0)))
            heard_at = await caller.hears_after(back_at)
            assert heard_at - back_at < 15
            await speaking
            began_at, _ = await caller.say(tone(900, 0.8))
            await asyncio.sleep(0.2)
            assert loudest_hz(guest.samples(began_at + 0.2)[: INPUT_HZ // 2], INPUT_HZ) == pytest.approx(900, abs=10)
            assert not guest.of(RoomClosed)
    finally:
        await guest_room.__aexit__(None, None, None)
        await caller_room.__aexit__(None, None, None)


async def test_a_room_that_cannot_be_joined_is_an_error_that_says_where() -> None:
    credentials = LiveKitCredentials(url="ws://127.0.0.1:9", api_key="key", api_secret="s" * 40)
    token = agent_token(credentials, room="lobby", identity="agent-1")
    with pytest.raises(RoomLost, match=r"ws://127\.0\.0\.1:9: the room cannot be joined"):
        async with LiveKitRoom.join(credentials.url, token):
            pytest.fail("there is no server")


async def test_an_error_inside_the_room_comes_out_as_it_was_raised(credentials: LiveKitCredentials) -> None:
    token = agent_token(credentials, room="failing", identity="agent-1")
    with pytest.raises(LookupError, match="mine"):
        async with LiveKitRoom.join(credentials.url, token):
            raise LookupError("mine")
