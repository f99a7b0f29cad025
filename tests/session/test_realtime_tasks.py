"""Tasks with a realtime model: it leads in its own voice, and what it gives is checked. In virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import pytest

from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import AgentDefinition, Greeting
from agentd.config.hooks import HandoffAction, ToolAction
from agentd.config.tasks import DigitsField, EmailField, PhoneField, Task, TaskDone
from agentd.config.turns import Turn
from agentd.providers.fields import Duration
from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.restore import restore
from agentd.session.tasks import tasks_of
from agentd.tools.acts import BeginTask
from agentd.tools.spec import ToolOutcome
from tests.fakes.call import Call, FakeTools, definition
from tests.fakes.clock import run_virtual
from tests.fakes.realtime import FakeRealtime, Step, realtime_agent
from tests.session.test_realtime import MODELS_OWN, say, talking
from tests.session.test_realtime_handoff import pipeline, realtime, switchboard
from tests.session.test_session import story
from tests.session.test_tasks import CARD, DAY, MAIL, NAME, PHONE, ended

Script = Callable[[list[tuple[str, str]]], Iterable[Step]]

TASK_TOOLS = ["set_value", "confirm_value", "go_back", "skip_value", "give_up"]


def filed(*fields: Any, agent: Mapping[str, Any] | None = None, **options: Any) -> AgentDefinition:
    task = Task(name="booking", fields=fields, **{"at_start": True, **options})
    return realtime_agent(greeting=Greeting(say="Hello."), tasks=(task,), **(agent or {}))


def leads(makes: Mapping[str, Any], over: str = "All booked.") -> Script:
    """A model that makes of the caller's words what `makes` says: calls (name, arguments), or words of its own; and
    says what the task tells it to say."""
    number = count(1)

    def script(told: list[tuple[str, str]]) -> Iterable[Step]:
        role, text = [each for each in told if each[0] != "system"][-1]
        if role == "result":
            return [text.partition(": ")[2]] if text.startswith("Say now") else [over]
        made = makes[text]
        if isinstance(made, str):
            return [made]
        return [ToolCall(id=f"c{next(number)}", name=n, arguments=json.dumps(a)) for n, a in made]

    return script


def gives(field: str, value: str) -> tuple[str, dict[str, str]]:
    return "set_value", {"field": field, "value": value}


def model(makes: Mapping[str, Any], **options: Any) -> FakeRealtime:
    return FakeRealtime(script=leads(makes), **options)


def rules_of(call: Call) -> list[str]:
    return [step["rule"] for step in call.of("task.step")]


@pytest.mark.parametrize("detection", ["auto", "realtime"])
def test_the_model_leads_and_the_values_are_those_of_a_pipeline(detection: Any) -> None:
    async def told() -> None:
        ears = model({
            "Jane Doe.": [gives("caller", "Jane Doe")],
            "double oh seven seven": [gives("phone", "oh oh seven seven")],
            "oh seven seven double oh nine double oh one two three": [
                gives("phone", "oh seven seven double oh nine double oh one two three")
            ],
        })  # fmt: skip
        file = filed(NAME, PHONE, agent={"turn": Turn(detection=detection)})
        async with talking(model=ears, agent=file, tools=FakeTools({"other": None})) as (call, ears):  # type: ignore[dict-item]
            await call.room.silent(3)
            assert call.agent_texts == ["Hello.", "Your name?"]
            await say(call, ears, "Jane Doe.")
            during = ears.now.configuration
            assert [tool.name for tool in during.tools] == TASK_TOOLS
            assert "- caller (name): Jane Doe" in during.instructions
            assert "The caller is being asked: Your number?" in during.instructions
            assert call.agent_texts[-1] == "Your number?"
            await say(call, ears, "double oh seven seven", 2, after=4)
            assert "Your number?" in call.agent_texts[-1]  # with what is wrong with it
            assert not call.of("task.ended")
            await say(call, ears, "oh seven seven double oh nine double oh one two three", 3, after=4)
            assert call.agent_texts[-1] == "All booked."
            assert ended(call)["values"] == {"caller": "Jane Doe", "phone": "+447700900123"}
            assert rules_of(call) == ["value", "too_short", "value"]
            assert {each["outcome"] for each in call.of("preemption")} <= {"used"}  # calls that were made early
            assert call.session._conversation.variables["phone"] == "+447700900123"
            assert [tool.name for tool in ears.now.configuration.tools] == ["other"]
            assert "being asked" not in ears.now.configuration.instructions
            assert ears.now.refused == []
            assert call.of("error") == []
            assert restore(call.records).items == call.session._conversation.history.items()

    run_virtual(told())


@story
async def test_what_is_to_be_confirmed_is_and_a_no_is_none_whatever_the_model_makes_of_it() -> None:
    yes = [("confirm_value", {"right": True})]
    ears = model({
        "jane at example dot com": [gives("mail", "jane at example dot com")],
        "No.": yes, "I said Jayne.": [gives("mail", "jayne at example dot com")], "Yes.": yes,
    })  # fmt: skip
    async with talking(model=ears, agent=filed(MAIL)) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, "jane at example dot com", 2, after=5)
        assert call.agent_texts[-1] == "I have jane at example dot com. Is that right?"
        await say(call, ears, "No.")
        assert not call.of("task.ended")
        assert ("result", "The caller did not say yes. Ask what is right.") in ears.now.told
        await say(call, ears, "I said Jayne.", after=6)
        await say(call, ears, "Yes.")
        await call.room.silent(2)
        assert ended(call)["values"] == {"mail": "jayne@example.com"}
        assert rules_of(call) == ["value", "value", "confirmed"]


@story
async def test_a_caller_corrects_goes_back_leaves_out_and_hears_all_of_it_at_the_end() -> None:
    mail = EmailField(type="email", name="mail", ask="Your e-mail?", optional=True)
    ears = model({
        "Jane Doe.": [gives("caller", "Jane Doe")],
        "No wait, Joan Doe.": [gives("caller", "Joan Doe")],
        "Tomorrow.": [gives("day", "tomorrow")],
        "Can we go back?": [("go_back", {})],
        "the fifth of march": [gives("day", "the fifth of march")],
        "I have none.": [("skip_value", {})],
        "Yes.": [("confirm_value", {"right": True})],
    })  # fmt: skip
    async with talking(model=ears, agent=filed(NAME, DAY, mail, read_back=True)) as (call, ears):
        await call.room.silent(3)
        for words in ("Jane Doe.", "No wait, Joan Doe.", "Tomorrow.", "Can we go back?", "the fifth of march"):
            await say(call, ears, words, after=4)
        await say(call, ears, "I have none.", after=12)
        await say(call, ears, "Yes.", after=4)
        await call.room.silent(4)
        values = ended(call)["values"]
        assert values["caller"] == "Joan Doe"
        assert values["day"].endswith("-03-05")
        assert "mail" not in values
        assert rules_of(call) == ["value", "value", "value", "went_back", "value", "skipped", "confirmed"]
        assert any("Joan Doe" in text and "5" in text for text in call.agent_texts)


@story
async def test_the_model_begins_a_task_with_what_it_heard_and_a_tool_has_the_values() -> None:
    async def collect(call: ToolCall, context: Any) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content='{"status": "collecting"}')
        known = json.loads(call.arguments)
        return ToolOutcome(result=result, actions=(BeginTask(task="booking", known=known),), reply=False)

    async def book(call: ToolCall, context: Any) -> str:
        assert json.loads(call.arguments) == {"caller": "Jane Doe", "phone": "+447700900123"}
        return "Reference 42."

    ears = model({
        "A table for Jane Doe.": [("collect_booking", {"caller": "Jane Doe"})],
        "07700 900123": [gives("phone", "07700 900123")],
    })  # fmt: skip
    done = TaskDone(tool=ToolAction(name="book"), say="Thank you, {{ caller }}.")
    tools = FakeTools({"collect_booking": collect, "book": book})
    async with talking(model=ears, agent=filed(NAME, PHONE, at_start=False, done=done), tools=tools) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, "A table for Jane Doe.", after=4)
        assert call.agent_texts[-1] == "Your number?"
        await say(call, ears, "07700 900123", 2, after=4)
        assert call.agent_texts[-1] == "Thank you, Jane Doe."
        assert json.loads(call.of("tool.completed")[-1]["content"])["book"] == "Reference 42."
        assert ears.now.refused == []


@story
async def test_a_model_that_writes_for_a_voice_leads_too() -> None:
    ears = model({"Jane Doe.": [gives("caller", "Jane Doe")]})
    async with talking(model=ears, agent=filed(NAME, agent={"tts": definition().tts})) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, "Jane Doe.", after=4)
        assert [text for text in call.agent_texts if text] == ["Hello.", "Your name?", "All booked."]
        assert [text for text in call.tts.spoken if text] == ["Hello.", "Your name?", "All booked."]
        assert ended(call)["values"] == {"caller": "Jane Doe"}


@story
async def test_silence_keys_and_the_last_retry_are_as_with_a_pipeline() -> None:
    pin = DigitsField(type="digits", name="pin", length=4, ask="The code?", retries=1, then="end_call", say="Goodbye.")
    async with talking(model=model({}), agent=filed(pin, silence=Duration(5.0))) as (call, _):
        await call.room.silent(25)
        assert call.agent_texts == ["Hello.", "The code?", "Sorry, I didn't catch that. The code?", "Goodbye."]
        assert call.task.result() == "ended_by_agent"
    async with talking(model=model({}), agent=filed(pin)) as (call, _):
        await call.room.silent(3)
        call.room.push("4711")
        await call.room.silent(3)
        assert ended(call)["values"] == {"pin": "4711"}
        assert call.agent_texts[-1] == "All booked."


@story
async def test_the_builtin_asks_for_digits_which_rules_read_from_the_transcript() -> None:
    builtin = CollectDigitsTool(type="builtin", name="collect_digits", length=4, prompt="Your customer number?")
    async with talking(model=model({}), agent=realtime_agent(tools=(builtin,))) as (call, ears):
        assert list(tasks_of(call.session._conversation.definition)) == ["digits"]
        call.session.do(BeginTask(task="digits"))
        await call.room.silent(3)
        await say(call, ears, "four seven double one", 2, after=4)
        assert ended(call)["values"] == {"digits": "4711"}


@story
async def test_rules_ask_again_for_what_nobody_could_write_down_and_the_model_need_not() -> None:
    async with talking(model=model({}), agent=filed(NAME, understanding="rules")) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, None, after=7)
        assert call.user_texts == ["(not transcribed)"]
        assert rules_of(call) == ["nothing"]
        assert call.agent_texts[-1] == "Sorry, I didn't catch that. Your name?"
    hears = model({"": [gives("caller", "Jane Doe")]})  # the sound says it
    async with talking(model=hears, agent=filed(NAME)) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, None, after=7)
        assert ended(call)["values"] == {"caller": "Jane Doe"}


@pytest.mark.parametrize("detection", ["auto", "realtime"])
def test_a_card_number_is_not_in_what_the_model_keeps(detection: Any) -> None:
    got: list[str] = []

    async def pay(call: ToolCall, context: Any) -> str:
        got.append(json.loads(call.arguments)["card"])
        return "Paid."

    async def told() -> None:
        file = filed(CARD, NAME, done=TaskDone(tool=ToolAction(name="pay")), agent={"turn": Turn(detection=detection)})
        ears = model({"Jane Doe.": [gives("caller", "Jane Doe")]})
        async with talking(model=ears, agent=file, tools=FakeTools({"pay": pay})) as (call, ears):
            await call.room.silent(3)
            await say(call, ears, "It is four two four two, 4242 4242", 3, after=4)
            await say(call, ears, "forty two forty two", 3, after=5)
            assert call.agent_texts[-1] == "Your name?"
            await say(call, ears, "Jane Doe.", after=4)
            assert got == ["4242424242424242"]
            kept = str(ears.now.told) + str(ears.now.commands) + str(call.events) + str(call.records)
            kept += str(call.room.captioned)
            for secret in ("4242 4242", "42424242", "four two", "forty two"):
                assert secret not in kept, secret
            assert [text for role, text in ears.now.told if role == "user"] == ["It is •", "•", "Jane Doe."]
            assert ears.now.refused == []

    run_virtual(told())


@story
async def test_words_of_a_card_number_that_come_late_change_nothing() -> None:
    ears = model({}, words_s=8.0)
    async with talking(model=ears, agent=filed(CARD, agent={"turn": MODELS_OWN})) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, "4242 4242 4242 4242", 3, after=14)
        assert rules_of(call) == ["nothing"]
        assert "4242" not in str(call.records) + str(ears.now.told)
        assert call.of("turn.corrected") == []


@story
async def test_a_rescued_call_asks_the_question_that_was_open() -> None:
    file = filed(NAME, PHONE)
    async with talking(model=model({"Jane Doe.": [gives("caller", "Jane Doe")]}), agent=file) as (call, ears):
        await call.room.silent(3)
        await say(call, ears, "Jane Doe.", after=3)
        restored = restore(call.records)
    again = model({"07700 900123": [gives("phone", "07700 900123")]})
    async with talking(model=again, agent=file, restored=restored, incarnation=2) as (call, ears):
        await call.room.silent(5)
        assert call.agent_texts[-1].endswith("Your number?")
        await say(call, ears, "07700 900123", 2, after=4)
        assert ended(call)["values"] == {"caller": "Jane Doe", "phone": "+447700900123"}
        assert ears.now.refused == []


@story
async def test_a_task_ends_where_the_call_is_handed_over_to_a_pipeline() -> None:
    phone = PhoneField(
        type="phone", name="phone", ask="Your number?", country_code="44", retries=0, then="handoff",
        handoff=HandoffAction(agent="office"),
    )  # fmt: skip
    task = Task(name="booking", fields=(phone,), at_start=True, silence=Duration(4))
    one = model({})
    async with switchboard((realtime("desk", tasks=(task,)), one), (pipeline("office"), None)) as board:
        await board.call.room.silent(12)
        assert board.ways() == [("desk", "office", "closed")]
        assert board.call.of("task.ended")[0]["outcome"] == "exhausted"
        assert board.call.agent_texts[-1] == "Here is the pipeline."
