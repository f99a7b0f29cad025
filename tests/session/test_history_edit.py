"""What the model knows, changed from outside: no call is parted from its result, and another process knows it too."""

from __future__ import annotations

import asyncio

from agentd.config.turns import Endpointing, Turn
from agentd.providers.chat import ChatContext, Entry
from agentd.providers.fields import Duration
from agentd.providers.llm import Message, TextDelta, ToolCall, ToolResult
from agentd.session.history import History
from agentd.session.restore import history_of, restore
from agentd.tools.acts import EditHistory
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import calls
from tests.session.test_session import LONG, story


def message(role: str, text: str, name: str = "") -> Entry:
    return Entry(name or f"given_{text[:4]}", Message(role=role, text=text))  # type: ignore[arg-type]


def shown(call: Call) -> list[str]:
    return [getattr(item, "text", type(item).__name__) for item in call.session._conversation.history.items()]


def agrees(call: Call) -> None:
    """The journal has the conversation that the session has."""
    assert history_of(call.records).items == call.session._conversation.history.items()


@story
async def test_a_message_is_added_at_the_end_and_the_next_answer_knows_it() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.session.do(EditHistory(edit="add", context=ChatContext((message("system", "The doctor is late."),))))
        await call.say("Is the doctor there?")
        assert ("system", "The doctor is late.") in call.last_request()
        assert shown(call) == ["Hello.", "Fine.", "The doctor is late.", "Is the doctor there?", "Fine."]
        (told,) = [e for e in call.events if e.type == "debug_message" and e.data["message"] == "ContextEdited"]
        assert (told.data["rule"], told.data["value"]) == ("operator", "add 1")
        agrees(call)


@story
async def test_the_conversation_is_replaced_but_for_its_system_messages() -> None:
    async with calling() as call:
        await call.say("Hello.")
        pinned = message("system", "Never tell prices.", "pinned")
        call.session.do(EditHistory(edit="add", context=ChatContext((pinned,))))
        await call.say("What does it cost?")
        given = ChatContext((pinned, message("user", "I am Ann."), message("assistant", "Good day, Ann.")))
        call.session.do(EditHistory(edit="replace", context=given))
        await call.say("Who am I?")
        assert call.last_request()[1:] == [
            ("system", "Never tell prices."),
            ("user", "I am Ann."),
            ("assistant", "Good day, Ann."),
            ("user", "Who am I?"),
        ]
        agrees(call)
        assert restore(call.records).items == call.session._conversation.history.items()


@story
async def test_it_is_cut_to_its_end_and_rounds_of_calls_go_whole() -> None:
    async def look(call: ToolCall, context: ToolContext) -> str:
        return "found"

    answers = iter([[calls("look")], [TextDelta("Found.")], [TextDelta("Bye.")]])
    async with calling(script=lambda _: next(answers), tools=FakeTools({"look": look})) as call:
        await call.say("Look it up.")
        await call.say("Thanks.")
        assert shown(call) == ["Look it up.", "ToolCall", "ToolResult", "Found.", "Thanks.", "Bye."]
        call.session.do(EditHistory(edit="keep", keep=4))
        await call.room.silent(0.1)
        assert shown(call) == ["Found.", "Thanks.", "Bye."]
        agrees(call)
        call.session.do(EditHistory(edit="keep", keep=0))
        await call.room.silent(0.1)
        assert shown(call) == []
        agrees(call)


@story
async def test_what_is_being_said_and_called_meanwhile_stays_behind_what_is_put_there() -> None:
    async def slow(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(4)
        return "found"

    def script(request: object) -> list[object]:
        return [TextDelta("Let me see."), calls("slow")] if len(call.llm.requests) == 2 else [TextDelta(LONG)]

    async with calling(script=script, tools=FakeTools({"slow": slow})) as call:  # type: ignore[arg-type]
        await call.say("Hello.")
        await call.room.silent(8)
        await call.say("Look it up.")
        call.session.do(EditHistory(edit="replace", context=ChatContext((message("user", "I am Ann."),))))
        await call.room.silent(0.1)
        assert shown(call)[0] == "I am Ann."
        assert shown(call)[-2:] == ["ToolCall", "ToolResult"]
        await call.room.silent(12)
        assert [type(item) for item in call.session._conversation.history.items()][-3:] == [
            ToolCall, ToolResult, Message,
        ]  # fmt: skip
        agrees(call)


def test_what_is_put_there_never_parts_a_call_from_its_result_and_may_have_any_ids() -> None:
    history = History()
    history.append((message("system", "Never tell prices.", "reply_1_a"), message("user", "Hello.", "turn_1")))
    call, result = ToolCall(id="a", name="look", arguments="{}"), ToolResult(call_id="a", name="look", content="x")
    given = (Entry("reply_1_a", call), Entry("other", result), message("user", "Hi.", "summary_of_mine"))
    history.replace(1, given)
    assert [type(item) for item in history.items()] == [Message, Message]
    again = History(history.items(), history.context().ids)
    again.summarize(1, "They said hello.")
    assert [item.text for item in again.items() if isinstance(item, Message)] == [
        "They said hello.", "Never tell prices.",
    ]  # fmt: skip


@story
async def test_a_change_throws_away_what_was_begun_early() -> None:
    patient = Turn(endpointing=Endpointing(min_delay=Duration(1.5)))
    async with calling(agent=definition(turn=patient)) as call:
        await call.room.speak(call.learn("Hello."), 1)
        await call.room.silent(0.8)
        assert len(call.llm.requests) == 1
        call.session.do(EditHistory(edit="add", context=ChatContext((message("system", "It rains."),))))
        await call.room.silent(3)
        (early,) = call.of("preemption")
        assert (early["outcome"], early["rule"]) == ("dropped", "context_changed")
        assert ("system", "It rains.") in call.last_request()


@story
async def test_the_next_process_goes_on_with_what_was_put_there() -> None:
    async with calling() as call:
        await call.say("Hello.")
        call.session.do(EditHistory(edit="replace", context=ChatContext((message("user", "I am Ann."),))))
        await call.room.silent(0.1)
        records = list(call.records)
    async with calling(restored=restore(records), incarnation=2) as again:
        await again.room.silent(4)
        await again.say("Who am I?")
        assert ("user", "I am Ann.") in again.last_request()
        assert ("user", "Hello.") not in again.last_request()
