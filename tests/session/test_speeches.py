"""What others have a session say: its order, its handles, and how it outlives a process. In virtual time."""

from __future__ import annotations

import asyncio
from itertools import permutations

from agentd.aio import now
from agentd.config.definition import Greeting
from agentd.config.turns import Interruption, Turn
from agentd.providers.fields import Duration
from agentd.session.plan import Plan
from agentd.session.restore import restore
from agentd.session.speech import FIRST, HIGH, LOW, NORMAL
from agentd.session.speech_queue import SpeechQueue
from tests.fakes.call import Call, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeStreamingSTT, says
from tests.session.test_session import LONG, story

# The order, by itself.


def test_the_higher_priority_goes_first_and_equals_go_in_the_order_of_asking() -> None:
    named = [("low", LOW), ("normal", NORMAL), ("high", HIGH), ("greeting", FIRST)]
    for order in permutations(named):
        queue = SpeechQueue()
        for name, priority in order:
            queue.add(Plan(purpose="say", speech=f"{name} 1", priority=priority))
        for name, priority in order:
            queue.add(Plan(purpose="say", speech=f"{name} 2", priority=priority))
        taken = [plan.speech for plan in iter(queue.next, None)]
        assert taken == [f"{name} {n}" for name in ("greeting", "high", "normal", "low") for n in (1, 2)]


def test_what_is_taken_out_leaves_the_others_in_their_order() -> None:
    queue = SpeechQueue()
    for name in ("a", "b", "c"):
        queue.add(Plan(purpose="say", speech=name))
    assert [plan.speech for plan in queue.take_out(lambda plan: plan.speech == "b")] == ["b"]
    assert [plan.speech for plan in queue] == ["a", "c"]


# In a session.


@story
async def test_what_waits_is_said_by_priority_after_what_is_being_said() -> None:
    async with calling(script=says("Fine.")) as call:
        await call.room.silent(0.1)
        first = call.session.say("One moment please.")
        await call.room.silent(0.1)
        low = call.session.say("Low.", priority="low")
        normal = call.session.generate_reply(instructions="Say fine.")
        high = call.session.say("High.", priority="high")
        assert [handle.state for handle in (first, low, normal, high)] == ["speaking", "queued", "queued", "queued"]
        await call.room.silent(8)
        assert call.agent_texts == ["One moment please.", "High.", "Fine.", "Low."]
        assert call.last_request()[-1] == ("system", "Say fine.")
        assert all(handle.done and not handle.interrupted for handle in (first, low, normal, high))
        assert [e["requested"] for e in call.of("speech.created")] == [True] * 4


@story
async def test_a_handle_is_done_when_the_last_word_was_heard() -> None:
    async with calling() as call:
        await call.room.silent(0.1)
        handle = call.session.say("Please hold the line.")
        waiting = asyncio.ensure_future(_ended_at(handle.wait_for_playout()))
        await call.room.silent(5)
        heard_at = max(end for _, end, value in call.room.audio_out.played if value)
        assert 0 <= await waiting - heard_at <= 0.1
        assert await handle is handle


async def _ended_at(waiting) -> float:  # type: ignore[no-untyped-def]
    await waiting
    return now()


@story
async def test_a_caller_who_interrupts_ends_the_speech_and_what_waits_is_said_after_the_answer() -> None:
    async with calling(script=says("Sorry.")) as call:
        await call.room.silent(0.1)
        cut = call.session.say(LONG)
        await call.room.silent(1)
        waits = call.session.say("By the way.", priority="low")
        await call.say("Stop please.")
        await call.room.silent(4)
        assert (cut.done, cut.interrupted) == (True, True)
        assert (waits.done, waits.interrupted) == (True, False)
        assert call.agent_texts[1:] == ["Sorry.", "By the way."]


@story
async def test_what_must_be_heard_is_not_cut_by_the_caller_nor_by_an_operator_without_force() -> None:
    async with calling(script=says("Yes.")) as call:
        await call.room.silent(0.1)
        handle = call.session.say("This call is being recorded for training.", interruptible=False)
        queued = call.session.say("And this is optional.")
        await call.room.silent(0.5)
        await call.room.speak(call.learn("Wait."), 0.8)
        call.session.interrupt()
        await call.room.silent(4)
        assert call.agent_texts == ["This call is being recorded for training."]
        assert (handle.interrupted, queued.interrupted) == (False, True)
        forced = call.session.say("And once more for the record of this call.", interruptible=False)
        await call.room.silent(0.5)
        call.session.interrupt(force=True)
        await call.room.silent(1)
        assert (forced.done, forced.interrupted) == (True, True)


@story
async def test_a_speech_is_cancelled_while_it_waits_and_while_it_is_said() -> None:
    async with calling() as call:
        await call.room.silent(0.1)
        said, waits = call.session.say(LONG), call.session.say("Never heard.")
        await call.room.silent(1)
        waits.cancel()
        await asyncio.sleep(0.01)
        assert (waits.done, waits.interrupted, said.done) == (True, True, False)
        said.cancel()
        await call.room.silent(1)
        assert (said.done, said.interrupted) == (True, True)
        assert len(call.agent_texts) == 1
        assert LONG.startswith(call.agent_texts[0])
        said.cancel()  # long done: nothing happens
        await call.room.silent(1)
        assert not call.task.done()


@story
async def test_what_is_not_for_the_history_is_heard_and_the_model_does_not_learn_of_it() -> None:
    async with calling(script=says("Good.")) as call:
        await call.room.silent(0.1)
        call.session.say("This is an advertisement.", add_to_history=False)
        call.session.say("Your queue number is three.")
        await call.room.silent(5)
        await call.say("Thanks.")
        assert call.agent_texts[0] == "This is an advertisement."
        assert call.last_request()[1:] == [("assistant", "Your queue number is three."), ("user", "Thanks.")]
        kept = restore(call.records).items
        assert [getattr(item, "text", "") for item in kept] == ["Your queue number is three.", "Thanks.", "Good."]


@story
async def test_words_given_as_the_callers_stand_before_the_reply() -> None:
    async with calling(script=says("We open at nine.")) as call:
        await call.room.silent(0.1)
        await call.session.generate_reply(user_input="When do you open?", instructions="Answer briefly.")
        assert call.last_request()[1:] == [("user", "When do you open?"), ("system", "Answer briefly.")]
        assert call.of("turn.user")[0]["rule"] == "generate_reply"
        assert [getattr(item, "text", "") for item in restore(call.records).items] == [
            "When do you open?",
            "We open at nine.",
        ]


@story
async def test_a_speech_of_a_call_that_is_over_is_done_at_once() -> None:
    async with calling() as call:
        await call.room.silent(0.1)
        said, waits = call.session.say(LONG), call.session.say("Never heard.")
        await call.room.silent(0.5)
        call.room.leave(final=True)
        await call.task
        late = call.session.say("Too late.")
        assert all(handle.done and handle.interrupted for handle in (said, waits, late))


@story
async def test_a_turn_is_committed_or_forgotten_by_hand() -> None:
    turn = Turn(detection="manual", interruption=Interruption(false_timeout=Duration(2.0)))
    agent = definition(turn=turn)
    async with calling(agent=agent, stt=FakeStreamingSTT(), script=says("Yes.")) as call:
        await call.say("Never mind this.")
        call.session.clear_user_turn()
        await call.say("When do you open?")
        assert call.user_texts == []
        call.session.commit_user_turn()
        await call.room.silent(2)
        assert call.user_texts == ["When do you open?"]
        assert call.of("turn.user")[0]["rule"] == "manual"


# Over the death of a process.


async def _killed(*asked: str, until_s: float) -> Call:
    """A call whose records end after this long, in which this was asked to be said."""
    async with calling(agent=definition(greeting=Greeting(say="Welcome to the Hill Street clinic."))) as call:
        call.session.say(asked[0], add_to_history=False)
        for text in asked[1:]:
            call.session.say(text, priority="low")
        call.session.generate_reply(instructions="Ask for the name.")
        await call.room.silent(until_s)
        call.records = list(call.records)
        return call


def test_what_waited_is_said_by_the_next_process_in_its_order() -> None:
    records = run_virtual(_killed("A notice.", "Low.", until_s=1)).records

    async def resumed() -> list[str]:
        async with calling(script=says("Your name?"), restored=restore(records), incarnation=2) as call:
            await call.room.silent(15)
            return call.agent_texts

    assert run_virtual(resumed())[1:] == ["A notice.", "Your name?", "Low."]


def test_the_rest_of_what_is_not_for_the_history_is_said_after_the_bridge_and_stays_out_of_it() -> None:
    records = run_virtual(_killed("We record. For training. And for quality.", until_s=4.6)).records

    async def resumed() -> tuple[list[str], list[str]]:
        async with calling(script=says("Your name?"), restored=restore(records), incarnation=2) as call:
            await call.room.silent(15)
            return call.agent_texts, [text for _, text in call.last_request()]

    said, known = run_virtual(resumed())
    assert said[0] == "Sorry, I lost you for a moment."
    assert "For training. And for quality.".endswith(said[1])
    assert said[2] == "Your name?"
    assert not any("quality" in text for text in known)
