"""What tools do to a session while they run, and what a session does about a model that calls them wrongly."""

import asyncio
from typing import Any

from agentd.cli.explained import text_of
from agentd.config.definition import Limits
from agentd.config.turns import Turn
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session.events import (
    InterruptionsAllowed,
    PauseSpeech,
    ReplyAudible,
    ReplyStarted,
    ResumeSpeech,
    SpeechStarted,
)
from agentd.session.explanation import explain
from agentd.session.restore import Restored, restore
from agentd.session.turns import TurnMachine
from agentd.tools.acts import InterruptSpeech
from agentd.tools.spec import ChangeTools, ToolContext, ToolOutcome
from tests.fakes.call import FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import calls


def story(coroutine_function):  # type: ignore[no-untyped-def]
    """A test that runs in virtual time."""

    def test() -> None:
        run_virtual(coroutine_function())

    test.__name__ = coroutine_function.__name__
    test.__doc__ = coroutine_function.__doc__
    return test


PAY = {"ref": "tools.shop:pay", "name": "pay", "description": "Pays.", "parameters": {"type": "object"}}


def outcome(call: ToolCall, text: str, **more: Any) -> ToolOutcome:
    return ToolOutcome(result=ToolResult(call_id=call.id, name=call.name, content=text), **more)


def once(name: str, then: str) -> Any:
    """A model that calls this tool, and then speaks."""

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta(then)] if isinstance(request.items[-1], ToolResult) else [calls(name)]

    return script


@story
async def test_progress_is_spoken_in_the_silence_and_is_an_event() -> None:
    async def slow(call: ToolCall, context: ToolContext) -> str:
        assert context.update is not None
        await asyncio.sleep(1)
        await context.update("Half of it is found.")
        await context.update("And this comes while that is spoken.")
        await asyncio.sleep(4)
        return "found"

    async with calling(script=once("slow", "Found it."), tools=FakeTools({"slow": slow})) as call:
        await call.say("Look it up.")
        await call.room.silent(8)
        assert call.agent_texts == ["Half of it is found. Found it."]
        assert [each["status"] for each in call.of("tool.progress")] == [
            "Half of it is found.",
            "And this comes while that is spoken.",
        ]
        told = [each.data for each in call.events if each.type == "tool_execution_updated"]
        assert [each["status"] for each in told] == ["started", "progress", "progress", "done"]
        assert told[1]["content"] == "Half of it is found."


@story
async def test_a_tool_can_forbid_interruptions_as_long_as_it_runs() -> None:
    async def pays(call: ToolCall, context: ToolContext) -> str:
        assert context.hold is not None
        context.hold()
        await asyncio.sleep(5)
        return "paid"

    def script(request):  # type: ignore[no-untyped-def]
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta("It is paid, and you will get a receipt by post in a few days, I am told by the bank.")]
        return [TextDelta("I am paying now, please do hold the line until this is done. "), calls("pays")]

    async with calling(script=script, tools=FakeTools({"pays": pays})) as call:
        await call.room.speak(call.learn("Pay it."), 1.0)
        await call.room.silent(1.5)
        await call.say("Stop, stop it!", 0.8)
        call.session.do(InterruptSpeech())
        await call.room.silent(1)
        assert not [each for each in call.of("decision") if each["action"] == "Interrupt"]
        assert call.session._parts.speaking.reply is not None
        await call.room.silent(4)  # the tool has answered: its words may be cut again
        call.session.do(InterruptSpeech())
        await call.room.silent(1)
        assert [each["rule"] for each in call.of("decision") if each["action"] == "Interrupt"] == ["operator"]


def test_a_held_sound_goes_on_when_a_tool_forbids_interruptions() -> None:
    machine = TurnMachine(Turn(), streaming=True, warm=True)
    machine.step(ReplyStarted(interruptible=True), 0.0)
    machine.step(ReplyAudible(), 0.5)
    assert [type(each) for each in machine.step(SpeechStarted(1.0), 1.0)] == [PauseSpeech]
    decisions = machine.step(InterruptionsAllowed(False), 1.1)
    assert decisions == [ResumeSpeech(rule="tool_disallows_interruptions")]
    assert machine.step(InterruptionsAllowed(True), 1.2) == []
    assert machine.state.interruptible


@story
async def test_f22_a_model_that_calls_wrongly_again_and_again_answers_without_tools_after_two_repairs() -> None:
    async def wrong(call: ToolCall, context: ToolContext) -> ToolOutcome:
        return outcome(call, "Wrong arguments: day is missing.", outcome="invalid_arguments")

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("I cannot.")] if request.tool_choice == "none" else [calls("wrong", "{")]

    agent = definition(limits=Limits(max_tool_steps=20))
    async with calling(script=script, tools=FakeTools({"wrong": wrong}), agent=agent) as call:
        await call.say("Go.")
        await call.room.silent(3)
        assert len(call.tools.ran) == 3, "the call and two repairs"
        assert call.agent_texts == ["I cannot."]
        (decision,) = [each for each in call.of("decision") if each["rule"] == "tool_args_invalid"]
        assert decision["action"] == "AnswerWithoutTools"
        (turn,) = explain("S1", call.records).turns
        assert turn.reply is not None
        assert turn.reply.tools_off is not None
        assert "answered without: the model had called its tools wrongly again and again" in text_of(
            explain("S1", call.records)
        )


@story
async def test_f23_unknown_tools_count_as_wrong_calls_and_one_that_works_begins_anew() -> None:
    answers = iter(["unknown_tool", "invalid_arguments", "ok", "unknown_tool", "unknown_tool", "unknown_tool"])

    async def wrong(call: ToolCall, context: ToolContext) -> ToolOutcome:
        return outcome(call, "There is no tool x.", outcome=next(answers))

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("I cannot.")] if request.tool_choice == "none" else [calls("x")]

    agent = definition(limits=Limits(max_tool_steps=20))
    async with calling(script=script, tools=FakeTools({"x": wrong}), agent=agent) as call:
        await call.say("Go.")
        await call.room.silent(3)
        assert len(call.tools.ran) == 6


@story
async def test_a_tool_changes_what_the_model_may_call_and_a_rescued_call_keeps_it() -> None:
    async def opens(call: ToolCall, context: ToolContext) -> ToolOutcome:
        return outcome(call, "ok", actions=(ChangeTools(changes={"pay": PAY, "opens": None}),))

    async def pay(call: ToolCall, context: ToolContext) -> str:
        return "paid"

    tools = FakeTools({"opens": opens, "other": pay}, adopted={"tools.shop:pay": pay})

    def script(request):  # type: ignore[no-untyped-def]
        names = [tool.name for tool in request.tools]
        if isinstance(request.items[-1], ToolResult) and request.items[-1].content == "paid":
            return [TextDelta("Paid.")]
        return [calls("pay" if "pay" in names else "opens")]

    async with calling(script=script, tools=tools) as call:
        await call.say("Pay.")
        await call.room.silent(3)
        assert call.agent_texts == ["Paid."]
        assert [[tool.name for tool in request.tools] for request in call.llm.requests] == [
            ["opens", "other"],
            ["other", "pay"],
            ["other", "pay"],
        ]
        (changed,) = [each.data for each in call.events if each.type == "tools_changed"]
        assert changed == {"added": ["pay"], "removed": ["opens"]}
        assert "+pay -opens" in text_of(explain("S1", call.records))
        restored: Restored = restore(call.records)
    assert restored.tools == {"pay": PAY, "opens": None}
    async with calling(script=script, tools=tools, restored=restored, incarnation=2) as call:
        await call.say("Pay again.")
        await call.room.silent(3)
        assert {tuple(tool.name for tool in request.tools) for request in call.llm.requests} == {("other", "pay")}
