"""Hooks of a call: given its events in order, beside it, and never what they caused themselves. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.config.definition import AgentDefinition, Limits
from agentd.config.hooks import EndAction, Hook, HookActions, ToolAction
from agentd.config.turns import MaxSpeech, Turn
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration
from agentd.providers.llm import ToolCall, ToolResult
from agentd.providers.tts import SpeechChunk
from agentd.session.hook_queue import EVENTS_WAITING, HookQueue, Waiting
from agentd.session.numbered_hooks import key_of
from agentd.session.restore import Restored, restore
from agentd.tools.acts import GenerateReply, InterruptSpeech, SayText
from agentd.tools.spec import EndCall, Event, HookOutcome, SetLanguage, SetVariables, ToolContext, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import FakeTTS, says
from tests.session.test_session import LONG, story


def hook(on: str, *, if_: Mapping[str, Any] | None = None, timeout: float | None = None, **do: Any) -> Hook:
    limit = None if timeout is None else Duration(timeout)
    return Hook(on=on, if_=if_ or {}, do=HookActions(**do), timeout=limit)


def hooked(*hooks: Hook, **changes: Any) -> AgentDefinition:
    places = {f"hooks[{n}]": f"agents.d/test.yaml:{10 + n}" for n in range(len(hooks))}
    return replace(definition(**changes), hooks=hooks, places=places)


def python(*functions: Callable[[Event, ToolContext], Any]) -> FakeTools:
    """Hooks' code as `tools.code:NAME`."""
    return FakeTools(hooks={f"tools.code:{function.__name__}": function for function in functions})


def ref(function: Callable[..., Any]) -> str:
    return f"tools.code:{function.__name__}"


def outcomes(call: Call) -> list[tuple[int, str, str]]:
    return [(each["hook"], each["event"], each["outcome"]) for each in call.of("hook.completed")]


# What a hook gets and does.


@story
async def test_a_function_gets_the_events_that_it_is_on_in_order_and_no_others() -> None:
    seen: list[Event] = []

    async def look(event: Event, context: ToolContext) -> None:
        seen.append(event)

    async with calling(agent=hooked(hook("participant_*", python=ref(look))), tools=python(look)) as call:
        await call.say("Hello.")
        call.room.leave(final=False)
        await call.room.silent(1)
        call.room.link(returned=True)
        await call.room.silent(1)
    assert [(event.type, event.data.get("returned")) for event in seen] == [
        ("participant_linked", False),
        ("participant_left", None),
        ("participant_linked", True),
    ]
    assert seen == [event for event in call.events if event.type.startswith("participant_")]


@story
async def test_a_condition_is_about_the_fields_of_the_event() -> None:
    hooks = (
        hook("user_state_changed", if_={"new_state": "away"}, say="Are you still there?"),
        hook("conversation_item_added", if_={"role": {"in": ["user"]}, "turn": {"min": 2}}, set={"second": True}),
    )
    async with calling(agent=hooked(*hooks)) as call:
        await call.say("Hello.")
        assert outcomes(call) == []
        await call.say("Hello again.")
        assert outcomes(call) == [(1, "conversation_item_added", "ok")]
        await call.room.silent(20)
        assert call.agent_texts[-1] == "Are you still there?"
        assert call.session._conversation.variables["second"] is True


@story
async def test_actions_are_done_in_order_and_templates_know_the_event_and_the_variables() -> None:
    async def look(call: ToolCall, context: ToolContext) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="found")
        return ToolOutcome(result=result, actions=(SetVariables(values={"looked": call.arguments}),))

    actions = {
        "set": {"who": "Ann"},
        "tool": ToolAction(name="look", arguments={"for": ["{{ event.identity }}"], "n": 2}),
        "say": "Hello {{ who }}, {{ event.identity }}.",
        "end": EndAction(say="That was all."),
    }
    tools = FakeTools({"look": look})
    async with calling(agent=hooked(hook("participant_linked", **actions)), tools=tools) as call:
        await call.room.silent(6)
        assert call.agent_texts == ["Hello Ann, caller.", "That was all."]
        assert await call.task == "ended_by_agent"
        assert call.session._conversation.variables["looked"] == '{"for": ["caller"], "n": 2}'
        assert call.of("tool.called") == []  # the model did not call it, and does not learn of it


@story
async def test_the_model_can_be_asked_to_speak_and_braces_of_an_event_are_no_template() -> None:
    asks = hook(
        "conversation_item_added", if_={"role": "user", "text": "Braces {{ x }}."}, generate="Say: {{ event.text }}"
    )
    async with calling(agent=hooked(asks), script=says("Fine.")) as call:
        await call.say("Braces {{ x }}.")
        await call.room.silent(3)
        assert call.last_request()[-1] == ("system", "Say: Braces {{ x }}.")
        assert [each["where"] for each in call.of("error")] == []


@story
async def test_a_function_can_speak_cut_the_agent_see_the_history_and_set_variables() -> None:
    histories: list[list[str]] = []

    async def act(event: Event, context: ToolContext) -> HookOutcome:
        assert context.act is not None
        assert context.say is not None
        assert context.history is not None
        histories.append([getattr(item, "text", "") for item in context.history().items])
        context.act(InterruptSpeech())
        await context.say("Wait.")
        context.act(GenerateReply(instructions="Be kind."))
        return HookOutcome(actions=(SetVariables(values={"cut": True}),))

    agent = hooked(hook("agent_state_changed", if_={"new_state": "speaking"}, python=ref(act)))
    async with calling(agent=agent, script=says(LONG), tools=python(act)) as call:
        await call.say("When do you open?")
        await call.room.silent(12)
        assert call.agent_texts[1:] == ["Wait.", LONG]
        assert ("system", "Be kind.") in call.last_request()
        assert histories == [["When do you open?", LONG]]  # once: what it said itself is not told to it
        assert call.session._conversation.variables["cut"]


@story
async def test_a_hook_ends_the_call() -> None:
    async def leave(event: Event, context: ToolContext) -> HookOutcome:
        return HookOutcome(actions=(EndCall(say="Goodbye."),))

    agent = hooked(hook("user_state_changed", if_={"new_state": "away"}, python=ref(leave)))
    async with calling(agent=agent, tools=python(leave)) as call:
        await call.room.silent(20)
        assert await call.task == "ended_by_agent"
        assert call.agent_texts == ["Goodbye."]


# What a hook cannot harm.


@story
async def test_one_that_fails_or_hangs_is_an_error_with_its_place_and_the_call_goes_on() -> None:
    async def fail(event: Event, context: ToolContext) -> None:
        raise RuntimeError("no such patient")

    async def hang(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(1_000)

    agent = hooked(
        hook("participant_linked", python=ref(fail), say="Never said."),
        hook("participant_linked", python=ref(hang), timeout=2),
        hook("participant_linked", say="Welcome."),
    )
    async with calling(agent=agent, tools=python(fail, hang)) as call:
        await call.say("Hello.")
        await call.room.silent(4)
        assert outcomes(call) == [
            (0, "participant_linked", "error"),
            (1, "participant_linked", "timeout"),
            (2, "participant_linked", "ok"),
        ]
        assert [(each["where"], each["message"]) for each in call.of("error")] == [
            ("hook agents.d/test.yaml:10", "tools.code:fail: no such patient"),
            ("hook agents.d/test.yaml:11", "tools.code:hang: no answer within 2 s"),
        ]
        assert next(e.data["where"] for e in call.events if e.type == "error") == "hook agents.d/test.yaml:10"
        assert call.agent_texts == ["Fine.", "Welcome."]


@story
async def test_a_fault_of_ours_in_a_hook_ends_the_hook_and_not_the_call() -> None:
    async def odd(event: Event, context: ToolContext) -> HookOutcome:
        return HookOutcome(actions=(SetLanguage(language="xx"),))  # which the agent does not declare

    agent = hooked(hook("participant_linked", python=ref(odd)))
    async with calling(agent=agent, tools=python(odd)) as call:
        await call.say("Hello.")
        assert outcomes(call) == [(0, "participant_linked", "error")]
        assert call.agent_texts == ["Fine."]


@story
async def test_the_call_does_not_wait_for_a_slow_hook() -> None:
    async def slow(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(30)

    agent = hooked(hook("user_state_changed", python=ref(slow), timeout=40))
    async with calling(agent=agent, tools=python(slow)) as slowed, calling() as plain:
        for call in (slowed, plain):
            await call.say("When do you open?")
        assert slowed.of("turn.agent")[0]["latencies"] == plain.of("turn.agent")[0]["latencies"]


@story
async def test_events_that_come_faster_than_the_hooks_are_lost_oldest_first_and_said_to_be() -> None:
    seen: list[Event] = []

    async def slow(event: Event, context: ToolContext) -> None:
        seen.append(event)
        await asyncio.sleep(10 if len(seen) == 1 else 0)

    agent = hooked(hook("variables_changed", python=ref(slow), timeout=20))
    async with calling(agent=agent, tools=python(slow)) as call:
        for number in range(EVENTS_WAITING + 21):
            call.session._conversation.set_variables({"n": number})
            await asyncio.sleep(0)
        await call.room.silent(12)
        assert [event.data["values"]["n"] for event in seen] == [0, *range(21, EVENTS_WAITING + 21)]
        (dropped,) = call.of("hook.dropped")
        assert (dropped["events"], dropped["types"]) == (20, {"variables_changed": 20})
        (error,) = [event for event in call.events if event.type == "error"]
        assert error.data["where"] == "hooks"
        assert error.data["message"].startswith("20 events came too fast")


def test_what_a_call_begins_and_ends_with_is_not_what_is_lost() -> None:
    queue = HookQueue(capacity=3)
    for name in ("session_started", "participant_linked", "error", "error", "close", "debug_message"):
        queue.add(Waiting(Event(type=name, session="s", agent="a", at=0.0, data={}), (), frozenset()))
    assert [each.event.type for each in queue.waiting] == ["session_started", "participant_linked", "close"]
    assert queue.take_dropped() == {"error": 2, "debug_message": 1}
    assert queue.take_dropped() == {}


# No hook goes on for ever.


class NoVoice(FakeTTS):
    """It refuses every text."""

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        async for text in segments:
            raise ProviderRefused("fake", f"no voice for {text}")
        yield SpeechChunk(segment=0, frame=AudioFrame(b"", OUTPUT_HZ), last=True)


LOOPS: dict[str, Hook] = {
    "every event says": hook("*", say="Something."),
    "every event asks the model": hook("*", generate="Say something."),
    "a variable sets a variable": hook("variables_changed", set={"again": True}),
    "everything sets a variable": hook("*", set={"again": True}),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_hook_is_not_given_what_it_has_caused(name: str) -> None:
    @story
    async def run() -> None:
        async with calling(agent=hooked(LOOPS[name])) as call:
            call.session._conversation.set_variables({"first": True})
            await call.room.silent(60)
            before = len(call.of("hook.completed"))
            await call.room.silent(100)
            own = len(call.of("hook.completed")) - before
            assert 0 < before < 40
            assert own <= 1  # the caller is away

    run()


@story
async def test_two_hooks_do_not_go_on_because_of_each_other() -> None:
    ping = hook("variables_changed", if_={"values.pong": True}, set={"ping": True})
    pong = hook("variables_changed", if_={"values.ping": True}, set={"pong": True})
    async with calling(agent=hooked(ping, pong)) as call:
        call.session._conversation.set_variables({"ping": True})
        await call.room.silent(5)
        assert outcomes(call) == [(1, "variables_changed", "ok"), (0, "variables_changed", "ok")]


@story
async def test_a_hook_on_errors_that_fails_itself_does_so_once() -> None:
    async def interrupt(event: Event, context: ToolContext) -> None:
        assert context.act is not None
        context.act(SayText(text="Sorry."))
        context.act(InterruptSpeech(force=True))
        raise RuntimeError("again")

    agent = hooked(hook("error", python=ref(interrupt)), hook("debug_message", python=ref(interrupt)))
    async with calling(agent=agent, tts=NoVoice(), tools=python(interrupt)) as call:
        await call.say("Hello.")
        await call.room.silent(60)
        assert 0 < len(call.of("hook.completed")) < 40


@story
async def test_what_a_hook_said_is_known_as_its_own_also_in_the_next_incarnation() -> None:
    speaks = hook("speech_*", say="Something.")
    async with calling(agent=hooked(speaks), script=says(LONG)) as call:
        await call.say("Hello.")
        records = list(call.records)
    assert restore(records).waiting[0].causes == (0,)
    async with calling(agent=hooked(speaks), restored=restore(records), incarnation=2) as again:
        await again.room.silent(40)
        assert len([each for each in again.of("speech.created") if each["requested"]]) <= 2


# The beginning and the end of a call.


@story
async def test_hooks_on_the_beginning_are_not_run_again_when_the_call_goes_on_in_another_process() -> None:
    seen: list[str] = []

    async def enter(event: Event, context: ToolContext) -> None:
        seen.append(event.type)

    async def resumed(event: Event, context: ToolContext) -> None:
        seen.append(f"resumed {event.data['incarnation']}")

    hooks = (
        hook("session_started", python=ref(enter)),
        hook("participant_linked", python=ref(enter)),
        hook("session_started", if_={"incarnation": {"min": 2}}, python=ref(resumed)),
        hook("user_state_changed", if_={"new_state": "speaking"}, python=ref(enter)),
    )
    async with calling(agent=hooked(*hooks), tools=python(enter, resumed)) as call:
        await call.say("Hello.")
        records = list(call.records)
    assert seen == ["session_started", "participant_linked", "user_state_changed"]
    restored = restore(records)
    assert restored.entered == {(key_of(hooks[0]), "session_started"), (key_of(hooks[1]), "participant_linked")}
    seen.clear()
    async with calling(agent=hooked(*hooks), tools=python(enter, resumed), restored=restored, incarnation=2) as again:
        await again.room.silent(3)
        await again.say("Still there?")
        again.room.leave(final=False)
        await again.room.silent(1)
        again.room.link(returned=True)
        await again.room.silent(1)
    assert seen == ["resumed 2", "user_state_changed", "participant_linked"]


@story
async def test_a_beginning_that_the_first_process_did_not_come_to_is_told_by_the_next() -> None:
    async def enter(event: Event, context: ToolContext) -> None:
        """Nothing."""

    agent = hooked(hook("participant_linked", python=ref(enter)))
    async with calling(agent=agent, tools=python(enter), restored=Restored(), incarnation=2) as call:
        await call.room.silent(3)
        assert outcomes(call) == [(0, "participant_linked", "ok")]


@story
async def test_hooks_on_the_end_run_before_the_session_is_gone() -> None:
    seen: list[object] = []

    async def leave(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(3)
        assert context.history is not None
        seen.append((event.data["category"], len(context.history().items)))

    async with calling(agent=hooked(hook("close", python=ref(leave))), tools=python(leave)) as call:
        await call.say("Hello.")
        await call.room.silent(1)
        call.room.leave(final=True)
        assert await call.task == "caller_left"
        assert seen == [("participant_disconnected", 2)]
        assert call.records[-1].kind == "hook.completed"


@story
async def test_the_end_waits_for_hooks_only_so_long() -> None:
    ended: list[str] = []

    async def hang(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(1_000)

    async def note(event: Event, context: ToolContext) -> None:
        ended.append(event.type)

    agent = hooked(
        hook("participant_left", python=ref(hang), timeout=60),
        hook("close", python=ref(note)),
        hook("close", python=ref(hang), timeout=60),
    )
    async with calling(agent=agent, tools=python(hang, note)) as call:
        await call.say("Hello.")
        call.room.leave(final=True)
        async with asyncio.timeout(10.5):
            assert await call.task == "caller_left"
        assert ended == ["close"]
        assert outcomes(call) == [
            (0, "participant_left", "cancelled"), (1, "close", "ok"), (2, "close", "cancelled"),
        ]  # fmt: skip


# The limit for monologues.


@story
async def test_a_monologue_is_an_event_that_a_hook_can_act_on() -> None:
    turn = Turn(max_speech=MaxSpeech(after=Duration(5.0), say="Let me stop you there."))
    counts = hook("user_speech_limit", if_={"taken": False}, set={"monologue": True})
    async with calling(agent=hooked(counts, turn=turn, limits=Limits(away_after=None))) as call:
        await call.room.speak(call.learn("And so on and so on."), 8)
        await call.room.silent(3)
        (limit,) = [event for event in call.events if event.type == "user_speech_limit"]
        assert limit.data == {"taken": False, "rule": "max_speech", "value": "turn.max_speech.after=5.0"}
        assert call.session._conversation.variables["monologue"]
