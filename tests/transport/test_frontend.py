"""States and captions over a connection that breaks and returns. The wire itself is tested in tests/system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from livekit import rtc

from agentd.transport import frontend
from agentd.transport.frontend import FrontEnd, Link
from tests.fakes.clock import run_virtual


class FakeWriter:
    def __init__(self, participant: FakeParticipant, attributes: dict[str, str], sender: str | None) -> None:
        self.participant, self.attributes, self.sender = participant, attributes, sender
        self.chunks: list[str] = []
        self.trailer: dict[str, str] | None = None

    async def write(self, text: str) -> None:
        await self.participant.pass_or_fail()
        self.chunks.append(text)

    async def aclose(self, *, attributes: dict[str, str] | None = None) -> None:
        await self.participant.pass_or_fail()
        self.trailer = attributes or {}


class FakeParticipant:
    """Takes what is sent; `failing` calls fail first. Each call takes 10 ms."""

    identity = "agent-1"

    def __init__(self) -> None:
        self.failing = 0
        self.states: list[str] = []
        self.streams: list[FakeWriter] = []
        self.packets: list[tuple[str, str, bool]] = []

    async def pass_or_fail(self) -> None:
        await asyncio.sleep(0.01)
        if self.failing:
            self.failing -= 1
            raise rtc.StreamError("reconnecting")

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        await self.pass_or_fail()
        self.states.append(attributes["lk.agent.state"])

    async def stream_text(
        self, *, topic: str, attributes: dict[str, str], sender_identity: str | None = None
    ) -> FakeWriter:
        await self.pass_or_fail()
        assert topic == "lk.transcription"
        self.streams.append(FakeWriter(self, attributes, sender_identity))
        return self.streams[-1]

    async def publish_transcription(self, transcription: rtc.Transcription) -> None:
        (segment,) = transcription.segments
        self.packets.append((transcription.participant_identity, segment.text, segment.final))


def link(participant: FakeParticipant, *, legacy: bool = False) -> Link:
    return Link(
        participant=cast(rtc.LocalParticipant, participant),
        track=lambda: "TR_agent",
        caller=lambda identity: (identity or "bob", f"TR_{identity or 'bob'}"),
        legacy=lambda: legacy,
    )


@asynccontextmanager
async def running() -> AsyncIterator[FrontEnd]:
    front_end = FrontEnd()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(front_end.run())
        yield front_end
        task.cancel()


def test_what_happens_before_the_connection_is_shown_after_it() -> None:
    async def story() -> None:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.set_state("listening")
            front_end.user_caption("u1", "hello", final=True)
            await asyncio.sleep(1)
            front_end.attach(link(participant))
            await asyncio.sleep(1)
        assert participant.states == ["listening"]
        assert [(one.chunks, one.sender) for one in participant.streams] == [(["hello"], "bob")]

    run_virtual(story())


def test_a_state_is_sent_once_and_again_to_a_new_connection() -> None:
    async def story() -> None:
        first, second = FakeParticipant(), FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(first))
            for _ in range(3):
                front_end.set_state("speaking")
            await asyncio.sleep(1)
            front_end.detach()
            front_end.attach(link(second))
            await asyncio.sleep(1)
        assert first.states == second.states == ["speaking"]

    run_virtual(story())


def test_a_state_that_could_not_be_sent_is_sent_later_unless_there_is_a_newer_one() -> None:
    async def story() -> None:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(participant))
            participant.failing = 1
            front_end.set_state("thinking")
            await asyncio.sleep(0.2)
            front_end.set_state("speaking")
            await asyncio.sleep(2)
        assert participant.states == ["speaking"]

    run_virtual(story())


def test_interim_texts_that_nobody_had_time_to_send_are_skipped_and_the_final_one_is_not() -> None:
    async def story() -> None:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(participant))
            for text in ("a", "a table", "a table for"):
                front_end.user_caption("u1", text, final=False)
            front_end.user_caption("u1", "A table for two.", final=True)
            await asyncio.sleep(1)
        assert [stream.chunks for stream in participant.streams] == [["A table for two."]]
        assert participant.streams[0].attributes["lk.transcription_final"] == "true"
        assert participant.streams[0].attributes["lk.transcribed_track_id"] == "TR_bob"

    run_virtual(story())


@pytest.mark.parametrize("failing", [1, 2])
def test_a_caption_that_broke_is_shown_whole_in_a_new_stream(failing: int) -> None:
    async def story() -> None:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(participant))
            caption = front_end.open_caption("a1")
            await caption.write("Hello ")
            await asyncio.sleep(0.1)
            participant.failing = failing
            await caption.write("there.")
            await caption.close()
            await asyncio.sleep(3)
        assert participant.streams[0].chunks == ["Hello "]
        assert participant.streams[-1].chunks == ["Hello there."]
        assert participant.streams[-1].trailer == {"lk.transcription_final": "true"}
        assert {stream.attributes["lk.segment_id"] for stream in participant.streams} == {"a1"}

    run_virtual(story())


def test_a_connection_that_never_works_costs_a_bounded_number_of_attempts() -> None:
    async def story() -> None:
        participant = FakeParticipant()
        participant.failing = 1_000
        async with running() as front_end:
            front_end.attach(link(participant))
            front_end.user_caption("u1", "hello", final=True)
            await asyncio.sleep(60)
        assert 1_000 - participant.failing == frontend._ATTEMPTS

    run_virtual(story())


def test_legacy_packets_carry_the_full_text_so_far_when_somebody_needs_them() -> None:
    async def story(legacy: bool) -> FakeParticipant:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(participant, legacy=legacy))
            caption = front_end.open_caption("a1")
            for word in ("One ", "two."):
                await caption.write(word)
                await asyncio.sleep(0.1)
            await caption.close()
            await asyncio.sleep(1)
        return participant

    assert run_virtual(story(legacy=True)).packets == [
        ("agent-1", "One ", False),
        ("agent-1", "One two.", False),
        ("agent-1", "One two.", True),
    ]
    assert run_virtual(story(legacy=False)).packets == []


def test_settling_waits_for_the_last_caption_but_not_long() -> None:
    async def settled_after(prepare: Callable[[FrontEnd], None]) -> float:
        loop = asyncio.get_running_loop()
        async with running() as front_end:
            prepare(front_end)
            front_end.user_caption("u1", "bye", final=True)
            began_at = loop.time()
            await front_end.settle()
            return loop.time() - began_at

    assert run_virtual(settled_after(lambda front_end: front_end.attach(link(FakeParticipant())))) < 0.1
    assert run_virtual(settled_after(lambda front_end: None)) == pytest.approx(frontend.SETTLE_S)


def test_words_of_several_people_are_shown_as_their_own_on_their_own_tracks() -> None:
    async def story() -> None:
        participant = FakeParticipant()
        async with running() as front_end:
            front_end.attach(link(participant, legacy=True))
            front_end.user_caption("u1", "hello", final=True, identity="anna")
            front_end.user_caption("u2", "good day", final=True, identity="ben")
            await asyncio.sleep(1)
        shown = [(one.sender, one.attributes["lk.transcribed_track_id"]) for one in participant.streams]
        assert shown == [("anna", "TR_anna"), ("ben", "TR_ben")]
        assert [who for who, _, _ in participant.packets] == ["anna", "ben"]

    run_virtual(story())
