"""Answers that are begun early: what is saved, what is thrown away, and that nothing is done in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from agentd.aio import now
from agentd.config.definition import AgentDefinition, Greeting, Limits
from agentd.config.turns import Preemptive, Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, Usage
from agentd.session.endpointing import Wait
from agentd.session.preemption import MORE_TO_COME, DropEarly, Preemption, SkipEarly, StartEarly
from agentd.session.restore import restore
from agentd.session.turns import Agent, TurnState
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeStreamingSTT, FakeTTS, calls, says
from tests.session.chaos import check_history_against_journal

SILENCE = Wait(seconds=0.5, rule="silence", value="turn.endpointing.min_delay=0.5")
KNOWN = TurnState(finals=("Hello there.",), last_duration_s=1.0)


def story(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs in virtual time."""

    def test() -> None:
        run_virtual(main())

    test.__name__ = main.__name__
    return test


def early(**settings: Any) -> AgentDefinition:
    return definition(turn=Turn(preemptive=Preemptive(**settings)))


def outcomes(call: Call) -> list[tuple[str, str | None]]:
    return [(record["outcome"], record.get("rule")) for record in call.of("preemption")]


# The decision.


def test_an_attempt_begins_when_the_words_are_known_and_silence_would_end_the_turn() -> None:
    for changed in (
        replace(KNOWN, speaking_since=1.0),
        replace(KNOWN, recognizing=1),
        replace(KNOWN, interim="and"),
        replace(KNOWN, finals=()),
        replace(KNOWN, agent=Agent.SPEAKING),
    ):
        assert Preemption(Preemptive()).step(changed, SILENCE) == []
    assert Preemption(Preemptive()).step(KNOWN, None) == []
    for rule in MORE_TO_COME:
        assert Preemption(Preemptive()).step(KNOWN, replace(SILENCE, rule=rule)) == []
    assert Preemption(Preemptive(llm=False)).step(KNOWN, SILENCE) == []
    (start,) = Preemption(Preemptive()).step(KNOWN, SILENCE)
    assert start == StartEarly(rule="words_known", value="turn.preemptive.llm=true", text="Hello there.", attempt=1)


def test_it_is_thrown_away_when_the_turn_goes_on_and_tried_again_so_often() -> None:
    preemption = Preemption(Preemptive(max_retries=2))
    assert [type(d) for d in preemption.step(KNOWN, SILENCE)] == [StartEarly]
    assert preemption.step(KNOWN, SILENCE) == []
    two = replace(KNOWN, finals=("Hello there.", "I"))
    drop, again = preemption.step(two, SILENCE)
    assert (drop, again.rule) == (DropEarly(rule="more_words"), "words_known")
    three = replace(KNOWN, finals=("Hello there.", "I", "wonder"))
    _, skip = preemption.step(three, SILENCE)
    assert skip == SkipEarly(rule="attempts", value="turn.preemptive.max_retries=2")
    assert preemption.step(three, SILENCE) == []
    assert preemption.commit("Hello there. I wonder") is None
    assert [type(d) for d in preemption.step(KNOWN, SILENCE)] == [StartEarly]


def test_it_is_kept_while_the_caller_only_makes_a_sound_and_dropped_for_the_first_new_word() -> None:
    preemption = Preemption(Preemptive())
    preemption.step(KNOWN, SILENCE)
    assert preemption.step(replace(KNOWN, speaking_since=2.0), None) == []
    assert preemption.step(replace(KNOWN, speaking_since=2.0, interim="and"), None) == [DropEarly(rule="more_words")]


def test_it_is_dropped_when_the_agent_speaks_or_another_turn_comes_first() -> None:
    preemption = Preemption(Preemptive())
    preemption.step(KNOWN, SILENCE)
    assert preemption.step(replace(KNOWN, agent=Agent.THINKING), SILENCE) == [DropEarly(rule="agent_speaks")]
    assert [type(d) for d in preemption.step(KNOWN, SILENCE)] == [StartEarly]
    assert preemption.commit("typed") == DropEarly(rule="other_text")


def test_long_speech_is_not_answered_early() -> None:
    (skip,) = Preemption(Preemptive()).step(replace(KNOWN, last_duration_s=11.0), SILENCE)
    assert skip == SkipEarly(rule="long_speech", value="turn.preemptive.max_speech=10.0")


# What comes of it.


async def answered_after(agent: AgentDefinition, *, first_token_s: float) -> tuple[float, dict[str, float]]:
    """Seconds from the caller's last sample to the answer's first, as heard; and the stages."""
    async with calling(agent=agent, script=says("Yes, we do.")) as call:
        call.llm.first_token_s = first_token_s
        await call.room.speak(call.learn("Are you open?"), 1.0)
        ended = now()
        await call.room.silent(4)
        return call.room.audio_out.played[0][0] - ended, call.of("turn.agent")[0]["latencies"]


@pytest.mark.parametrize(
    ("settings", "heard_s", "llm_ttft"),
    [
        ({"llm": False}, 0.5 + 0.4 + 0.05, 0.4),
        ({}, 0.396 + 0.4 + 0.05, 0.296),  # asked when the words were known, 0.396 s after the caller's last
        ({"tts": True}, 0.396 + 0.4 + 0.05, 0.296),
    ],
)
def test_what_the_caller_hears_is_what_the_stages_add_up_to(
    settings: dict[str, Any], heard_s: float, llm_ttft: float
) -> None:
    heard, stages = run_virtual(answered_after(early(**settings), first_token_s=0.4))
    assert heard == pytest.approx(heard_s, abs=0.001)
    assert stages["e2e"] == pytest.approx(heard, abs=0.001)
    assert stages["llm_ttft"] == pytest.approx(llm_ttft, abs=0.001)
    assert sum(stages[name] for name in ("eou", "stt", "llm_ttft", "tts_ttfb")) == pytest.approx(stages["e2e"])


def test_a_fast_model_and_a_fast_voice_hide_behind_the_endpointing_delay() -> None:
    heard, stages = run_virtual(answered_after(early(tts=True), first_token_s=0.02))
    assert heard == pytest.approx(0.5, abs=0.001)
    assert (stages["llm_ttft"], stages["tts_ttfb"]) == (0, 0)


@story
async def test_nothing_is_shown_heard_or_remembered_before_the_turn_has_ended() -> None:
    async with calling(agent=early(tts=True)) as call:
        await call.room.speak(call.learn("Hello."), 1.0)
        await call.room.silent(0.42)
        assert len(call.llm.requests) == 1
        assert call.last_request()[-1] == ("user", "Hello.")
        assert call.session._conversation.history.items() == ()
        assert not call.of("turn.user")
        assert not call.of("reply.started")
        assert not call.room.captions
        assert not call.room.audio_out.played
        without = [r for r in call.records if r.kind not in ("preemption", "usage", "provider", "decision")]
        assert replace(restore(call.records), last_record_at=0.0) == replace(restore(without), last_record_at=0.0)
        await call.room.silent(3)
        assert call.agent_texts == ["Fine."]
        assert len(call.llm.requests) == 1
        assert call.tts.spoken == ["Fine."]
        check_history_against_journal(call)


@story
async def test_an_attempt_that_the_caller_goes_on_from_is_aborted_and_the_whole_turn_answered() -> None:
    aborted: list[str] = []

    def script(request: ChatRequest) -> Any:
        asked = request.items[-1].text  # type: ignore[union-attr]
        try:
            yield TextDelta("Answer ")
            yield 5.0 if asked == "We are four people." else 0.0
            yield TextDelta(f"to: {asked}")
        except GeneratorExit:
            aborted.append(asked)
            raise

    async with calling(script=script, agent=early(tts=True)) as call:
        await call.room.speak(call.learn("We are four people."), 1.0)
        await call.room.silent(0.42)
        await call.room.speak(call.learn("And a dog."), 1.0)
        await call.room.silent(4)
        assert call.user_texts == ["We are four people. And a dog."]
        assert call.agent_texts == ["Answer to: We are four people. And a dog."]
        assert aborted == ["We are four people."]
        assert outcomes(call) == [("dropped", "more_words"), ("used", None)]
        (dropped, _) = call.of("preemption")
        assert dropped["characters"] == len("Answer ")
        assert [m for m in call.last_request() if m[0] == "user"] == [("user", "We are four people. And a dog.")]
        check_history_against_journal(call)


@story
async def test_what_a_thrown_away_attempt_cost_is_recorded_as_such() -> None:
    def script(request: ChatRequest) -> Any:
        return [TextDelta("Done."), Usage(prompt_tokens=7, completion_tokens=2)]

    async with calling(script=script, agent=early(tts=True)) as call:
        await call.room.speak(call.learn("One."), 1.0)
        await call.room.silent(0.42)
        await call.room.speak(call.learn("Two."), 1.0)
        await call.room.silent(4)
        discarded = [usage for usage in call.of("usage") if usage.get("discarded")]
        assert [(u["prompt_tokens"], u["completion_tokens"], u["characters"]) for u in discarded] == [(7, 2, 5)]
        kept = [usage for usage in call.of("usage") if not usage.get("discarded")]
        assert sum(u["prompt_tokens"] for u in kept) == 7
        assert sum(u["characters"] for u in kept) == 5


@story
async def test_a_tool_runs_only_after_the_turn_has_ended_and_never_for_what_was_thrown_away() -> None:
    ran_at: list[tuple[float, str]] = []

    async def book(call: ToolCall, context: ToolContext) -> str:
        ran_at.append((now(), call.arguments))
        return "booked"

    def script(request: ChatRequest) -> Any:
        last = request.items[-1]
        if getattr(last, "role", "") == "user":
            return [calls("book", arguments=f'"{last.text}"')]  # type: ignore[union-attr]
        return [TextDelta("It is booked.")]

    async with calling(script=script, tools=FakeTools({"book": book})) as call:
        call.llm.first_token_s = 0.01
        await call.room.speak(call.learn("Book"), 1.0)
        await call.room.silent(0.42)
        await call.room.speak(call.learn("nothing."), 1.0)
        ended = now()
        await call.room.silent(4)
        assert [what for _, what in ran_at] == ['"Book nothing."']
        assert ran_at[0][0] == pytest.approx(ended + 0.5, abs=0.001)
        assert call.agent_texts == ["It is booked."]
        assert [name for name, _ in outcomes(call)] == ["dropped", "used"]
        check_history_against_journal(call)


@story
async def test_words_said_by_the_operator_meanwhile_are_known_to_the_answer() -> None:
    async with calling(script=says("Knows it.")) as call:
        await call.room.speak(call.learn("Hello."), 1.0)
        await call.room.silent(0.42)
        call.session.say("We close in a minute, by the way, so please be quick about it.")
        await call.room.silent(6)
        assert outcomes(call)[0] == ("dropped", "context_changed")  # it waits for the caller's turn to end
        said, answer = call.agent_texts
        assert said
        assert answer == "Knows it."
        assert ("assistant", said) in call.last_request()
        check_history_against_journal(call)


@story
async def test_a_variable_that_changes_before_the_turn_ends_makes_the_attempt_useless() -> None:
    async with calling(script=says("Old.", "New.")) as call:
        await call.room.speak(call.learn("Hello."), 1.0)
        await call.room.silent(0.42)
        call.session._conversation.set_variables({"open": True})
        await call.room.silent(3)
        assert outcomes(call) == [("dropped", "context_changed")]
        assert call.agent_texts == ["New."]


@story
async def test_in_a_call_that_has_outgrown_its_budget_the_early_request_forgets_what_the_real_one_would() -> None:
    agent = replace(early(), limits=Limits(history_tokens=256))
    answer = "We open at nine in the morning and we close at five in the evening, as every other clinic in town does."
    async with calling(agent=agent, script=says(answer)) as call:
        for number in range(14):
            await call.say(f"This is question number {number}: when do you open on the day after tomorrow, please?", 4)
            await call.room.silent(8)
        assert call.of("context.truncated")
        assert outcomes(call) == [("used", None)] * 14
        assert len(call.llm.requests) == 14
        assert len(call.last_request()) < 14
        check_history_against_journal(call)


@story
async def test_a_model_that_fails_early_is_asked_again_in_its_time() -> None:
    failing = [True]

    def script(request: ChatRequest) -> Any:
        if failing.pop() if failing else False:
            return [ProviderUnavailable("fake", "reset", retry_after_s=0.01)]
        return [TextDelta("All is well.")]

    async with calling(script=script) as call:
        call.llm.first_token_s = 0.0
        await call.say("Hello.")
        assert call.agent_texts == ["All is well."]


@story
async def test_an_early_answer_that_breaks_off_is_gone_on_with_like_any_other() -> None:
    broken = [True]

    def script(request: ChatRequest) -> Any:
        if broken:
            broken.clear()
            return [TextDelta("We open at nine. And then "), 0.3, ProviderUnavailable("fake", "reset")]
        return [TextDelta("We close at five.")]

    async with calling(script=script, agent=early(tts=True)) as call:
        await call.say("When?")
        await call.room.silent(3)
        assert call.agent_texts == ["We open at nine. We close at five."]
        assert call.tts.spoken == ["We open at nine.", "We close at five."]
        check_history_against_journal(call)


@story
async def test_an_early_answer_is_interrupted_like_any_other() -> None:
    text = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon."
    async with calling(script=says(text, "Sorry."), agent=early(tts=True)) as call:
        await call.say("When do you open?")
        await call.say("Stop please.")
        await call.room.silent(2)
        first, second = call.of("turn.agent")
        assert first["interrupted"]
        assert text.startswith(first["text"])
        assert 0 < len(first["text"]) < len(text)
        assert second["text"] == "Sorry."
        check_history_against_journal(call)


@story
async def test_a_greeting_that_the_caller_cuts_is_in_the_early_request_as_heard() -> None:
    greeting = Greeting(say="Welcome to the clinic on Hill Street, we are glad that you are calling us today.")
    async with calling(agent=replace(early(), greeting=greeting)) as call:
        await call.room.silent(1)
        await call.say("Are you open?")
        cut, _ = call.agent_texts
        assert len(call.llm.requests) == 1
        assert call.last_request() == [("system", "Be brief."), ("assistant", cut), ("user", "Are you open?")]
        assert outcomes(call) == [("used", None)]


@story
async def test_a_streaming_recogniser_is_followed_from_final_to_final() -> None:
    async with calling(stt=FakeStreamingSTT(delay_s=0.1)) as call:
        await call.say("Are you open today?")
        assert call.agent_texts == ["Fine."]
        assert outcomes(call) == [("used", None)]


@story
async def test_without_tool_steps_the_early_request_allows_no_tools_either() -> None:
    async with calling(agent=replace(early(), limits=Limits(max_tool_steps=0))) as call:
        await call.say("Hello.")
        assert [request.tool_choice for request in call.llm.requests] == ["none"]
        assert outcomes(call) == [("used", None)]


@story
async def test_when_the_call_ends_the_attempt_does() -> None:
    async with calling() as call:
        await call.room.speak(call.learn("Bye."), 1.0)
        await call.room.silent(0.42)
        call.room.leave()
        await asyncio.sleep(0.1)
        assert await call.task == "caller_left"
        assert outcomes(call) == [("dropped", "session_ended")]
        assert call.records[-1].kind == "session.ended"


@story
async def test_a_slow_voice_is_given_the_sentences_once_and_in_order() -> None:
    text = "One is here. Two is here. Three is here. Four is here."
    tts = FakeTTS(first_sound_s=0.2)
    async with calling(script=says(text), tts=tts, agent=early(tts=True)) as call:
        call.llm.first_token_s = 0.0
        await call.say("Count.")
        await call.room.silent(6)
        assert tts.spoken == ["One is here.", "Two is here.", "Three is here.", "Four is here."]
        assert call.agent_texts == [text]
        values = list(dict.fromkeys(value for _, _, value in call.room.audio_out.played))
        assert values == [1, 2, 3, 4]


def test_the_limits_are_those_of_livekit_agents() -> None:
    assert Preemptive() == Preemptive(llm=True, tts=False, max_speech=Duration(10.0), max_retries=3)
