"""Tasks as calls: asked, answered by voice, keys and the model, concluded, and carried over a death of the process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.cli.explained import text_of
from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import Greeting
from agentd.config.hooks import Hook, HookActions, ToolAction
from agentd.config.tasks import (
    CardNumberField,
    DateField,
    DigitsField,
    EmailField,
    NameField,
    PhoneField,
    Task,
    TaskDone,
)
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session.explanation import explain
from agentd.session.restore import restore
from agentd.tools.acts import BeginTask
from agentd.tools.spec import ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import FakeStreamingSTT, calls, says
from tests.session.test_session import story

NAME = NameField(type="name", name="caller", ask="Your name?")
PHONE = PhoneField(type="phone", name="phone", ask="Your number?", country_code="44")
DAY = DateField(type="date", name="day", ask="Which day?")
MAIL = EmailField(type="email", name="mail", ask="Your e-mail?", confirm="always")
CARD = CardNumberField(type="card_number", name="card", ask="The card?")


def agent(*fields: Any, hooks: tuple[Hook, ...] = (), **options: Any) -> Any:
    task = Task(name="booking", fields=fields, **{"at_start": True, "understanding": "rules", **options})
    return definition(greeting=Greeting(say="Hello."), tasks=(task,), hooks=hooks)


def ended(call: Call) -> dict[str, Any]:
    (record,) = call.of("task.ended")
    return dict(record)


@story
async def test_a_task_is_asked_answered_and_told_to_the_model() -> None:
    async with calling(agent=agent(NAME, PHONE), script=says("All booked.")) as call:
        await call.room.silent(3)
        await call.say("Jane Doe.")
        await call.say("oh seven seven double oh nine double oh one two three", 3)
        await call.room.silent(2)
        assert call.agent_texts == ["Hello.", "Your name?", "Your number?", "All booked."]
        assert ended(call)["values"] == {"caller": "Jane Doe", "phone": "+447700900123"}
        assert len(call.llm.requests) == 1  # the model was asked for nothing before it was over
        request = call.llm.requests[0]
        assert [type(item).__name__ for item in request.items[-3:]] == ["Message", "ToolCall", "ToolResult"]
        result = request.items[-1]
        assert isinstance(result, ToolResult)
        assert json.loads(result.content) == {
            "status": "complete",
            "values": {"caller": "Jane Doe", "phone": "+447700900123"},
        }
        assert request.variables["phone"] == "+447700900123"
        assert [e.type for e in call.events if e.type.startswith("task_")] == [
            "task_started", "task_updated", "task_updated", "task_ended",
        ]  # fmt: skip


@story
async def test_what_became_of_an_answer_is_explained() -> None:
    async with calling(agent=agent(PHONE), script=says("All booked.")) as call:
        await call.room.silent(3)
        await call.say("five five")
        await call.room.silent(3)
        await call.say("07700 900123", 2)
        await call.room.silent(2)
        explained = explain("S1", call.records)
        assert [(step.field, step.why) for turn in explained.turns for step in turn.tasks] == [
            ("phone", "digits were missing"),
            ("phone", "it was answered"),
        ]
        assert "booking, phone: digits were missing" in text_of(explained)


@story
async def test_what_is_complete_goes_to_a_tool_and_is_said_in_the_file_s_words() -> None:
    async def book(call: ToolCall, context: Any) -> str:
        assert json.loads(call.arguments) == {"caller": "Jane Doe", "note": "for Jane Doe"}
        return "Reference 42."

    done = TaskDone(
        tool=ToolAction(name="book", arguments={"caller": "{{ caller }}", "note": "for {{ caller }}"}),
        say="Thank you, {{ caller }}.",
    )
    tools = FakeTools({"book": book})
    async with calling(agent=agent(NAME, done=done), tools=tools) as call:
        await call.room.silent(3)
        await call.say("My name is Jane Doe.")
        await call.room.silent(2)
        assert call.agent_texts[-1] == "Thank you, Jane Doe."
        completed = call.of("tool.completed")[-1]
        assert json.loads(completed["content"])["book"] == "Reference 42."
        assert not call.llm.requests


@story
async def test_the_model_begins_a_task_with_what_it_knows_and_has_no_other_tools_meanwhile() -> None:
    async def collect(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content='{"status": "collecting"}')
        known = {"caller": "Jane Doe"}
        return ToolOutcome(result=result, actions=(BeginTask(task="booking", known=known),), reply=False)

    async def other(call: ToolCall, context: Any) -> str:
        return "never"

    def script(request: Any) -> Any:
        last = request.items[-1]
        names = {tool.name for tool in request.tools}
        if "set_value" in names:
            assert "collect_booking" not in names
            assert "other" not in names
            assert "The caller is being asked: " in request.items[0].text
            if isinstance(last, ToolResult):
                return [TextDelta(last.content.partition(": ")[2])]
            if last.text == "Call other.":
                return [calls("other")]
            return [calls("set_value", json.dumps({"field": "mail", "value": last.text}))]
        return [TextDelta("Done.")] if isinstance(last, ToolResult) else [calls("collect_booking")]

    tools = FakeTools({"collect_booking": collect, "other": other})
    file = agent(NAME, MAIL, at_start=False, understanding="model")
    async with calling(agent=file, tools=tools, script=script) as call:
        await call.room.silent(2)
        await call.say("A table for Jane Doe.")
        await call.room.silent(1)
        assert call.agent_texts[-1] == "Your e-mail?"
        await call.say("Call other.")
        assert [ran.name for ran in tools.ran] == ["collect_booking"]
        await call.say("jane at example")  # whatever the model says, this is no address
        assert not call.of("task.ended")
        assert "incomplete" in [step["rule"] for step in call.of("task.step")]
        await call.say("jane at example dot com")
        await call.room.silent(2)
        assert call.of("task.step")[-1]["state"]["given"]["mail"] == [
            "jane@example.com",
            "jane at example dot com",
            False,
        ]


@story
async def test_what_the_rules_do_not_understand_goes_to_the_model_which_cannot_confirm_a_no() -> None:
    def script(request: Any) -> Any:
        last = request.items[-1]
        if isinstance(last, ToolResult):
            return [TextDelta("I see.")]
        if "why" in last.text:
            return [TextDelta("To send you a confirmation. Your e-mail?")]
        return [calls("confirm_value", '{"right": true}')]

    async with calling(agent=agent(MAIL, understanding="auto"), script=script) as call:
        await call.room.silent(3)
        await call.say("Tell me why you need it")
        await call.room.silent(3)
        assert call.agent_texts[-1] == "To send you a confirmation. Your e-mail?"
        assert not call.of("task.step")
        await call.say("jane at example dot com")
        await call.room.silent(3)
        assert call.agent_texts[-1] == "I have jane at example dot com. Is that right?"
        await call.say("Maybe so, who can say in these times")
        await call.room.silent(1)
        assert ended(call)["values"] == {"mail": "jane@example.com"}  # the model took it for a yes


@story
async def test_a_caller_who_interrupts_the_question_answers_it() -> None:
    ask = "What is the name under which we shall keep the table for you and for all of your friends?"
    async with calling(agent=agent(replace(NAME, ask=ask), PHONE)) as call:
        await call.room.silent(2.5)
        await call.say("Jane Doe, please.")
        assert call.of("task.step")[0]["rule"] == "value"
        assert [turn["interrupted"] for turn in call.of("turn.agent")][1] is True
        assert call.agent_texts[-1] == "Your number?"


@story
async def test_silence_asks_again_and_in_the_end_gives_up() -> None:
    file = agent(replace(PHONE, retries=1, then="end_call", say="Goodbye then."), silence=Duration(5.0))
    async with calling(agent=file) as call:
        await call.room.silent(20)
        assert call.agent_texts == [
            "Hello.", "Your number?", "Sorry, I didn't catch that. Your number?", "Goodbye then.",
        ]  # fmt: skip
        await call.room.silent(3)
        assert call.task.result() == "ended_by_agent"
        assert (ended(call)["outcome"], ended(call)["field"]) == ("exhausted", "phone")


@story
async def test_keys_answer_interrupt_and_end_by_number_terminator_and_time() -> None:
    pin = DigitsField(type="digits", name="pin", length=4, ask="Please press the four digits of your code, one by one.")
    free = DigitsField(type="digits", name="order", ask="The order?")
    async with calling(agent=agent(pin, free, replace(free, name="again"))) as call:
        await call.room.silent(2)
        call.room.push("1234")
        await call.room.silent(2)
        assert call.agent_texts[-1] == "The order?"
        call.room.push("9*77#")
        await call.room.silent(2)
        call.room.push("55")
        await call.room.silent(6)
        assert ended(call)["values"] == {"pin": "1234", "order": "77", "again": "55"}
        assert [event.data["key"] for event in call.events if event.type == "dtmf_received"][:4] == ["1", "2", "3", "4"]


@story
async def test_keys_of_somebody_else_are_not_heard() -> None:
    pin = DigitsField(type="digits", name="pin", length=2)
    async with calling(agent=agent(pin)) as call:
        await call.room.silent(3)
        call.room.push("12", identity="stranger")
        await call.room.silent(2)
        assert not call.of("dtmf.received")
        assert not call.of("task.ended")


@story
async def test_the_builtin_asks_for_digits_and_gets_them_by_key_or_voice() -> None:
    async def collect(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content='{"status": "collecting"}')
        return ToolOutcome(result=result, actions=(BeginTask(task="digits", ask="Your customer number?"),), reply=False)

    def script(request: Any) -> Any:
        last = request.items[-1]
        return [TextDelta(last.content)] if isinstance(last, ToolResult) else [calls("collect_digits")]

    builtin = CollectDigitsTool(type="builtin", name="collect_digits", length=4)
    for answer in ("keys", "voice"):
        file = definition(tools=(builtin,))
        async with calling(agent=file, tools=FakeTools({"collect_digits": collect}), script=script) as call:
            await call.say("I have an order.")
            await call.room.silent(2)
            assert call.agent_texts[-1] == "Your customer number?"
            if answer == "keys":
                call.room.push("4711")
            else:
                await call.say("four seven double one")
            await call.room.silent(4)
            assert json.loads(call.llm.requests[-1].items[-1].content)["values"] == {"digits": "4711"}


@story
async def test_a_hook_begins_a_task_and_presses_keys() -> None:
    hooks = (
        Hook(on="participant_linked", do=HookActions(task="booking")),
        Hook(on="task_ended", if_={"outcome": "complete"}, do=HookActions(dtmf="1,2#")),
    )
    async with calling(agent=agent(NAME, at_start=False, hooks=hooks)) as call:
        await call.room.silent(3)
        await call.say("Jane Doe")
        await call.room.silent(2)
        assert call.of("task.started")[0]["by"] == "hook"
        assert call.room.pressed == ["1,2#"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_card_number_is_nowhere_but_in_the_tool_s_hands(streaming: bool) -> None:
    got: list[str] = []

    async def pay(call: ToolCall, context: Any) -> str:
        got.append(json.loads(call.arguments)["card"])
        return "Paid."

    @story
    async def run() -> None:
        tools = FakeTools({"pay": pay})
        done = TaskDone(tool=ToolAction(name="pay"))
        file = agent(NAME, replace(CARD, confirm="always"), MAIL, done=done, understanding="auto")
        stt = FakeStreamingSTT() if streaming else None
        async with calling(agent=file, tools=tools, stt=stt, script=says("Thank you.")) as call:
            await call.room.silent(3)
            await call.say("Jane Doe")
            await call.say("It is four two four two, 4242 4242", 3)
            await call.say("forty two forty two", 3)
            await call.room.silent(4)
            assert call.agent_texts[-1] == "I have the number ending in 4 2 4 2. Is that right?"
            await call.say("Yes, 4242 4242 4242 4242", 3)
            await call.say("jane at example dot com")
            await call.room.silent(4)
            await call.say("yes")
            await call.room.silent(2)
            assert got == ["4242424242424242"]
            everything = "\n".join(str(record) for record in call.records)
            everything += "\n".join(str(event) for event in call.events)
            everything += "\n".join(str(request) for request in call.llm.requests)
            everything += str(call.room.captioned) + str([c.text for c in call.room.captions.values()])
            everything += Path(call.journal.path).read_text(errors="replace")
            for secret in ("4242 4242", "42424242", "four two", "forty two", "4 2 4 2 4"):
                assert secret not in everything, secret
            assert call.of("task.ended")[0]["values"]["card"] == "•••• 4242"
            assert call.session._conversation.variables["card"] == "•••• 4242"

    run()


@story
async def test_a_model_that_reads_the_turns_does_not_get_a_card_number() -> None:
    stt = FakeStreamingSTT()
    async with calling(agent=agent(CARD, understanding="model"), stt=stt, script=says("Thank you.")) as call:
        await call.room.silent(3)
        await call.say("My card is 4242 4242 4242 4242, and what is your name?", 4)
        await call.room.silent(2)
        assert ended(call)["values"] == {"card": "•••• 4242"}
        assert call.llm.requests
        assert "4242 4242" not in str(call.llm.requests) + str(call.records) + str(call.room.captioned)


@story
async def test_a_call_that_outlives_its_process_goes_on_in_the_task() -> None:
    file = agent(NAME, PHONE, DAY)
    async with calling(agent=file) as call:
        await call.room.silent(3)
        await call.say("Jane Doe.")
        await call.say("07700 900123", 2)
        records = list(call.records)
    for cut in range(len(records)):
        if records[cut].kind == "task.step":
            first = restore(records[: cut + 1])
            assert first.task is not None
    restored = restore(records)
    assert not restored.reply_owed
    async with calling(agent=file, restored=restored, incarnation=2, script=says("Booked.")) as call:
        await call.room.silent(4)
        assert call.agent_texts[-1].endswith("Which day?")
        assert not call.llm.requests
        await call.say("tomorrow")
        await call.room.silent(2)
        assert set(ended(call)["values"]) == {"caller", "phone", "day"}
        assert call.agent_texts[-1] == "Booked."


@story
async def test_a_turn_that_was_not_answered_when_the_process_died_is_asked_for_again() -> None:
    file = agent(NAME, PHONE)
    async with calling(agent=file) as call:
        await call.room.silent(3)
        await call.say("Jane Doe.")
        cut = next(n for n, record in enumerate(call.records) if record.kind == "turn.user")
        restored = restore(call.records[: cut + 1])
    assert restored.reply_owed
    async with calling(agent=file, restored=restored, incarnation=2) as call:
        await call.room.silent(4)
        assert call.agent_texts == ["Sorry, I lost you for a moment. Your name?"]
        assert not call.llm.requests


@story
async def test_several_calls_in_one_step_are_all_taken() -> None:
    def script(request: Any) -> Any:
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta("Thank you.")]
        return [
            calls("set_value", '{"field": "caller", "value": "Jane Doe"}', "c1"),
            calls("set_value", '{"field": "phone", "value": "07700 900123"}', "c2"),
            calls("set_value", '{"field": "phone", "value": "12"}', "c3"),
        ]

    async with calling(agent=agent(NAME, PHONE, DAY, understanding="model"), script=script) as call:
        await call.room.silent(3)
        await call.say("Jane Doe, 07700 900123")
        await call.room.silent(2)
        assert set(call.of("task.step")[-1]["state"]["given"]) == {"caller", "phone"}
        assert [done["outcome"] for done in call.of("tool.completed")] == ["ok"] * 4  # with the one that began it


@story
async def test_a_task_that_there_is_not_is_an_error_and_nothing_else() -> None:
    async with calling(agent=agent(NAME, at_start=False)) as call:
        call.session.do(BeginTask(task="nonsense"))
        await call.room.silent(1)
        assert call.of("error")[-1]["where"] == "task nonsense"
        await call.say("Hello.")
        assert call.agent_texts[-1] == "Fine."


@story
async def test_a_tool_that_was_under_way_when_the_process_died_is_not_called_again() -> None:
    async def book(call: ToolCall, context: Any) -> str:
        await asyncio.sleep(60)
        return "never"

    file = agent(NAME, done=TaskDone(tool=ToolAction(name="book")))
    tools = FakeTools({"book": book})
    async with calling(agent=file, tools=tools) as call:
        await call.room.silent(3)
        await call.say("Jane Doe.")
        await call.room.silent(1)
        assert len(tools.ran) == 1
        restored = restore(call.records)
    again = FakeTools({"book": book})
    async with calling(
        agent=file, tools=again, restored=restored, incarnation=2, script=says("I am not sure.")
    ) as call:
        await call.room.silent(4)
        assert again.ran == []
        assert not call.of("task.started")
        assert any("unknown" in text for role, text in call.last_request() if role == "result")


@story
async def test_a_tool_s_answer_begins_a_task_of_which_the_model_then_reads() -> None:
    async def look(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="nobody of that name")
        return ToolOutcome(result=result, actions=(BeginTask(task="booking", by="action"),), reply=False)

    def script(request: Any) -> Any:
        return [TextDelta("Done.")] if isinstance(request.items[-1], ToolResult) else [calls("look")]

    async with calling(agent=agent(NAME, at_start=False), tools=FakeTools({"look": look}), script=script) as call:
        await call.room.silent(2)
        await call.say("It is me.")
        await call.room.silent(2)
        assert call.agent_texts[-1] == "Your name?"
        await call.say("Jane Doe.")
        await call.room.silent(2)
        assert call.agent_texts[-1] == "Done."
        assert call.of("task.started")[0]["by"] == "action"
        results = [item for item in call.llm.requests[-1].items if isinstance(item, ToolResult)]
        assert [each.name for each in results] == ["look", "collect_booking", "collect_booking"]
        assert json.loads(results[-1].content)["values"] == {"caller": "Jane Doe"}
