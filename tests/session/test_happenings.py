"""The events of a call: one documented set, made of its records and of nothing else."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from agentd.config.definition import Greeting, IdlePrompt, Limits
from agentd.config.turns import Interruption, Turn
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session import records
from agentd.session.event_types import EVENT_TYPES, reference
from agentd.session.happenings import _HANDLERS, JOURNAL_ONLY, USAGE, Happenings
from agentd.session.restore import restore
from agentd.tools.spec import EndCall, Event, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeStreamingSTT, calls, says
from tests.session.test_session import LONG, story

ROOT = Path(__file__).parents[2]
PEERS = (
    "user_state_changed agent_state_changed user_input_transcribed user_transcription_timeout conversation_item_added "
    "agent_false_interruption overlapping_speech function_tools_executed metrics_collected session_usage_updated "
    "speech_created tool_execution_updated error close debug_message"
)
"""livekit-agents 1.8.9's EventTypes."""


def kinds_of_the_page() -> set[str]:
    """Those that `agentd.session.records` documents, each at the beginning of a line."""
    return set(re.findall(r"^([a-z]+(?:\.[a-z]+)?) +\S", (records.__doc__ or "").partition("`data`:")[2], re.MULTILINE))


def events_of(call: Call) -> list[Event]:
    """What the journal tells afterwards."""
    fold = Happenings("S1", "test-agent")
    return [event for record in call.records for event in fold.take(record)]


def of(call: Call, name: str) -> list[dict[str, object]]:
    return [dict(event.data) for event in events_of(call) if event.type == name]


# The set.


def test_every_record_makes_the_events_that_it_is_said_to_or_is_the_journals_only() -> None:
    kinds = kinds_of_the_page()
    assert {"session.started", "usage", "context.truncated"} <= kinds
    made = {kind for event in EVENT_TYPES.values() for kind in event.records}
    assert made | JOURNAL_ONLY == kinds
    assert set(_HANDLERS) - {"speech.ended"} == made  # that one is remembered, and told with another


def test_the_fifteen_of_livekit_agents_come_first() -> None:
    assert set(list(EVENT_TYPES)[:15]) == set(PEERS.split())


def test_the_page_has_the_set_as_it_is() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    table = page.partition("reference() -->\n")[2].partition("<!-- end")[0]
    assert table == reference()


# Calls.


async def _eventful() -> Call:
    """A call in which everything happens."""

    async def look(call: ToolCall, context: object) -> str:
        await asyncio.sleep(0.2)
        return f"{call.name} found"

    async def leave(call: ToolCall, context: object) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(EndCall(say="Goodbye."),))

    answers = iter(
        [
            [TextDelta(LONG)],
            [calls("look"), ToolCall(id="2", name="look", arguments="{}")],
            [TextDelta("Found.")],
            [calls("leave")],
        ]
    )
    turn = Turn(interruption=Interruption(acknowledgements=("right",)))
    agent = definition(
        greeting=Greeting(say="Welcome."),
        turn=turn,
        limits=Limits(idle_prompt=IdlePrompt(after=Duration(20.0), say="Still there?", times=1)),
    )
    tools = FakeTools({"look": look, "leave": leave})
    async with calling(agent=agent, script=lambda _: next(answers), tools=tools) as call:
        await call.room.silent(2)
        await call.say("When do you open?")
        await call.room.speak(call.learn(""), 0.4)  # a cough
        await call.room.silent(12)
        await call.say("Look it up twice.")
        await call.room.silent(2)
        await call.room.silent(30)  # away
        await call.say("Goodbye then.")
        await call.room.silent(3)
        await call.task
        call.records = list(call.records)
        return call


@pytest.fixture(scope="module")
def eventful() -> Call:
    return run_virtual(_eventful())


def test_what_is_published_is_what_the_journal_tells(eventful: Call) -> None:
    assert eventful.events == events_of(eventful)


def test_every_event_has_the_fields_that_are_documented(eventful: Call) -> None:
    for event in eventful.events:
        assert tuple(sorted(event.data)) == tuple(sorted(EVENT_TYPES[event.type].fields)), event.type


def test_a_call_in_which_all_of_it_happens_tells_nearly_all_of_it(eventful: Call) -> None:
    rare = {
        "call_muted",
        "consent_updated",
        "rpc_received",
        "error",
        "agent_handoff",
        "agent_edited",
        "participant_left",
        "participant_muted",
        "participant_updated",
        "participant_unheard",
        "transfer_updated",
        "language_changed",
        "variables_changed",
        "tools_changed",
        "task_started",
        "task_updated",
        "task_ended",
        "dtmf_received",
        "dtmf_sent",
        "user_speech_limit",
    }
    assert {event.type for event in eventful.events} == EVENT_TYPES.keys() - rare


def test_states_follow_each_other_without_a_gap(eventful: Call) -> None:
    for name, first in (("user_state_changed", "listening"), ("agent_state_changed", "initializing")):
        state: object = first
        for change in of(eventful, name):
            assert change["old_state"] == state
            state = change["new_state"]
    assert ("listening", "away") in [
        (each["old_state"], each["new_state"]) for each in of(eventful, "user_state_changed")
    ]


def test_the_conversation_is_told_as_it_was_held(eventful: Call) -> None:
    items = of(eventful, "conversation_item_added")
    assert [(item["role"], item["text"]) for item in items] == [
        ("assistant", "Welcome."),
        ("user", "When do you open?"),
        ("assistant", LONG),
        ("user", "Look it up twice."),
        ("assistant", "Found."),
        ("assistant", "Still there?"),
        ("user", "Goodbye then."),
        ("assistant", "Goodbye."),
    ]


def test_a_cough_is_a_false_interruption_and_words_that_nobody_said(eventful: Call) -> None:
    (cough,) = of(eventful, "agent_false_interruption")
    assert (cough["resumed"], cough["rule"]) == (True, "short_sound")
    assert [each["outcome"] for each in of(eventful, "overlapping_speech")] == ["no_words"]
    (wordless,) = of(eventful, "user_transcription_timeout")
    assert wordless["speech_duration"] == pytest.approx(0.4, abs=0.1)


def test_calls_side_by_side_are_told_together_when_all_have_answered(eventful: Call) -> None:
    first = of(eventful, "function_tools_executed")[0]
    assert [(each["name"], each["content"], each["outcome"]) for each in first["calls"]] == [  # type: ignore[attr-defined]
        ("look", "look found", "ok"),
        ("look", "look found", "ok"),
    ]
    statuses = [each["status"] for each in of(eventful, "tool_execution_updated")]
    assert statuses == ["started", "started", "done", "done", "started", "done"]


def test_usage_adds_up(eventful: Call) -> None:
    steps = [each["metrics"] for each in of(eventful, "metrics_collected") if each["source"] == "usage"]
    total = of(eventful, "session_usage_updated")[-1]["usage"]
    assert total == {name: sum(step[name] for step in steps) for name in USAGE}  # type: ignore[index]
    assert restore(eventful.records).usage == total


def test_the_end_has_its_reason_and_its_category(eventful: Call) -> None:
    last = eventful.events[-1]
    assert last.type == "close"
    assert (last.data["reason"], last.data["category"]) == ("ended_by_agent", "task_completed")


@story
async def test_interim_words_are_told_as_such() -> None:
    async with calling(stt=FakeStreamingSTT()) as call:
        await call.say("When do you open?")
        told = of(call, "user_input_transcribed")
        assert [each["is_final"] for each in told][-1]
        assert not told[0]["is_final"]
        assert told[-1]["transcript"] == "When do you open?"


@story
async def test_a_provider_that_fails_is_an_error() -> None:
    async with calling(
        script=lambda _: [ProviderRefused("fake", "bad key")], fallback_llm=FakeLLM(says("Hi."))
    ) as call:
        await call.say("Hello.")
        assert any(
            each["metrics"].get("outcome") == "refused"  # type: ignore[attr-defined]
            for each in of(call, "metrics_collected")
        )


@story
async def test_a_caller_who_leaves_closes_the_call() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.room.leave(final=True)
        await call.task
        assert [each["final"] for each in of(call, "participant_left")] == [True]
        assert of(call, "close")[0]["category"] == "participant_disconnected"
