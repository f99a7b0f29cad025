"""Whole calls on a realtime model, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agentd.aio import now
from agentd.audio import INPUT_HZ, AudioFrame
from agentd.config.definition import Greeting, LanguageOverride, Limits
from agentd.config.provider_choice import ProviderChoice
from agentd.config.turns import Preemptive, Turn
from agentd.errors import ProviderRefused, ProviderUnavailable
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.providers.realtime import AddItem, CancelResponse, CommitSound, Configure, RemoveItem, Respond, TruncateItem
from agentd.providers.tts import TTSSettings
from agentd.session.events import NOT_TRANSCRIBED
from agentd.session.explanation import explain
from agentd.session.realtime_listening import silenced
from agentd.session.restore import restore
from agentd.tools.spec import EndCall, Say, SetLanguage, SetVariables, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling
from tests.fakes.clock import run_virtual
from tests.fakes.realtime import FakeConnection, FakeRealtime, Step, answers, realtime_agent
from tests.session.test_session import LONG, story

MODELS_OWN = Turn(detection="realtime")


@asynccontextmanager
async def talking(
    *script: Step | list[Step], model: FakeRealtime | None = None, agent: Any = None, **options: Any
) -> AsyncIterator[tuple[Call, FakeRealtime]]:
    """A call, and its model."""
    model = model or FakeRealtime()
    if script:
        model.script = answers(*script)
    async with calling(agent=agent or realtime_agent(), realtime=model, **options) as call:
        await call.room.silent(0.2)
        yield call, model


async def say(call: Call, model: FakeRealtime, text: str | None, seconds: float = 1.0, after: float = 2.0) -> None:
    """The caller says this, and then nothing for a while. None: nobody can write it down."""
    value = len(model.texts) + 1
    model.texts[value] = text
    await call.room.speak(value, seconds)
    await call.room.silent(after)


def booking(call: ToolCall, context: Any) -> Any:
    async def book() -> str:
        return "Booked for Anna."

    return book()


BOOK = ToolCall(id="call_1", name="book", arguments="{}")


def with_both_detections(coroutine_function):  # type: ignore[no-untyped-def]
    """A story that is told with the session's own detection of turns, and with the model's."""

    @pytest.mark.parametrize("detection", ["auto", "realtime"])
    def test(detection: Any) -> None:
        run_virtual(coroutine_function(realtime_agent(turn=Turn(detection=detection))))

    test.__name__ = coroutine_function.__name__
    return test


@with_both_detections
async def test_a_spoken_question_is_answered_in_the_models_voice(agent: Any) -> None:
    async with talking("We open at nine.", "You are welcome.", agent=agent) as (call, model):
        await say(call, model, "When do you open?")
        await call.room.silent(1)
        await say(call, model, "Thank you.")
        assert call.user_texts == ["When do you open?", "Thank you."]
        assert call.agent_texts == ["We open at nine.", "You are welcome."]
        assert model.now.told == [
            ("user", "When do you open?"), ("assistant", "We open at nine."),
            ("user", "Thank you."), ("assistant", "You are welcome."),
        ]  # fmt: skip
        assert call.room.audio_out.heard_s() == pytest.approx(len("We open at nine.You are welcome.") / 15, abs=0.05)
        assert model.now.configuration.instructions == "Be brief."
        assert model.now.refused == []
        assert call.of("error") == []


@story
async def test_the_model_decides_where_a_turn_ends_and_the_journal_names_the_rule() -> None:
    async with talking(agent=realtime_agent(turn=MODELS_OWN)) as (call, model):
        await say(call, model, "When do you open?")
        (turn,) = call.of("turn.user")
        assert (turn["rule"], turn["value"]) == ("realtime", "turn.detection=realtime")
        assert turn["delay_s"] == pytest.approx(0.6, abs=0.05)  # its silence, and the time of the words
        assert [d["rule"] for d in call.of("decision")] == ["realtime"]
        (explained,) = explain("S1", call.records).turns
        assert explained.ended.why == "the realtime model said that the caller was done"
        assert [early.outcome for early in explained.early] == ["used"]
        assert call.of("speech.ended")[0]["duration_s"] == pytest.approx(1.0, abs=0.05)
        assert model.now.of(CommitSound) == []


@story
async def test_our_own_detection_gives_the_model_the_utterance_and_nothing_else() -> None:
    async with talking() as (call, model):
        await call.room.silent(10)
        await say(call, model, "When do you open?")
        assert call.of("turn.user")[0]["rule"] == "silence"
        assert len(model.now.of(CommitSound)) == 1
        assert model.now._heard_s == pytest.approx(1.75, abs=0.1)  # with 0.5 s before it and 0.25 s after it
        assert not model.now.configuration.detects_turns


@story
async def test_stages_add_up_and_tokens_are_counted() -> None:
    async with talking("We open at nine.") as (call, model):
        await say(call, model, "When do you open?")
        latencies = call.of("turn.agent")[0]["latencies"]
        stages = sum(value for name, value in latencies.items() if name != "e2e")
        assert stages == pytest.approx(latencies["e2e"])
        assert latencies["eou"] == pytest.approx(0.5, abs=0.001)
        assert latencies["llm_ttft"] == pytest.approx(0.1, abs=0.02)
        (usage,) = call.of("usage")
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["cached_tokens"]) == (20, 10, 5)
        assert {(p["kind"], p["outcome"]) for p in call.of("provider")} == {("realtime", "ok"), ("stt", "ok")}


@story
async def test_a_greeting_is_said_word_for_word_and_the_model_remembers_it() -> None:
    agent = realtime_agent(greeting=Greeting(say="Hill Street clinic, hello."))
    async with talking("At nine.", agent=agent) as (call, model):
        await call.room.silent(3)
        assert call.agent_texts == ["Hill Street clinic, hello."]
        (asked,) = model.now.of(Respond)
        assert asked.apart
        assert asked.tool_choice == "none"
        assert model.now.told == []
        await say(call, model, "When do you open?")
        assert model.now.told[0] == ("assistant", "Hill Street clinic, hello.")
        assert model.now.refused == []


@story
async def test_a_greeting_can_be_generated_by_an_instruction() -> None:
    agent = realtime_agent(greeting=Greeting(generate="Greet warmly."))
    async with talking("Welcome!", agent=agent) as (call, model):
        await call.room.silent(3)
        assert call.agent_texts == ["Welcome!"]
        assert model.now.of(Respond)[0].instructions == "Be brief.\n\nGreet warmly."


@with_both_detections
async def test_words_interrupt_and_the_model_keeps_what_was_heard(agent: Any) -> None:
    async with talking(LONG, "Sorry.", agent=agent) as (call, model):
        await say(call, model, "When do you open?")
        began = now()
        await say(call, model, "Stop please.")
        await call.room.silent(1)
        over = [end for begin, end, _ in call.room.audio_out.played if begin < began + 0.9 and end > began]
        assert max(over) - began <= 0.15
        first, second = call.of("turn.agent")[:2]
        assert first["interrupted"]
        assert LONG.startswith(first["text"])
        assert 0 < len(first["text"]) < len(LONG)
        assert second["text"] == "Sorry."
        (truncated,) = model.now.of(TruncateItem)
        heard_s = sum(end - begin for begin, end, _ in call.room.audio_out.played if begin < began + 0.5)
        assert truncated.heard_s == pytest.approx(heard_s, abs=0.06)
        assert model.now.told[1:3] == [("assistant", f"[{truncated.heard_s:.1f} s]"), ("user", "Stop please.")]
        assert model.now.refused == []


@story
async def test_an_answer_of_which_nothing_was_heard_is_taken_out() -> None:
    slow = FakeRealtime(first_s=3.0)
    async with talking("At nine.", model=slow) as (call, model):
        await say(call, model, "When do you", after=1.2)
        await say(call, model, "open on Sundays?", after=6)
        assert call.user_texts == ["When do you", "open on Sundays?"]
        assert model.now.told == [
            ("user", "When do you"), ("user", "open on Sundays?"), ("assistant", "At nine."),
        ]  # fmt: skip
        assert len(model.now.of(CancelResponse)) == 1


@with_both_detections
async def test_an_acknowledgement_interrupts_nothing_and_is_no_turn_for_the_model_either(agent: Any) -> None:
    async with talking(LONG, "Bye.", agent=agent) as (call, model):
        await say(call, model, "When do you open?")
        await say(call, model, "uh-huh", 0.4, after=8)
        assert call.agent_texts == [LONG]
        assert not call.of("turn.agent")[0]["interrupted"]
        assert "acknowledgement" in [d["rule"] for d in call.of("decision")]
        await say(call, model, "Thanks, bye.")
        assert model.now.told == [
            ("user", "When do you open?"), ("assistant", LONG), ("user", "Thanks, bye."), ("assistant", "Bye."),
        ]  # fmt: skip
        assert model.now.of(TruncateItem) == []


@story
async def test_captions_are_sentences_that_follow_the_sound() -> None:
    async with talking(LONG, "Sorry.") as (call, model):
        await say(call, model, "When do you open?", after=2.2)
        shown = [caption.text.strip() for caption in call.room.captions.values()]
        assert shown
        assert LONG.startswith(" ".join(shown))
        assert len(" ".join(shown)) < 0.5 * len(LONG)  # the words are there long before their sound
        await call.room.silent(8)
        captions = [caption.text.strip() for caption in call.room.captions.values()]
        assert captions == [
            "The clinic is open from nine to five on weekdays.", "On Saturdays we close at noon.",
            "On Sundays we are closed.",
        ]  # fmt: skip
        assert all(caption.closed for caption in call.room.captions.values())
        assert [s["text"] for s in call.of("segment.heard")] == captions
        assert " ".join(captions) == call.agent_texts[0]


@with_both_detections
async def test_a_tool_runs_and_its_result_goes_back_to_the_model(agent: Any) -> None:
    tools = FakeTools({"book": booking})
    async with talking(["Let me see.", BOOK], "Done.", agent=agent, tools=tools) as (call, model):
        await say(call, model, "A table please.")
        await call.room.silent(3)
        assert call.agent_texts == ["Let me see. Done."]
        assert model.now.told == [
            ("user", "A table please."), ("assistant", "Let me see."), ("call", "book"),
            ("result", "Booked for Anna."), ("assistant", "Done."),
        ]  # fmt: skip
        assert [schema.name for schema in model.now.configuration.tools] == ["book"]
        assert model.now.refused == []
        assert call.of("tool.completed")[0]["outcome"] == "ok"


@story
async def test_a_variable_that_a_tool_sets_changes_the_instructions_before_the_next_answer() -> None:
    async def name(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(SetVariables(values={"name": "Anna"}),))

    agent = realtime_agent(instructions="The caller is {{ name }}.", variables={"name": "nobody"})
    async with talking([BOOK], "Hello Anna.", agent=agent, tools=FakeTools({"book": name})) as (call, model):
        await say(call, model, "I am Anna.")
        kinds = [type(c) for c in model.now.commands if isinstance(c, Configure | Respond)]
        assert kinds == [Respond, Configure, Respond]
        assert model.now.configuration.instructions == "The caller is Anna."


@story
async def test_an_item_that_the_model_refuses_is_given_to_it_again() -> None:
    async with talking("Fine.", model=FakeRealtime(refuses=[AddItem])) as (call, model):
        call.room.type("I am Anna.")
        await call.room.silent(3)
        call.room.type("Who am I?")
        await call.room.silent(3)
        assert [text for role, text in model.now.told if role == "user"] == ["I am Anna.", "Who am I?"]
        assert call.of("error") == [{"where": "realtime fake", "message": "AddItem was refused: not possible"}]


@story
async def test_a_change_of_language_is_told_to_the_model_before_it_answers() -> None:
    async def german(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(SetLanguage(language="de-DE"),))

    agent = realtime_agent(languages={"de-DE": LanguageOverride(instructions="Siezen Sie die Anrufer.")})
    async with talking([BOOK], "Guten Tag.", agent=agent, tools=FakeTools({"book": german})) as (call, model):
        await say(call, model, "Auf Deutsch bitte.")
        assert model.now.configuration.language == "de-DE"
        assert "Siezen Sie" in model.now.configuration.instructions
        assert call.agent_texts == ["Guten Tag."]
        assert [type(c) for c in model.now.commands if isinstance(c, Configure | Respond)] == [
            Respond, Configure, Respond,
        ]  # fmt: skip


@story
async def test_markup_is_not_said() -> None:
    agent = realtime_agent(greeting=Greeting(say='Hello <break time="0.3s"/>there.'))
    async with talking(agent=agent) as (call, model):
        await call.room.silent(3)
        assert call.agent_texts == ["Hello there."]
        assert "<break" not in str(model.now.of(Respond)[0].instructions)


@story
async def test_the_call_ends_by_a_tool_with_a_goodbye_in_the_models_voice() -> None:
    async def end(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(EndCall(say="Goodbye then."),), reply=False)

    async with talking([BOOK], tools=FakeTools({"book": end})) as (call, model):
        await say(call, model, "That is all.", after=4)
        assert await call.task == "ended_by_agent"
        assert call.agent_texts == ["Goodbye then."]
        assert call.room.ended == "deleted"


@story
async def test_a_typed_message_is_a_turn() -> None:
    async with talking("We open at nine.") as (call, model):
        call.room.type("When do you open?")
        await call.room.silent(3)
        assert call.of("turn.user")[0]["rule"] == "text_received"
        assert call.agent_texts == ["We open at nine."]
        assert model.now.told == [("user", "When do you open?"), ("assistant", "We open at nine.")]


@story
async def test_a_turn_by_hand_is_committed_to_the_model() -> None:
    async with talking("At nine.", agent=realtime_agent(turn=Turn(detection="manual"))) as (call, model):
        call.room.press("begin")
        await say(call, model, "When do you open?", after=0)
        call.room.press("end")
        await call.room.silent(3)
        assert call.of("turn.user")[0]["rule"] == "manual"
        assert call.agent_texts == ["At nine."]


@story
async def test_a_turn_can_be_ended_by_hand_before_the_models_silence() -> None:
    async with talking("At nine.", agent=realtime_agent(turn=MODELS_OWN)) as (call, model):
        await say(call, model, "When do you open?", after=0)
        call.room.press("end")
        await call.room.silent(3)
        assert call.user_texts == ["When do you open?"]
        assert call.of("turn.user")[0]["delay_s"] < 0.2
        assert call.agent_texts == ["At nine."]


@story
async def test_a_caller_who_mutes_in_mid_word_has_their_turn() -> None:
    async with talking("At nine.", agent=realtime_agent(turn=MODELS_OWN)) as (call, model):
        await say(call, model, "When do you open?", after=0)
        await asyncio.sleep(5)
        assert call.user_texts == ["When do you open?"]
        assert call.agent_texts == ["At nine."]


@with_both_detections
async def test_a_transcript_that_fails_leaves_a_turn_that_the_model_has_heard(agent: Any) -> None:
    async with talking("At nine.", agent=agent) as (call, model):
        await say(call, model, None, after=3)
        assert call.user_texts == [NOT_TRANSCRIBED]
        assert call.agent_texts == ["At nine."]
        assert [role for role, _ in model.now.told] == ["user", "assistant"]


@with_both_detections
async def test_a_transcript_that_comes_late_is_not_waited_for_and_mends_the_history(agent: Any) -> None:
    async with talking("At nine.", model=FakeRealtime(words_s=6.0), agent=agent) as (call, model):
        await say(call, model, "When do you open?", after=10)
        (turn,) = call.of("turn.user")
        assert turn["text"] == NOT_TRANSCRIBED
        assert turn["delay_s"] == pytest.approx(3.5, abs=0.3)
        assert call.agent_texts == ["At nine."]
        assert call.of("turn.corrected") == [{"turn": 1, "text": "When do you open?"}]
        items = restore(call.records).items
        assert items[0] == Message(role="user", text="When do you open?")
        assert [turn.text for turn in explain("S1", call.records).turns] == ["When do you open?"]


@with_both_detections
async def test_a_lost_connection_is_opened_again_and_the_conversation_brought_over(agent: Any) -> None:
    tools = FakeTools({"book": booking})
    async with talking(["Let me see.", BOOK], "Done.", "At nine.", agent=agent, tools=tools) as (call, model):
        await say(call, model, "A table please.", after=4)
        model.now.lose(ProviderUnavailable("fake", "Your session hit the maximum duration"))
        await call.room.silent(1)
        assert len(model.connections) == 2
        assert model.connections[0].closed
        await say(call, model, "When do you open?")
        assert model.now.told == [
            ("user", "A table please."), ("assistant", "Let me see."), ("call", "book"),
            ("result", "Booked for Anna."), ("assistant", "Done."),
            ("user", "When do you open?"), ("assistant", "At nine."),
        ]  # fmt: skip
        assert model.now.refused == []
        assert [e["message"] for e in call.of("error")] == ["Your session hit the maximum duration"]


@story
async def test_an_answer_that_breaks_off_is_gone_on_with_on_a_new_connection() -> None:
    asked: list[list[tuple[str, str]]] = []

    def script(told: list[tuple[str, str]]) -> list[Step]:
        asked.append(told)
        if len(asked) == 1:
            return ["We open at nine. And we", 60.0]
        return ["We close at five."]

    async with talking(model=FakeRealtime(script)) as (call, model):
        await say(call, model, "When do you open?", after=1.0)
        model.now.lose(ProviderUnavailable("fake", "reset"))
        await call.room.silent(5)
        assert call.agent_texts == ["We open at nine. And we We close at five."]
        assert asked[1][-2] == ("assistant", "We open at nine. And we")
        assert "Go on from exactly there" in asked[1][-1][1]


@story
async def test_an_answer_that_fails_is_asked_for_again() -> None:
    async with talking([ProviderUnavailable("fake", "busy", retry_after_s=0.5)], "At nine.") as (call, model):
        await say(call, model, "When do you open?", after=4)
        assert call.agent_texts == ["At nine."]
        assert [p["outcome"] for p in call.of("provider") if p["kind"] == "realtime"][1:] == ["unavailable", "ok"]


@story
async def test_an_answer_that_failed_before_its_first_word_leaves_nothing_behind() -> None:
    async with talking(["", ProviderUnavailable("fake", "busy", retry_after_s=0.5)], "At nine.") as (call, model):
        await say(call, model, "When do you open?", after=4)
        await say(call, model, "Thanks.")
        assert call.agent_texts == ["At nine.", "At nine."]
        assert [role for role, _ in model.now.told] == ["user", "assistant", "user", "assistant"]
        assert [usage.get("discarded", False) for usage in call.of("usage")] == [True, False, False]
        assert model.now.refused == []


@story
async def test_a_model_that_refuses_is_an_error_that_is_said() -> None:
    async with talking([ProviderRefused("fake", "quota")]) as (call, model):
        await say(call, model, "When do you open?", after=8)
        assert call.agent_texts == ["Sorry, I have trouble answering right now. Please try again."]
        assert {"where": "llm fake", "message": "quota"} in call.of("error")


@story
async def test_without_any_connection_the_trouble_is_shown_and_the_call_ends_after_three_times() -> None:
    model = FakeRealtime(refusals=[ProviderRefused("fake", "bad key")] * 100)
    async with talking(model=model) as (call, _):
        for _ in range(3):
            call.room.type("Hello?")
            await call.room.silent(20)
        assert call.task.done()
        assert await call.task == "error"
        captions = [caption.text for caption in call.room.captions.values()]
        assert captions == ["Sorry, I have trouble answering right now.", "Please try again."] * 3
        assert call.room.audio_out.played == []


@with_both_detections
async def test_what_is_said_while_the_connection_is_opened_again_is_not_lost(agent: Any) -> None:
    async with talking("At nine.", agent=agent) as (call, model):
        model.refusals = [ProviderUnavailable("fake", "down")]
        model.now.lose(ProviderUnavailable("fake", "reset"))
        await say(call, model, "When do you open?", after=6)
        assert len(model.connections) == 2
        assert call.user_texts == ["When do you open?"]
        assert call.agent_texts == ["At nine."]


@with_both_detections
async def test_what_is_being_said_when_the_connection_breaks_is_heard_by_the_next(agent: Any) -> None:
    async with talking("At nine.", agent=agent) as (call, model):
        await call.room.silent(3)  # one that is lost at once is not replaced at once
        await say(call, model, "When do you open?", 0.6, after=0)
        model.now.lose(ProviderUnavailable("fake", "reset"))
        await call.room.speak(len(model.texts), 0.6)
        await call.room.silent(6)
        assert call.user_texts == ["When do you open?"]
        assert call.agent_texts == ["At nine."]
        assert call.of("turn.user")[0]["delay_s"] < 1.0


@story
async def test_a_connection_that_breaks_with_the_utterance_just_kept_is_no_end_of_the_call() -> None:
    async with talking("At nine.") as (call, model):
        await call.room.silent(3)
        model.texts[1] = "When do you open?"
        keep = FakeConnection._keep

        def keep_and_break(connection: FakeConnection) -> None:
            keep(connection)
            if connection is model.connections[0]:
                connection.lose(ProviderUnavailable("fake", "reset"))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeConnection, "_keep", keep_and_break)
            await call.room.speak(1, 1.0)
            await call.room.silent(6)
        assert call.agent_texts == ["At nine."]
        assert call.user_texts == ["When do you open?"]


@with_both_detections
async def test_what_was_said_and_not_written_down_when_the_connection_broke_is_heard_by_the_next(agent: Any) -> None:
    async with talking("At nine.", model=FakeRealtime(words_s=1.0), agent=agent) as (call, model):
        await say(call, model, "When do you open?", after=0.9)
        model.now.lose(ProviderUnavailable("fake", "reset"))
        await call.room.silent(6)
        assert call.user_texts == ["When do you open?"]
        assert call.agent_texts == ["At nine."]
        assert [role for role, _ in model.now.told] == ["user", "assistant"]


@story
async def test_the_model_writes_and_a_synthesiser_speaks() -> None:
    voice = ProviderChoice(kind="tts", provider="fake", settings=TTSSettings(), digest="tts-1")
    agent = realtime_agent(tts=voice, greeting=Greeting(say="Hello there."))
    tools = FakeTools({"book": booking})
    async with talking(["Let me see.", BOOK], LONG, "Sorry.", agent=agent, tools=tools) as (call, model):
        await call.room.silent(2)
        await say(call, model, "A table please.", after=3)
        await say(call, model, "Stop please.")
        assert call.tts.spoken[:3] == [
            "Hello there.",
            "Let me see.",
            "The clinic is open from nine to five on weekdays.",
        ]
        assert not model.now.configuration.speaks
        heard = call.of("turn.agent")[1]
        assert heard["interrupted"]
        assert model.now.told[-4:] == [
            ("result", "Booked for Anna."), ("assistant", heard["text"].removeprefix("Let me see. ")),
            ("user", "Stop please."), ("assistant", "Sorry."),
        ]  # fmt: skip
        assert model.now.refused == []


@with_both_detections
async def test_a_call_that_outlives_its_process_goes_on_with_the_whole_conversation(agent: Any) -> None:
    async with talking("We open at nine.", LONG, agent=agent) as (call, model):
        await say(call, model, "When do you open?", after=3)
        await say(call, model, "And on Sundays?", after=5.2)
        records = list(call.records)
    restored = restore(records)
    assert not restored.caller_was_speaking
    assert restored.unsaid[-1] == "On Sundays we are closed."
    assert "The clinic is open" not in " ".join(restored.unsaid)
    async with talking("Fine.", agent=agent, restored=restored, incarnation=2) as (call, model):
        await call.room.silent(8)
        assert call.agent_texts[0] == " ".join(("Sorry, I lost you for a moment.", *restored.unsaid))
        await say(call, model, "Thanks.", after=3)
        told = model.now.told
        assert told[:3] == [
            ("user", "When do you open?"), ("assistant", "We open at nine."), ("user", "And on Sundays?"),
        ]  # fmt: skip
        assert told[-2:] == [("user", "Thanks."), ("assistant", "Fine.")]
        assert model.now.refused == []


@story
async def test_what_is_too_old_for_the_budget_leaves_the_model_too() -> None:
    agent = realtime_agent(limits=Limits(history_tokens=256))
    async with talking("word " * 250 + "end.", "Short.", agent=agent) as (call, model):
        await say(call, model, "Tell me a lot.", after=100)
        await say(call, model, "more " * 60, after=3)
        await say(call, model, "And now?", after=3)
        assert call.of("context.truncated")
        assert ("user", "Tell me a lot.") not in model.now.told
        assert model.now.of(RemoveItem)


@story
async def test_a_tool_may_speak_while_it_works() -> None:
    async def slow(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(Say(text="One moment."),))

    async with talking([BOOK], "Done.", tools=FakeTools({"book": slow})) as (call, model):
        await say(call, model, "A table please.", after=4)
        assert call.agent_texts == ["One moment. Done."]
        assert model.now.told[1:4] == [("assistant", "One moment."), ("call", "book"), ("result", "ok")]
        assert model.now.refused == []


@story
async def test_an_answer_is_begun_while_the_words_are_written_down_and_heard_when_they_are_there() -> None:
    model = FakeRealtime(words_s=0.4, first_s=0.3)
    async with talking("At nine.", model=model, agent=realtime_agent(turn=MODELS_OWN)) as (call, model):
        await say(call, model, "When do you open?", after=3)
        (turn,) = call.of("turn.user")
        assert turn["delay_s"] == pytest.approx(0.9, abs=0.05)
        latencies = call.of("turn.agent")[0]["latencies"]
        assert latencies["e2e"] == pytest.approx(turn["delay_s"], abs=0.02)  # the model's time costs nothing
        assert [p["outcome"] for p in call.of("preemption")] == ["used"]
        assert len(model.now.of(Respond)) == 1
        assert model.now.told == [("user", "When do you open?"), ("assistant", "At nine.")]


@story
async def test_an_early_answer_to_no_turn_leaves_nothing_behind() -> None:
    model = FakeRealtime(words_s=0.4, first_s=0.1)
    async with talking("Pardon?", "At nine.", model=model, agent=realtime_agent(turn=MODELS_OWN)) as (call, model):
        await say(call, model, "", 0.3)
        assert call.user_texts == []
        assert [p["outcome"] for p in call.of("preemption")] == ["dropped"]
        assert call.room.audio_out.played == []
        await say(call, model, "When do you open?", after=3)
        assert call.agent_texts == ["At nine."]
        assert model.now.told == [("user", "When do you open?"), ("assistant", "At nine.")]
        assert model.now.refused == []


@story
async def test_an_early_answer_is_thrown_away_when_the_caller_goes_on() -> None:
    model, agent = FakeRealtime(words_s=1.5, first_s=0.1), realtime_agent(turn=MODELS_OWN)
    async with talking("What about it?", "At nine.", model=model, agent=agent) as (call, model):
        await say(call, model, "When do", after=0.8)
        await say(call, model, "you open?", after=4)
        assert call.user_texts == ["When do you open?"]
        assert call.agent_texts == ["At nine."]
        assert [(p["attempt"], p["outcome"]) for p in call.of("preemption")] == [(1, "dropped"), (2, "used")]
        assert [role for role, _ in model.now.told] == ["user", "user", "assistant"]
        assert call.of("usage")[0]["discarded"] is True
        assert model.now.refused == []


@story
async def test_no_answer_is_begun_early_where_the_file_says_so() -> None:
    model = FakeRealtime(words_s=0.4, first_s=0.3)
    agent = realtime_agent(turn=replace(MODELS_OWN, preemptive=Preemptive(llm=False)))
    async with talking("At nine.", model=model, agent=agent) as (call, model):
        await say(call, model, "When do you open?", after=3)
        assert call.of("preemption") == []
        assert call.agent_texts == ["At nine."]


def test_what_is_the_agents_own_echo_reaches_the_model_as_silence() -> None:
    frame = AudioFrame(b"\1\0" * 512 + b"\2\0" * 512, INPUT_HZ)
    assert silenced(frame, [True, False]).data == bytes(1024) + b"\2\0" * 512
    assert silenced(frame, [False, True]).data == b"\1\0" * 512 + bytes(1024)
    assert silenced(frame, [True]).data == bytes(2048)
