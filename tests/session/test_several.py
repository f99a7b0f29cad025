"""Whole calls with several people over fakes, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from agentd.cli.explained import text_of
from agentd.config.definition import AgentDefinition, Greeting, RoomOptions
from agentd.providers.llm import ChatRequest, Message, TextDelta, ToolCall, ToolResult
from agentd.providers.stt import Transcript
from agentd.session.explanation import explain
from agentd.session.people import SEVERAL
from agentd.session.restore import restore
from agentd.session.room import CallerMuted, CallerUnheard
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import Answer, FakeStreamingSTT, FakeSTT, FakeSTTStream, calls, says


def story(coroutine_function):  # type: ignore[no-untyped-def]
    """A test that runs in virtual time."""

    def test() -> None:
        run_virtual(coroutine_function())

    test.__name__ = coroutine_function.__name__
    test.__doc__ = coroutine_function.__doc__
    return test


def everyone(**changes: Any) -> AgentDefinition:
    return definition(room=RoomOptions(participants="everyone"), **changes)


def join(call: Call, *names: str) -> None:
    for name in names:
        call.room.link(identity=name.lower(), name=name, outbound=True)


def asked(request: ChatRequest) -> list[tuple[str, str]]:
    """Who said what to whom, without instructions: ("" for the agent)."""
    return [
        (item.speaker.identity if item.speaker else "", item.text)
        for item in request.items
        if isinstance(item, Message) and item.role != "system"
    ]


def repeats(request: ChatRequest) -> Answer:
    """A model that says what it was asked last."""
    return [TextDelta(f"You said {asked(request)[-1][1]}")]


@story
async def test_each_turn_names_its_speaker_for_the_model_the_journal_the_events_and_the_captions() -> None:
    async with calling(agent=everyone(), script=repeats, link=False) as call:
        join(call, "Anna", "Ben")
        await call.say("When do you open?", who="anna")
        await asyncio.sleep(4)
        await call.say("Is there parking?", who="ben")
        await asyncio.sleep(4)
        call.room.type("Thanks.", "anna")
        await asyncio.sleep(4)
        assert [(t["speaker"], t["label"], t["text"]) for t in call.of("turn.user")] == [
            ("anna", "Anna", "When do you open?"),
            ("ben", "Ben", "Is there parking?"),
            ("anna", "Anna", "Thanks."),
        ]
        assert asked(call.llm.requests[-1])[::2] == [
            ("anna", "[Anna] When do you open?"),
            ("ben", "[Ben] Is there parking?"),
            ("anna", "[Anna] Thanks."),
        ]
        assert SEVERAL in call.llm.requests[-1].items[0].text  # type: ignore[union-attr]
        assert call.room.captioned == [("anna", "When do you open?", True), ("ben", "Is there parking?", True)]
        added = [e.data for e in call.events if e.type == "conversation_item_added" and e.data["role"] == "user"]
        assert [item["speaker"] for item in added] == ["anna", "ben", "anna"]
        heard = [e.data["speaker"] for e in call.events if e.type == "user_input_transcribed"]
        assert heard == ["anna", "ben"]
        assert [e.data["identity"] for e in call.events if e.type == "participant_linked"] == ["anna", "ben"]


@story
async def test_two_who_speak_at_once_are_each_answered_with_only_what_was_said_before() -> None:
    async with calling(agent=everyone(), script=repeats, link=False) as call:
        join(call, "Anna", "Ben")
        async with asyncio.TaskGroup() as group:
            group.create_task(call.say("When do you open?", who="anna"))
            group.create_task(call.say("Is there parking?", 1.6, who="ben"))
        await asyncio.sleep(10)
        assert call.agent_texts == ["You said [Anna] When do you open?", "You said [Ben] Is there parking?"]
        assert asked(call.llm.requests[-1]) == [
            ("anna", "[Anna] When do you open?"),
            ("", "You said [Anna] When do you open?"),
            ("ben", "[Ben] Is there parking?"),
        ]
        assert [reply["turn"] for reply in call.of("reply.started")] == [1, 2]


@story
async def test_streaming_recognisers_are_one_for_each_and_never_mix() -> None:
    stt = FakeStreamingSTT()
    async with calling(agent=everyone(), script=repeats, stt=stt, link=False) as call:
        join(call, "Anna", "Ben")
        async with asyncio.TaskGroup() as group:
            group.create_task(call.say("When do you open?", who="anna"))
            group.create_task(call.say("Is there parking?", 1.6, who="ben"))
        await asyncio.sleep(10)
        assert len(stt.asked) == 2
        assert [(t["speaker"], t["text"]) for t in call.of("turn.user")] == [
            ("anna", "When do you open?"), ("ben", "Is there parking?"),
        ]  # fmt: skip
        assert all("park" not in text for who, text, _ in call.room.captioned if who == "anna")


@story
async def test_a_tool_sees_who_asked_for_it() -> None:
    seen: list[tuple[str, str]] = []

    async def book(call: ToolCall, context: ToolContext) -> str:
        seen.append((context.caller.identity, context.caller.name))
        await asyncio.sleep(1)
        return "done"

    def script(request: ChatRequest) -> Answer:
        return [TextDelta("Done.")] if isinstance(request.items[-1], ToolResult) else [calls("book")]

    async with calling(agent=everyone(), script=script, tools=FakeTools({"book": book}), link=False) as call:
        join(call, "Anna", "Ben")
        async with asyncio.TaskGroup() as group:
            group.create_task(call.say("Book a table.", who="ben"))
            group.create_task(call.say("Book me a table, too.", 1.4, who="anna"))
        await asyncio.sleep(12)
        assert seen == [("ben", "Ben"), ("anna", "Anna")]
        assert [called["speaker"] for called in call.of("tool.called")] == ["ben", "anna"]


@story
async def test_a_greeting_comes_once_and_the_last_to_leave_ends_the_call() -> None:
    async with calling(agent=everyone(greeting=Greeting(say="Hello.")), link=False) as call:
        join(call, "Anna")
        await asyncio.sleep(2)
        join(call, "Ben")
        await asyncio.sleep(2)
        call.room.leave(identity="anna")
        await call.say("Still there?", who="ben")
        await asyncio.sleep(2)
        assert call.agent_texts == ["Hello.", "Fine."]
        call.room.leave(identity="ben")
        assert await call.task == "caller_left"


@story
async def test_somebody_whose_connection_failed_is_waited_for_when_the_others_have_left() -> None:
    async with calling(agent=everyone(), link=False) as call:
        join(call, "Anna", "Ben")
        await asyncio.sleep(1)
        call.room.leave(identity="anna", final=False)
        call.room.leave(identity="ben")
        await asyncio.sleep(30)
        assert not call.task.done()
        call.room.link(identity="anna", name="Anna", returned=True)
        await call.say("I am back.", who="anna")
        assert call.user_texts == ["I am back."]
        call.room.leave(identity="anna", final=False)
        assert await call.task == "caller_lost"


@story
async def test_what_comes_late_of_somebody_who_has_left_is_no_turn() -> None:
    async with calling(agent=everyone(), link=False) as call:
        join(call, "Anna", "Ben")
        await call.room.speak(call.learn("I would like to"), 1.0, "anna")
        call.room.leave(identity="anna")
        await asyncio.sleep(10)
        assert call.user_texts == []


@story
async def test_a_call_that_outlives_its_process_knows_who_said_what_and_owes_each_an_answer() -> None:
    async with calling(agent=everyone(), script=repeats, link=False) as call:
        join(call, "Anna", "Ben")
        call.room.type("When do you open?", "anna")
        await asyncio.sleep(5)
        call.llm.first_token_s = 30.0
        call.room.type("Is there parking?", "ben")
        await asyncio.sleep(1)
        call.room.type("And on Sunday?", "anna")
        await asyncio.sleep(1)
        records = list(call.records)
    restored = restore(records)
    assert [(turn.speaker and turn.speaker.identity, turn.text) for turn in restored.unanswered] == [
        ("anna", "And on Sunday?")
    ]
    assert restored.reply_owed
    assert restored.speaker is not None
    assert restored.speaker.identity == "ben"
    assert restored.labels == {"anna": "Anna", "ben": "Ben"}
    async with calling(agent=everyone(), script=repeats, link=False, restored=restored, incarnation=2) as call:
        call.room.link(identity="ben", name="Ben", outbound=True)
        call.room.link(identity="anna", name="Anna", outbound=True)
        await asyncio.sleep(20)
        last = [[said for said in asked(request) if said[0]][-1] for request in call.llm.requests]
        assert last == [("ben", "[Ben] Is there parking?"), ("anna", "[Anna] And on Sunday?")]
        assert asked(call.llm.requests[-1])[0] == ("anna", "[Anna] When do you open?")


@story
async def test_an_answer_that_another_cut_is_not_lost_with_the_process() -> None:
    async with calling(agent=everyone(), script=repeats, link=False) as call:
        join(call, "Anna", "Ben")
        call.llm.first_token_s = 5.0
        call.room.type("When do you open?", "anna")
        await asyncio.sleep(1)
        await call.room.speak(call.learn("Wait, I have a question, too."), 1.0, "ben")
        await call.room.silent(0.45, "ben")
        assert [decision["action"] for decision in call.of("decision")][-2:] == ["PauseSpeech", "Interrupt"]
        records = list(call.records)
    restored = restore(records)
    assert (restored.reply_owed, restored.unanswered) == (True, ())
    assert restored.speaker is not None
    assert restored.speaker.identity == "anna"


@story
async def test_an_explanation_names_the_speakers_and_whose_answer_is_whose() -> None:
    async with calling(agent=everyone(), script=says("Of course."), link=False) as call:
        join(call, "Anna", "Ben")
        async with asyncio.TaskGroup() as group:
            group.create_task(call.say("When do you open?", who="anna"))
            group.create_task(call.say("Is there parking?", 1.6, who="ben"))
        await asyncio.sleep(6)
        explained = explain("S1", call.records)
    assert explained.caller == "Anna, Ben"
    assert [(turn.speaker, turn.text) for turn in explained.turns] == [
        ("Anna", "When do you open?"), ("Ben", "Is there parking?"),
    ]  # fmt: skip
    assert [turn.reply and turn.reply.text for turn in explained.turns] == ["Of course.", "Of course."]
    assert 'Anna: "When do you open?"' in text_of(explained)


@story
async def test_only_what_the_linked_caller_does_reaches_a_call_with_one() -> None:
    """The room sends nothing of anybody else (tests/transport, tests/system); words bear no label."""
    async with calling(script=says("Fine.")) as call:
        await call.say("When do you open?")
        assert call.last_request()[-1] == ("user", "When do you open?")
        assert call.of("turn.user")[0]["speaker"] == "caller"
        assert "label" not in call.of("turn.user")[0]


# A second voice at the caller's microphone.


class TwoVoices(FakeStreamingSTT):
    """Tells voices apart: texts that begin with `*` are another's."""

    def transcript(self, text: str) -> Transcript:
        return Transcript(text=text.removeprefix("*"), speaker="1" if text.startswith("*") else "0")

    async def stream(self, *, language: str | None) -> FakeSTTStream:
        return await super().stream(language=language)


@story
async def test_a_second_voice_is_a_turn_of_its_own_with_a_label_and_tools_are_told() -> None:
    seen: list[tuple[str, bool]] = []

    async def look(call: ToolCall, context: ToolContext) -> str:
        seen.append((context.caller.identity, context.caller.other_voice))
        return "done"

    def script(request: ChatRequest) -> Answer:
        return [TextDelta("Done.")] if isinstance(request.items[-1], ToolResult) else [calls("look")]

    async with calling(script=script, stt=TwoVoices(), tools=FakeTools({"look": look})) as call:
        await call.say("Book a table.")
        await call.room.silent(3)
        await call.say("*Yes, confirm it.")
        await call.room.silent(3)
        assert [(t["text"], t.get("other_voice", False)) for t in call.of("turn.user")] == [
            ("Book a table.", False), ("Yes, confirm it.", True),
        ]  # fmt: skip
        assert [text for _, text in asked(call.llm.requests[-1])][-1] == "[another voice] Yes, confirm it."
        assert seen == [("caller", False), ("caller", True)]


class TwoVoicesBatch(FakeSTT):
    """The same of whole utterances."""

    def transcript(self, text: str) -> Transcript:
        return Transcript(text=text.removeprefix("*"), speaker="1" if text.startswith("*") else "0")


@story
async def test_a_second_voice_is_told_apart_utterance_by_utterance_and_fills_no_turn_of_the_callers() -> None:
    async with calling(stt=TwoVoicesBatch()) as call:
        await call.room.speak(call.learn("My number is"), 1.0)
        await call.room.silent(0.4)
        await call.say("*Don't tell them.")
        await call.room.silent(5)
        assert [(t["speaker"], t["text"], t.get("label")) for t in call.of("turn.user")] == [
            ("caller", "Don't tell them.", "another voice"), ("caller", "My number is", None),
        ]  # fmt: skip
        told = [data["other_voice"] for data in call.of("transcript") if "other_voice" in data]
        assert told == [True]
        restored = restore(call.records)
        (other,) = [item for item in restored.items if isinstance(item, Message) and item.speaker]
        assert (other.words, other.speaker and other.speaker.other_voice) == ("Don't tell them.", True)


@story
async def test_each_microphone_is_watched_for_the_agents_echo() -> None:
    async with calling(agent=everyone(), link=False) as call:
        join(call, "Anna", "Ben")
        await asyncio.sleep(0.1)
        voice = call.session._conversation.voice
        assert len({id(echo) for echo in voice._echoes}) == 2
        call.room.leave(identity="anna")
        await asyncio.sleep(0.1)
        assert len(voice._echoes) == 1


@story
async def test_what_is_muted_and_who_is_not_heard_are_told_by_name() -> None:
    async with calling(agent=everyone(), link=False) as call:
        join(call, "Anna", "Ben")
        call.room.tell(CallerMuted(muted=True, identity="ben"))
        call.room.tell(CallerUnheard(identity="zoe", name="Zoe", limit=8))
        await asyncio.sleep(0.1)
        told = {event.type: event.data for event in call.events}
        assert told["participant_muted"] == {"muted": True, "identity": "ben"}
        assert told["participant_unheard"] == {"identity": "zoe", "name": "Zoe", "rule": "most_people", "value": 8}


# The property: whatever two people do.


async def one_life(seed: int, *, streaming: bool) -> None:
    rng = Random(seed)
    stt = FakeStreamingSTT() if streaming else None
    said: dict[str, list[str]] = {"anna": [], "ben": []}
    async with calling(agent=everyone(), script=says("All right, that can be done."), stt=stt, link=False) as call:
        join(call, "Anna", "Ben")

        async def life(who: str) -> None:
            for step in range(6):
                await call.room.silent(rng.uniform(0.3, 5.0), who)
                text = f"{who} says sentence {step}."
                match rng.choice(["speak", "speak", "speak", "type", "cough", "away"]):
                    case "speak":
                        said[who].append(text)
                        await call.room.speak(call.learn(text), rng.uniform(0.6, 2.5), who)
                    case "type":
                        said[who].append(text)
                        call.room.type(text, who)
                    case "cough":
                        await call.room.speak(call.learn(""), rng.uniform(0.2, 1.0), who)
                    case "away":
                        await call.room.silent(4.0, who)
                        call.room.leave(identity=who, final=False)
                        await asyncio.sleep(rng.uniform(0.1, 5.0))
                        call.room.link(identity=who, name=who.title(), returned=True)
            await call.room.silent(10.0, who)

        async with asyncio.TaskGroup() as group:
            for who in said:
                group.create_task(life(who))
        await asyncio.sleep(60)
        check(call, said)


def check(call: Call, said: dict[str, list[str]]) -> None:
    for turn in call.of("turn.user"):
        others = [text for who, texts in said.items() if who != turn["speaker"] for text in texts]
        assert not any(text in turn["text"] for text in others), "a turn holds another's words"
    for who, texts in said.items():
        told = " ".join(turn["text"] for turn in call.of("turn.user") if turn["speaker"] == who)
        assert sorted(told.split()) == sorted(" ".join(texts).split())
    assert call.session.state == "listening", "the agent owes nobody an answer"
    last = {turn["speaker"]: turn["turn"] for turn in call.of("turn.user")}
    answered = {reply["turn"] for reply in call.of("reply.started")}
    assert set(last.values()) <= answered
    history = [item for item in restore(call.records).items if isinstance(item, Message) and item.role == "user"]
    assert len(history) == len(call.of("turn.user"))
    speakers: Sequence[str] = [item.speaker.identity for item in history if item.speaker]
    assert speakers == [turn["speaker"] for turn in call.of("turn.user")]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("streaming", [False, True])
def test_whatever_two_people_do_no_turn_mixes_them_and_each_is_answered(seed: int, streaming: bool) -> None:
    run_virtual(one_life(seed, streaming=streaming))
