"""Whole calls over fakes, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from agentd.aio import now
from agentd.config.definition import Greeting, IdlePrompt, Limits
from agentd.config.tools import Filler, ToolOptions
from agentd.config.turns import Interruption, Turn
from agentd.errors import ProviderRefused, ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session.restore import Restored, restore
from agentd.tools.spec import EndCall, SetVariables, ToolOutcome
from tests.fakes.call import FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeStreamingSTT, FakeTTS, calls, says

LONG = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon. On Sundays we are closed."


def story(coroutine_function):  # type: ignore[no-untyped-def]
    """A test that runs in virtual time."""

    def test() -> None:
        run_virtual(coroutine_function())

    test.__name__ = coroutine_function.__name__
    test.__doc__ = coroutine_function.__doc__
    return test


@story
async def test_a_spoken_question_is_answered_and_both_sides_are_in_the_history() -> None:
    async with calling(script=says("We open at nine.", "You are welcome.")) as call:
        await call.say("When do you open?")
        await call.room.silent(2)
        await call.say("Thank you.")
        assert call.user_texts == ["When do you open?", "Thank you."]
        assert call.agent_texts == ["We open at nine.", "You are welcome."]
        assert call.last_request() == [
            ("system", "Be brief."),
            ("user", "When do you open?"),
            ("assistant", "We open at nine."),
            ("user", "Thank you."),
        ]


@story
async def test_the_turn_ends_half_a_second_after_the_last_speech_and_the_stages_add_up() -> None:
    async with calling() as call:
        await call.say("Hello.")
        (turn,) = call.of("turn.user")
        assert turn["rule"] == "silence"
        assert turn["value"] == "turn.endpointing.min_delay=0.5"
        assert turn["delay_s"] == pytest.approx(0.5, abs=0.001)
        latencies = call.of("turn.agent")[0]["latencies"]
        assert latencies["eou"] + latencies["llm_ttft"] + latencies["tts_ttfb"] == pytest.approx(latencies["e2e"])
        assert latencies["eou"] == pytest.approx(0.5, abs=0.001)
        assert latencies["llm_ttft"] == 0  # it was asked early: the words came in the silence that ended the turn
        assert latencies["tts_ttfb"] == pytest.approx(0.05, abs=0.001)


@story
async def test_states_follow_the_conversation_and_speaking_begins_with_sound() -> None:
    async with calling(agent=definition(greeting=Greeting(say="Hello there."))) as call:
        await call.room.silent(2)
        await call.say("Hi.")
        assert [state for _, state in call.room.states] == [
            "listening", "speaking", "listening", "thinking", "speaking", "listening",
        ]  # fmt: skip
        spoke_at = [at for at, state in call.room.states if state == "speaking"][1]
        sounds = [begin for begin, _, _ in call.room.audio_out.played if begin >= 2]
        assert spoke_at == pytest.approx(sounds[0], abs=0.001)


@story
async def test_the_greeting_is_a_template_over_the_variables() -> None:
    agent = definition(greeting=Greeting(say="This is {{ clinic }}."), variables={"clinic": "Hill Street"})
    async with calling(agent=agent) as call:
        await call.room.silent(3)
        assert call.agent_texts == ["This is Hill Street."]


@story
async def test_a_greeting_can_be_generated_by_an_instruction() -> None:
    async with calling(agent=definition(greeting=Greeting(generate="Greet warmly.")), script=says("Welcome!")) as call:
        await call.room.silent(3)
        assert call.agent_texts == ["Welcome!"]
        assert call.last_request()[-1] == ("system", "Greet warmly.")


@story
async def test_speech_silences_the_agent_at_its_onset_and_words_interrupt_it() -> None:
    async with calling(script=says(LONG, "Sorry.")) as call:
        await call.room.speak(call.learn("When do you open?"), 1.0)
        await call.room.silent(2.0)
        began = now()
        await call.room.speak(call.learn("Stop please."), 1.0)
        await call.room.silent(2.0)
        spoken_over = [end for begin, end, value in call.room.audio_out.played if begin < began + 1 and end > began]
        assert max(spoken_over) - began <= 0.1
        first, second = call.of("turn.agent")[:2]
        assert first["interrupted"]
        assert LONG.startswith(first["text"])
        assert 0 < len(first["text"]) < len(LONG)
        assert second["text"] == "Sorry."
        assert call.last_request()[-2:] == [("assistant", first["text"]), ("user", "Stop please.")]


@story
async def test_the_history_and_the_captions_hold_the_same_heard_words() -> None:
    async with calling(script=says(LONG, "Sorry."), tts=FakeTTS(aligned=True)) as call:
        await call.say("When do you open?")
        await call.say("Stop please.")
        heard = call.of("turn.agent")[0]["text"]
        shown = " ".join(c.text.strip() for key, c in call.room.captions.items() if "-1-1-" in key)
        assert shown == heard
        assert all(caption.closed for caption in call.room.captions.values())


@story
async def test_a_cough_costs_a_pause_and_the_sentence_goes_on_where_it_stopped() -> None:
    async with calling(script=says(LONG)) as call:
        await call.say("When do you open?")
        await call.room.speak(call.learn(""), 0.3)
        await call.room.silent(12)
        (turn,) = call.of("turn.agent")
        assert turn["text"] == LONG
        assert not turn["interrupted"]
        assert [d["rule"] for d in call.of("decision") if d["action"] == "ResumeSpeech"] == ["short_sound"]
        sound_s = sum(len(text) / 15 for text in call.tts.spoken)
        assert call.room.audio_out.heard_s() == pytest.approx(sound_s, abs=0.15)


@story
async def test_an_acknowledgement_does_not_stop_the_agent() -> None:
    turn = Turn(interruption=Interruption(acknowledgements=("uh-huh", "right")))
    async with calling(script=says(LONG), agent=definition(turn=turn)) as call:
        await call.say("When do you open?")
        await call.say("Uh huh.", 0.4)
        await call.room.silent(8)
        assert call.agent_texts == [LONG]
        assert call.user_texts == ["When do you open?"]


@story
async def test_with_interruption_disabled_the_agent_finishes_and_does_not_answer_what_it_talked_over() -> None:
    turn = Turn(interruption=Interruption(enabled=False))
    async with calling(script=says(LONG), agent=definition(turn=turn)) as call:
        await call.say("When do you open?")
        await call.say("Stop!")
        await call.room.silent(6)
        assert call.agent_texts == [LONG]
        assert call.user_texts == ["When do you open?"]


@story
async def test_an_uninterruptible_greeting_is_heard_to_its_end() -> None:
    agent = definition(greeting=Greeting(say=LONG, interruptible=False))
    async with calling(agent=agent) as call:
        await call.room.silent(1)
        await call.say("Stop!")
        await call.room.silent(8)
        assert call.agent_texts[0] == LONG
        assert not call.of("turn.agent")[0]["interrupted"]


@story
async def test_without_resume_the_length_of_speech_interrupts() -> None:
    turn = Turn(interruption=Interruption(resume_false=False, min_duration=Duration(0.5)))
    async with calling(script=says(LONG, "Yes?"), agent=definition(turn=turn)) as call:
        await call.say("When do you open?")
        began = now()
        await call.say("Excuse me, one more thing.", 2.0)
        rules = [d["rule"] for d in call.of("decision") if d["action"] == "Interrupt"]
        assert rules == ["speech_duration"]
        stopped = max(end for _, end, value in call.room.audio_out.played if end < began + 1.5)
        assert stopped - began == pytest.approx(0.5, abs=0.05)


@story
async def test_words_said_while_the_agent_thinks_join_the_conversation_before_it_answers() -> None:
    async with calling(script=says("One answer.")) as call:
        call.llm.first_token_s = 1.5
        await call.room.speak(call.learn("I want a table"), 1.0)
        await call.room.silent(0.7)
        await call.room.speak(call.learn("for two."), 0.6)
        await call.room.silent(5)
        assert call.last_request()[-2:] == [("user", "I want a table"), ("user", "for two.")]
        assert [t for t in call.agent_texts if t] == ["One answer."]


@story
async def test_a_streaming_recogniser_shows_interims_and_commits_its_final() -> None:
    async with calling(stt=FakeStreamingSTT(delay_s=0.2)) as call:
        await call.say("Hello over there.", 1.5)
        assert [(text, final) for _, text, final in call.room.user_captions] == [
            ("Hello", False),
            ("Hello over there.", True),
        ]
        assert len({segment for segment, _, _ in call.room.user_captions}) == 1
        assert call.user_texts == ["Hello over there."]


@story
async def test_with_detection_stt_the_recognisers_word_ends_the_turn() -> None:
    agent = definition(turn=Turn(detection="stt"))
    async with calling(stt=FakeStreamingSTT(delay_s=0.1, end_of_turn=True), agent=agent) as call:
        await call.say("Hello.", 1.5)
        (turn,) = call.of("turn.user")
        assert turn["rule"] == "provider_end_of_turn"


@story
async def test_a_typed_message_is_a_turn_and_interrupts() -> None:
    async with calling(script=says(LONG, "By text.")) as call:
        await call.say("When do you open?")
        call.room.type("Never mind")
        await call.room.silent(2)
        assert call.of("turn.user")[1]["source"] == "text"
        assert call.of("turn.agent")[0]["interrupted"]
        assert call.agent_texts[1] == "By text."


@story
async def test_a_tool_is_called_and_its_result_reaches_the_model() -> None:
    async def book(call: ToolCall, context: object) -> str:
        await asyncio.sleep(0.3)
        return "booked for seven"

    def script(request):  # type: ignore[no-untyped-def]
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta(f"Done: {request.items[-1].content}.")]
        return [TextDelta("Let me see. "), calls("book", '{"people": 2}')]

    async with calling(script=script, tools=FakeTools({"book": book})) as call:
        await call.say("A table for two.")
        await call.room.silent(4)
        assert call.agent_texts == ["Let me see. Done: booked for seven."]
        assert call.last_request()[-3:] == [
            ("assistant", "Let me see."), ("call", "book"), ("result", "booked for seven"),
        ]  # fmt: skip
        (completed,) = call.of("tool.completed")
        assert completed["outcome"] == "ok"


@story
async def test_parallel_calls_run_side_by_side() -> None:
    async def slow(call: ToolCall, context: object) -> str:
        await asyncio.sleep(1.0)
        return call.id

    def script(request):  # type: ignore[no-untyped-def]
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta("Both.")]
        return [calls("slow", call_id="a"), calls("slow", call_id="b")]

    async with calling(script=script, tools=FakeTools({"slow": slow})) as call:
        await call.say("Go.")
        await call.room.silent(3)
        kinds = [(type(i).__name__) for i in call.llm.requests[-1].items[-4:]]
        assert kinds == ["ToolCall", "ToolCall", "ToolResult", "ToolResult"]
        times = [r.seq for r in call.records if r.kind == "tool.called"]
        assert times[1] - times[0] == 1
        assert call.agent_texts == ["Both."]


@story
async def test_a_slow_tool_is_bridged_by_its_filler_once() -> None:
    async def slow(call: ToolCall, context: object) -> str:
        await asyncio.sleep(4)
        return "found"

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("Found it.")] if isinstance(request.items[-1], ToolResult) else [calls("slow")]

    waiting = ToolOptions(while_waiting=Filler(after=Duration(1.2), say=("One moment.",)))
    async with calling(script=script, tools=FakeTools({"slow": slow}, {"slow": waiting})) as call:
        await call.say("Look it up.")
        await call.room.silent(6)
        assert call.agent_texts == ["One moment. Found it."]


@story
async def test_a_barge_in_cuts_the_speech_but_not_the_tool_and_its_result_is_kept() -> None:
    finished = asyncio.Event()

    async def order(call: ToolCall, context: object) -> str:
        await asyncio.sleep(3)
        finished.set()
        return "order 17 placed"

    turns = iter([[TextDelta("Placing your order now, it takes a while. "), calls("order")], [TextDelta("OK.")]])

    async with calling(script=lambda request: next(turns), tools=FakeTools({"order": order})) as call:
        await call.room.speak(call.learn("Order it."), 1.0)
        await call.room.silent(1.5)
        await call.say("Actually, hello?", 0.8)
        assert ("result", "This call is still running; do not repeat it.") in call.last_request()
        await call.room.silent(3)
        assert finished.is_set()
        assert len(call.tools.ran) == 1
        assert ("result", "order 17 placed") in [
            ("result", i.content) for i in call.session._conversation.history.items() if isinstance(i, ToolResult)
        ]


@story
async def test_the_step_limit_makes_the_model_answer_without_tools() -> None:
    async def again(call: ToolCall, context: object) -> str:
        return "more"

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("Enough.")] if request.tool_choice == "none" else [calls("again")]

    agent = definition(limits=Limits(max_tool_steps=2))
    async with calling(script=script, tools=FakeTools({"again": again}), agent=agent) as call:
        await call.say("Go.")
        await call.room.silent(2)
        assert len(call.tools.ran) == 2
        assert call.agent_texts == ["Enough."]


@story
async def test_end_call_plays_the_goodbye_out_before_the_room_is_deleted() -> None:
    async def end_call(call: ToolCall, context: object) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(EndCall(say="Goodbye and thanks."),))

    async with calling(script=lambda r: [calls("end_call")], tools=FakeTools({"end_call": end_call})) as call:
        await call.say("Bye.")
        await call.room.silent(3)
        assert await call.task == "ended_by_agent"
        assert call.room.ended == "deleted"
        assert call.agent_texts == ["Goodbye and thanks."]
        assert len(call.llm.requests) == 1


@story
async def test_variables_set_by_a_tool_reach_the_instructions() -> None:
    async def learn(call: ToolCall, context: object) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(SetVariables(values={"name": "Anna"}),))

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("Hello.")] if isinstance(request.items[-1], ToolResult) else [calls("learn")]

    agent = definition(instructions="The caller is {{ name }}.", variables={"name": "unknown"})
    async with calling(script=script, tools=FakeTools({"learn": learn}), agent=agent) as call:
        await call.say("I am Anna.")
        await call.room.silent(2)
        assert call.last_request()[0] == ("system", "The caller is Anna.")


@story
async def test_a_model_that_fails_is_tried_again_and_then_replaced() -> None:
    spare = FakeLLM(says("From the spare."))
    broken = lambda r: [ProviderRefused("fake", "bad key")]  # noqa: E731
    async with calling(script=broken, fallback_llm=spare) as call:
        await call.say("Hello.")
        await call.room.silent(2)
        assert call.agent_texts == ["From the spare."]
        assert len(call.llm.requests) == 1


@story
async def test_when_every_model_fails_the_caller_is_told() -> None:
    async with calling(script=lambda r: [ProviderRefused("fake", "bad key")]) as call:
        await call.say("Hello.")
        await call.room.silent(4)
        assert call.agent_texts == ["Sorry, I have trouble answering right now. Please try again."]


@story
async def test_three_failures_in_a_row_end_the_call() -> None:
    async with calling(script=lambda r: [ProviderRefused("fake", "bad key")]) as call:
        for _ in range(3):
            await call.say("Hello.")
            await call.room.silent(6)
        assert await call.task == "error"


@story
async def test_a_reply_broken_in_the_middle_keeps_what_was_said() -> None:
    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("We open at nine. "), TextDelta("And we"), ProviderUnavailable("fake", "reset")]

    async with calling(script=script) as call:
        await call.say("When?")
        await call.room.silent(6)
        assert call.agent_texts[0].startswith("We open at nine.")
        assert "trouble" in call.agent_texts[0]


@story
async def test_a_synthesiser_that_fails_is_replaced_without_losing_a_sentence() -> None:
    tts = FakeTTS(failures={"Second.": ProviderRefused("fake", "voice gone")})
    spare = FakeTTS()
    async with calling(script=says("First. Second. Third."), tts=tts, fallback_tts=spare) as call:
        await call.say("Go.")
        await call.room.silent(3)
        assert call.agent_texts == ["First. Second. Third."]
        assert (tts.spoken, spare.spoken) == (["First."], ["Second.", "Third."])


@story
async def test_without_any_synthesis_the_words_pass_as_captions() -> None:
    tts = FakeTTS(failures={"Hello there.": ProviderRefused("fake", "no credit")})
    async with calling(script=says("Hello there."), tts=tts) as call:
        await call.say("Hi.")
        await call.room.silent(1)
        assert [c.text for c in call.room.captions.values()] == ["Hello there."]
        assert call.agent_texts == ["Hello there."]


@story
async def test_pronunciations_reach_synthesis_and_not_the_captions() -> None:
    from dataclasses import replace

    from agentd.providers.tts import TTSSettings

    base = definition()
    agent = replace(base, tts=replace(base.tts, settings=TTSSettings(pronunciations={"GP": "gee pee"})))
    async with calling(script=says("See your GP."), agent=agent) as call:
        await call.say("Help.")
        await call.room.silent(2)
        assert call.tts.spoken == ["See your gee pee."]
        assert call.agent_texts == ["See your GP."]


@story
async def test_a_caller_who_leaves_on_purpose_ends_the_call() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.room.leave()
        assert await call.task == "caller_left"
        assert call.room.ended == "left"


@story
async def test_a_caller_whose_connection_failed_finds_the_sentence_where_it_stopped() -> None:
    async with calling(script=says(LONG)) as call:
        await call.say("When do you open?")
        call.room.leave(final=False)
        await asyncio.sleep(0.01)
        at = now()
        await call.room.silent(10)
        assert not [1 for begin, _, _ in call.room.audio_out.played if begin > at + 0.01]
        call.room.link(returned=True)
        await call.room.silent(10)
        assert call.agent_texts == [LONG]


@story
async def test_a_caller_who_does_not_come_back_is_given_up() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.room.leave(final=False)
        assert await call.task == "caller_lost"


@story
async def test_nobody_ever_comes() -> None:
    async with calling(link=False) as call:
        assert await call.task == "no_caller"


@story
async def test_a_quiet_caller_is_asked_and_then_left() -> None:
    prompt = IdlePrompt(after=Duration(5.0), say="Are you there?", times=2, then="end_call")
    async with calling(agent=definition(limits=Limits(idle_prompt=prompt))) as call:
        await call.say("Hello.")
        assert await call.task == "idle"
        asked = [t["text"] for t in call.of("turn.agent") if t["purpose"] == "idle"]
        assert asked == ["Are you there?", "Are you there?"]


@story
async def test_the_longest_call_ends_with_a_goodbye() -> None:
    async with calling(agent=definition(limits=Limits(max_duration=Duration(10.0)))) as call:
        assert await call.task == "max_duration"
        assert call.agent_texts[-1].endswith("Goodbye.")


@story
async def test_speech_that_stops_because_the_microphone_was_muted_is_a_finished_turn() -> None:
    async with calling() as call:
        await call.room.speak(call.learn("Hello"), 1.0)
        await asyncio.sleep(3)  # no frames at all
        assert call.user_texts == ["Hello"]


@story
async def test_a_restored_session_bridges_and_says_only_what_was_not_heard() -> None:
    restored = Restored(items=(), unsaid=("On Saturdays we close at noon.",), turns=1, replies=1)
    async with calling(restored=restored) as call:
        await call.room.silent(6)
        assert call.agent_texts == ["Sorry, I lost you for a moment. On Saturdays we close at noon."]
        assert call.of("session.resumed")


@story
async def test_a_restored_session_answers_the_question_that_was_open() -> None:
    from agentd.providers.llm import Message

    restored = Restored(items=(Message(role="user", text="When do you open?"),), reply_owed=True, turns=1)
    async with calling(restored=restored, script=says("At nine.")) as call:
        await call.room.silent(6)
        assert call.agent_texts == ["Sorry, I lost you for a moment. At nine."]
        assert ("user", "When do you open?") in call.last_request()


@story
async def test_an_operator_can_speak_interrupt_and_end() -> None:
    async with calling(script=says(LONG)) as call:
        await call.say("When do you open?")
        call.session.interrupt()
        await asyncio.sleep(0.2)
        assert call.of("turn.agent")[0]["interrupted"]
        call.session.say("A colleague will join you.")
        await call.room.silent(4)
        assert call.agent_texts[1] == "A colleague will join you."
        call.session.end("ended_by_operator")
        assert await call.task == "ended_by_operator"


@story
async def test_a_recogniser_that_fails_once_is_tried_again_within_the_turn() -> None:
    async with calling() as call:
        call.stt.failures.append(ProviderUnavailable("fake", "reset", retry_after_s=0.1))
        await call.say("Hello.")
        assert call.user_texts == ["Hello."]


REQUESTED = {
    "outcome": "accepted",
    "accept": True,
    "agent": "",
    "variables": {},
    "duration_s": 0.2,
    "message": "",
    "instructions_append": "The caller is called {{ Ann }}.",
}


@story
async def test_what_was_said_of_the_call_before_it_is_added_to_the_instructions_as_it_stands() -> None:
    async with calling(requested=REQUESTED) as call:
        await call.say("Hello.")
        assert call.last_request()[0] == ("system", "Be brief.\n\nThe caller is called {{ Ann }}.")
        assert [record.kind for record in call.records][:2] == ["session.started", "session.requested"]
        assert call.of("session.requested") == [REQUESTED]
        restored = restore(call.records)
    assert restored.instructions_append == REQUESTED["instructions_append"]
    async with calling(restored=restored, incarnation=2) as call:
        await call.say("Hello again.")
        assert call.last_request()[0] == ("system", "Be brief.\n\nThe caller is called {{ Ann }}.")
        assert call.of("session.requested") == []
