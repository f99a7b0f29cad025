"""Single faults of providers and of the room, named after their rows in the fault table. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, replace

import pytest

from agentd.aio import now
from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.config.turns import Interruption, Turn
from agentd.errors import ProviderRefused, ProviderUnavailable
from agentd.providers.llm import Message, TextDelta
from agentd.providers.tts import SpeechChunk
from agentd.session.restore import Restored
from tests.fakes.call import calling, definition
from tests.fakes.providers import CHARS_PER_S, FakeLLM, FakeSTT, FakeTTS, says
from tests.fakes.room import FakeCaption
from tests.session.test_session import LONG, story


@story
async def test_f14_a_model_that_only_keeps_alive_is_left_for_the_next() -> None:
    def alive(request):  # type: ignore[no-untyped-def]
        while True:
            yield TextDelta("")
            yield 0.5

    async with calling(script=alive, fallback_llm=FakeLLM(says("From the spare."))) as call:
        await call.say("Hello.")
        await call.room.silent(12)
        assert call.agent_texts == ["From the spare."]
        assert [p["outcome"] for p in call.of("provider") if p["kind"] == "llm"] == ["timeout", "ok"]


@story
async def test_f15_an_answer_that_stands_still_is_gone_on_with_by_the_next_model() -> None:
    def stalls(request):  # type: ignore[no-untyped-def]
        return [TextDelta("We open at nine. "), TextDelta("And we cl"), 1_000.0]

    spare = FakeLLM(says("We close at five."))
    async with calling(script=stalls, fallback_llm=spare) as call:
        await call.say("When?")
        await call.room.silent(14)
        assert call.agent_texts == ["We open at nine. We close at five."]
        *_, said, instruction = spare.requests[0].items
        assert said == Message(role="assistant", text="We open at nine.")
        assert isinstance(instruction, Message)
        assert "Go on from exactly there" in instruction.text


@dataclass
class BrokenTTS(FakeTTS):
    """Its first attempt gives half of the first segment's sound, and then `then` happens."""

    then: str = "error"
    attempts: int = 0

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        self.attempts += 1
        if self.attempts > 1:
            async for chunk in super().synthesize(segments, language=language):
                yield chunk
            return
        async for text in segments:
            samples = round(len(text) / CHARS_PER_S / 2 * OUTPUT_HZ) if self.then != "silence" else 0
            yield SpeechChunk(segment=0, frame=AudioFrame(b"\1\0" * samples, OUTPUT_HZ))
            if self.then == "error":
                raise ProviderUnavailable("fake", "reset")
            if self.then == "end":
                return
            await asyncio.sleep(1_000)


@pytest.mark.parametrize(
    ("then", "retried"),
    [
        ("silence", "Monday to Friday, from nine until five o'clock."),
        ("error", "nine until five o'clock."),
        ("end", "nine until five o'clock."),
        ("hang", "nine until five o'clock."),
    ],
)
def test_f20_f21_what_synthesis_did_not_say_is_said_by_the_next_attempt(then: str, retried: str) -> None:
    @story
    async def told() -> None:
        tts = BrokenTTS(then=then)
        async with calling(script=says("Monday to Friday, from nine until five o'clock."), tts=tts) as call:
            await call.say("When?")
            await call.room.silent(20)
            assert tts.spoken == [retried]
            assert call.agent_texts == ["Monday to Friday, from nine until five o'clock."]
            assert call.session.state == "listening"

    told()


@story
async def test_f20_a_synthesiser_may_wait_for_the_next_sentence_for_ever() -> None:
    def thinks_long(request):  # type: ignore[no-untyped-def]
        return [TextDelta("First things first. "), 9.5, TextDelta("Then"), 9.5, TextDelta(" the rest.")]

    async with calling(script=thinks_long) as call:
        await call.say("Go.")
        await call.room.silent(30)
        assert call.agent_texts == ["First things first. Then the rest."]
        assert "timeout" not in [p["outcome"] for p in call.of("provider")]


@story
async def test_a_room_that_hangs_holds_neither_the_reply_nor_the_end() -> None:
    class Hanging(FakeCaption):
        async def write(self, delta: str) -> None:
            await asyncio.sleep(1_000)

        async def close(self) -> None:
            await asyncio.sleep(1_000)

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(1_000)

    async def open_caption(segment_id: str) -> FakeCaption:
        return Hanging()

    async with calling(script=says(LONG, "Second answer.")) as call:
        call.room.open_caption = open_caption  # type: ignore[method-assign]
        call.room.set_state = hang  # type: ignore[method-assign]
        call.room.end = hang  # type: ignore[method-assign,assignment]
        await call.say("When do you open?")
        await call.say("And then?")
        await call.room.silent(8)
        assert call.agent_texts[-1] == "Second answer."
        began = now()
        call.session.end("ended_by_operator")
        assert await call.task == "ended_by_operator"
        assert now() - began < 15


@story
async def test_more_utterances_than_the_recogniser_takes_do_not_make_the_session_deaf() -> None:
    async with calling(stt=FakeSTT(delay_s=9.0)) as call:
        for number in range(14):
            await call.room.speak(call.learn(f"Part {number}."), 0.4)
            await call.room.silent(0.8)
        call.stt.delay_s = 0.1
        await call.room.silent(60)
        await call.say("Are you there?")
        assert call.user_texts[-1] == "Are you there?"


@story
async def test_sound_of_a_reply_that_an_operator_cut_does_not_leave_the_session_waiting_for_it() -> None:
    """Where nothing may interrupt, a machine that believed the agent to be speaking would take no word again."""
    agent = definition(turn=Turn(interruption=Interruption(enabled=False)))
    async with calling(agent=agent, script=says("One.")) as call:
        session = call.session
        await call.room.speak(call.learn("Hello."), 1.0)
        await call.room.silent(0.8)
        reply = session._parts.speaking.reply
        assert reply is not None
        session.interrupt()
        reply.audible(True)  # the sound begins between the operator's word and the cut
        await call.room.silent(2)
        await call.say("Are you there?")
        assert call.user_texts == ["Hello.", "Are you there?"]


@story
async def test_an_operator_who_cuts_the_goodbye_ends_the_call() -> None:
    async with calling() as call:
        await call.room.silent(0.1)
        call.session.end("ended_by_operator", goodbye=LONG)
        await call.room.silent(1)
        call.session.interrupt()  # a goodbye is to be heard
        await asyncio.sleep(0.1)
        assert not call.task.done()
        call.session.interrupt(force=True)
        assert await call.task == "ended_by_operator"


@story
async def test_a_goodbye_that_nobody_is_there_to_hear_is_not_waited_for() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.room.leave(final=False)
        await asyncio.sleep(0.1)
        began = now()
        call.session.end("ended_by_operator", goodbye=LONG)
        assert await call.task == "ended_by_operator"
        assert now() - began < 1


@story
async def test_a_caller_who_leaves_in_the_goodbye_does_not_hold_the_end() -> None:
    async with calling() as call:
        began = now()
        call.session.end("ended_by_operator", goodbye=LONG)
        await call.room.silent(1)
        call.room.leave(final=False)
        assert await call.task == "ended_by_operator"
        assert now() - began < 31


@story
async def test_an_answer_that_the_dead_process_had_not_finished_is_gone_on_with() -> None:
    items = (Message(role="user", text="When do you open?"), Message(role="assistant", text="On weekdays at nine."))
    restored = Restored(
        items=items, unsaid=("On Saturdays at ten.",), turns=1, replies=1, reply_owed=True, reply_begun=True
    )
    async with calling(restored=restored, incarnation=2, script=says("On Sundays not at all.")) as call:
        await call.room.silent(10)
        assert call.agent_texts == ["Sorry, I lost you for a moment. On Saturdays at ten. On Sundays not at all."]
        assert "Go on from exactly there" in call.last_request()[-1][1]
        assert call.last_request()[-2] == ("assistant", "Sorry, I lost you for a moment. On Saturdays at ten.")


@story
async def test_captions_of_two_incarnations_have_different_names() -> None:
    names: set[str] = set()
    for incarnation in (1, 2, 3):
        restored = replace(Restored(), replies=1) if incarnation > 1 else None
        async with calling(restored=restored, incarnation=incarnation) as call:
            await call.say("Hello.")
            await call.room.silent(3)
            new = {*call.room.captions, *(segment for segment, _, _ in call.room.user_captions)}
            assert new
            assert not new & names
            names |= new


@story
async def test_a_sentence_that_could_not_be_spoken_waits_its_turn_to_pass_as_a_caption() -> None:
    tts = FakeTTS(failures={"On Saturdays we close at noon.": ProviderRefused("fake", "no credit")})
    async with calling(script=says(LONG), tts=tts) as call:
        await call.room.speak(call.learn("When do you open?"), 1.0)
        await call.room.silent(2.0)
        assert call.session.state == "speaking"
        assert call.of("segment.heard") == []
        await call.say("Stop, please.")
        assert "Saturdays" not in call.agent_texts[0]
