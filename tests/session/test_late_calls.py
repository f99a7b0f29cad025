"""Calls of tools that are long, repeated or brought later, in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentd.config.definition import Limits
from agentd.config.tools import Filler, RateLimit, ToolOptions, WebhookTool
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, ToolResult
from agentd.session.cancel_call import CANCEL_CALL
from agentd.session.explanation import explain
from agentd.session.history import ON_ITS_WAY
from agentd.session.plan import RESULT_CAME
from agentd.session.rates import Rates
from agentd.session.restore import restore
from agentd.tools.spec import EndCall, LateAnswer, Pending, Progress, ToolContext, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import calls
from tests.session.test_session import story

HOOK = WebhookTool(type="webhook", name="book", description="Book.", url="https://example.com/")
PUBLIC = "https://voice.example.com/agentd"


def options(**changes: Any) -> ToolOptions:
    return ToolOptions(**changes)


def results(call: Call) -> list[str]:
    return [item.content for item in call.session._conversation.history.items() if isinstance(item, ToolResult)]


def told(request: ChatRequest) -> str:
    """What came last: the instruction of a late result, a result, or the caller's words."""
    last = request.items[-1]
    return last.content if isinstance(last, ToolResult) else last.text  # type: ignore[union-attr]


def once(name: str = "book", arguments: str = '{"day": "Friday"}', after: str = "Done."):  # type: ignore[no-untyped-def]
    """A model that calls the tool in the first turn, and then says what it reads last."""
    left = [calls(name, arguments)]

    def script(request: ChatRequest) -> list[Any]:
        if left and request.tool_choice != "none":
            return [left.pop()]
        text = told(request)
        if text == ON_ITS_WAY:
            return [TextDelta("It is on its way.")]
        if text == RESULT_CAME:
            found = [item.content for item in request.items if isinstance(item, ToolResult)]
            return [TextDelta(f"By the way: {found[-1]}.")]
        return [TextDelta(after)]

    return script


async def slow(call: ToolCall, context: ToolContext) -> str:
    await asyncio.sleep(10)
    return "table 7"


# In the background.


@story
async def test_a_background_call_lets_the_agent_talk_on_and_its_result_is_a_turn_of_its_own() -> None:
    tools = FakeTools({"book": slow}, {"book": options(run="background")})
    async with calling(script=once(), tools=tools) as call:
        await call.say("A table, please.")
        await call.room.silent(3)
        assert call.agent_texts == ["It is on its way."]
        await call.say("And when do you open?")
        await call.room.silent(9)
        assert call.agent_texts == ["It is on its way.", "Done.", "By the way: table 7."]
        assert results(call) == ["table 7"]
        assert [reply["purpose"] for reply in call.of("reply.started")] == ["answer", "answer", "result"]
        (detached,) = call.of("tool.detached")
        assert (detached["rule"], detached["value"]) == ("background", "tools.book.run=background")


@story
async def test_a_late_result_waits_until_the_caller_has_finished() -> None:
    tools = FakeTools({"book": slow}, {"book": options(run="background")})
    async with calling(script=once(), tools=tools) as call:
        await call.say("A table, please.")
        await call.room.silent(6.3)
        await call.say("Well, I was going to say that I like the place by the window", 4.0)
        await call.room.silent(6)
        assert [turn["purpose"] for turn in call.of("turn.agent")] == ["answer", "answer", "result"]
        assert not any(turn["interrupted"] for turn in call.of("turn.agent"))


@story
async def test_two_results_that_come_together_are_spoken_of_once() -> None:
    def script(request: ChatRequest) -> list[Any]:
        if told(request) == "Go.":
            return [calls("book", '{"n": 1}', "a"), calls("book", '{"n": 2}', "b")]
        return [TextDelta("Both." if told(request) == RESULT_CAME else "Wait.")]

    async with calling(script=script, tools=FakeTools({"book": slow}, {"book": options(run="background")})) as call:
        await call.say("Go.")
        await call.room.silent(15)
        assert call.agent_texts == ["Wait.", "Both."]
        assert results(call) == ["table 7", "table 7"]


@story
async def test_a_background_call_that_is_quick_is_answered_like_any_other() -> None:
    async def quick(call: ToolCall, context: ToolContext) -> str:
        return "table 3"

    async with calling(script=once(), tools=FakeTools({"book": quick}, {"book": options(run="background")})) as call:
        await call.say("A table, please.")
        await call.room.silent(4)
        assert call.agent_texts == ["Done."]
        assert not call.of("tool.detached")


@story
async def test_the_model_can_cancel_a_call_in_the_background_while_there_is_one() -> None:
    ended: list[str] = []

    async def book(call: ToolCall, context: ToolContext) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(call.id)
        return "never"

    def script(request: ChatRequest) -> list[Any]:
        match told(request):
            case "Book.":
                return [calls("book", '{"day": "Friday"}', "call-7")]
            case "Stop it.":
                return [calls(CANCEL_CALL, '{"call": "call-7"}', "call-8")]
        return [TextDelta("Fine.")]

    tools = FakeTools({"book": book}, {"book": options(run="background", cancellable=True)})
    async with calling(script=script, tools=tools) as call:
        await call.say("Book.")
        await call.room.silent(2)
        await call.say("Stop it.")
        await call.room.silent(2)
        assert ended == ["call-7"]
        offered = [[tool.name for tool in request.tools] for request in call.llm.requests]
        assert [CANCEL_CALL in names for names in offered] == [False, True, True, False]
        assert results(call) == [
            "The call was cancelled, as was asked for.",
            "The call of book is cancelled. What it has done already stays done.",
        ]
        assert [done["outcome"] for done in call.of("tool.completed")] == ["ok", "cancelled"]
        assert [turn["purpose"] for turn in call.of("turn.agent")] == ["answer", "answer"]


@story
async def test_a_call_that_may_not_be_cancelled_is_not_offered_to_be() -> None:
    async with calling(script=once(), tools=FakeTools({"book": slow}, {"book": options(run="background")})) as call:
        await call.say("A table, please.")
        await call.room.silent(2)
        assert [tool.name for tool in call.llm.requests[-1].tools] == ["book"]


# While one waits.


@story
async def test_fillers_come_in_turn_for_as_long_as_the_tool_takes() -> None:
    filler = Filler(after=Duration(1.0), every=Duration(4.0), say=("One moment.", "Still looking."))
    async with calling(script=once(), tools=FakeTools({"book": slow}, {"book": options(while_waiting=filler)})) as call:
        await call.say("A table, please.")
        await call.room.silent(14)
        spoken = [segment["text"] for segment in call.of("segment.started")]
        assert spoken[-1] == "Done."
        assert sorted(set(spoken[:-1])) == ["One moment.", "Still looking."]
        assert len(spoken) == 4
        assert spoken[0] == spoken[2] != spoken[1]


@story
async def test_progress_is_on_record_and_spoken_when_nothing_else_is() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        assert context.progress is not None
        context.progress(Progress(status="asking the kitchen", say="I am asking the kitchen."))
        context.progress(Progress(say="The kitchen thinks about it."))  # the agent is about to speak
        await asyncio.sleep(5)
        context.progress(Progress(status="nearly there"))
        return "table 7"

    async with calling(script=once(), tools=FakeTools({"book": book})) as call:
        await call.say("A table, please.")
        await call.room.silent(10)
        shown = [(each["status"], each["spoken"]) for each in call.of("tool.progress")]
        assert shown == [("asking the kitchen", True), ("", False), ("nearly there", False)]
        assert call.agent_texts[0].startswith("I am asking the kitchen.")
        statuses = [event.data["status"] for event in call.events if event.type == "tool_execution_updated"]
        assert statuses == ["started", "progress", "progress", "progress", "done"]
        (reply,) = [turn.reply for turn in explain("S1", call.records).turns]
        assert reply is not None
        assert reply.tools[0].progress[0] == "asking the kitchen"


@story
async def test_a_background_call_speaks_of_its_progress_only_into_silence() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        assert context.progress is not None
        await asyncio.sleep(0.5)
        context.progress(Progress(say="Too early."))  # the agent says that it is on its way
        await asyncio.sleep(5)
        context.progress(Progress(say="Half of it is done."))
        await asyncio.sleep(5)
        return "table 7"

    async with calling(script=once(), tools=FakeTools({"book": book}, {"book": options(run="background")})) as call:
        await call.say("A table, please.")
        await call.room.silent(15)
        assert [each["spoken"] for each in call.of("tool.progress")] == [False, True]
        assert call.agent_texts == ["It is on its way.", "Half of it is done.", "By the way: table 7."]


# The same again.


def twice(say: str = "Again."):  # type: ignore[no-untyped-def]
    """A model that calls the tool with the same arguments whenever the caller says anything."""

    def script(request: ChatRequest) -> list[Any]:
        if told(request).startswith("Book"):
            number = sum(isinstance(item, ToolCall) for item in request.items)
            order = ['{"day": "Friday", "for": 2}', '{"for": 2, "day": "Friday"}']
            return [calls("book", order[number % 2], f"call-{number}")]
        return [TextDelta("Well.")]

    return script


async def two_calls(tools: FakeTools, between_s: float = 2.0, gap: str = "") -> Call:
    async with calling(script=twice(), tools=tools) as call:
        await call.say("Book it.")
        await call.room.silent(between_s)
        if gap:
            await call.say(gap)
            await call.room.silent(2)
        await call.say("Book it again.")
        await call.room.silent(20)
        return call


@story
async def test_duplicates_are_allowed_unless_the_tool_says_otherwise() -> None:
    call = await two_calls(FakeTools({"book": slow}, {"book": options(run="background")}))
    assert len(call.tools.ran) == 2


@story
async def test_a_duplicate_of_a_call_under_way_is_rejected() -> None:
    policy = options(run="background", duplicates="reject")
    call = await two_calls(FakeTools({"book": slow}, {"book": policy}))
    assert len(call.tools.ran) == 1
    stopped = next(done for done in call.of("tool.completed") if "rule" in done)
    assert (stopped["outcome"], stopped["rule"]) == ("duplicate", "duplicate_call")
    assert stopped["value"] == "tools.book.duplicates=reject"
    assert results(call)[0] == "table 7"
    explained = [turn.reply.tools[0] for turn in explain("S1", call.records).turns if turn.reply]
    assert explained[0].stopped is None
    assert explained[1].stopped is not None
    assert explained[1].stopped.why == "the same call was under way, or had just been made"


@story
async def test_a_duplicate_of_a_call_that_has_ended_is_rejected_with_its_result_within_the_window() -> None:
    policy = options(run="background", duplicates="reject", duplicate_window=Duration(60))
    call = await two_calls(FakeTools({"book": slow}, {"book": policy}), between_s=20)
    assert len(call.tools.ran) == 1
    assert results(call)[1].endswith("Its result was: table 7")
    late = options(run="background", duplicates="reject", duplicate_window=Duration(5))
    call = await two_calls(FakeTools({"book": slow}, {"book": late}), between_s=20)
    assert len(call.tools.ran) == 2


@story
async def test_a_duplicate_can_replace_the_call_under_way() -> None:
    call = await two_calls(FakeTools({"book": slow}, {"book": options(run="background", duplicates="replace")}))
    assert [done["outcome"] for done in call.of("tool.completed")] == ["cancelled", "ok"]
    assert results(call) == ["The call was cancelled: the same call was made again.", "table 7"]


@story
async def test_a_duplicate_is_made_once_the_caller_was_asked() -> None:
    policy = options(run="background", duplicates="confirm")

    def script(request: ChatRequest) -> list[Any]:
        if told(request).startswith("Book"):
            number = sum(isinstance(item, ToolCall) for item in request.items)
            return [calls("book", "{}", f"call-{number}")]
        return [TextDelta("Shall I do it again?")]

    async with calling(script=script, tools=FakeTools({"book": slow}, {"book": policy})) as call:
        await call.say("Book it.")
        await call.room.silent(2)
        await call.say("Book it.")
        await call.room.silent(1)
        assert len(call.tools.ran) == 1
        assert any("Ask the caller" in text for text in results(call))
        await call.say("Book it, yes.")
        await call.room.silent(2)
        assert len(call.tools.ran) == 2


@story
async def test_two_same_calls_side_by_side_are_one_where_duplicates_are_rejected() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(1)
        return call.id

    def script(request: ChatRequest) -> list[Any]:
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta("Done.")]
        return [calls("book", "{}", "a"), calls("book", "{}", "b")]

    async with calling(script=script, tools=FakeTools({"book": book}, {"book": options(duplicates="reject")})) as call:
        await call.say("Go.")
        await call.room.silent(4)
        assert [ran.id for ran in call.tools.ran] == ["a"]
        assert call.agent_texts == ["Done."]


# How often.


def every_turn(request: ChatRequest) -> list[Any]:
    if isinstance(request.items[-1], ToolResult):
        return [TextDelta("Done.")]
    number = sum(isinstance(item, ToolCall) for item in request.items)
    return [calls("look", json.dumps({"n": number}), f"call-{number}")]


async def look(call: ToolCall, context: ToolContext) -> str:
    return "seen"


@story
async def test_a_tool_can_be_called_so_often_in_a_session_and_again_later() -> None:
    limited = options(rate_limits=(RateLimit(calls=2, per=Duration(60)),))
    async with calling(script=every_turn, tools=FakeTools({"look": look}, {"look": limited})) as call:
        for _ in range(3):
            await call.say("Look.")
            await call.room.silent(2)
        assert len(call.tools.ran) == 2
        stopped = call.of("tool.completed")[-1]
        assert (stopped["outcome"], stopped["rule"]) == ("rate_limited", "rate_limit")
        assert stopped["value"] == "tools.look.rate_limits=2 in 1m of session"
        await call.room.silent(50)
        await call.say("Look.")
        await call.room.silent(2)
        assert len(call.tools.ran) == 3


@pytest.mark.parametrize(("of", "made"), [("session", 2), ("caller", 1), ("agent", 1)])
def test_limits_of_a_caller_and_of_the_agent_hold_over_sessions(of: Any, made: int) -> None:
    @story
    async def told_twice() -> None:
        rates = Rates()
        tools = FakeTools({"look": look}, {"look": options(rate_limits=(RateLimit(calls=1, per=Duration(60), of=of),))})
        for _ in range(2):
            async with calling(script=every_turn, tools=tools, rates=rates) as call:
                await call.say("Look.")
                await call.room.silent(2)
        assert len(tools.ran) == made

    told_twice()


def test_a_window_of_rates_slides_and_counts_nothing_that_was_refused() -> None:
    from agentd.session.rates import Limit

    rates, limit = Rates(), Limit("a", 2, 10.0)
    assert [rates.take([limit], at) is None for at in (0.0, 5.0, 6.0, 9.9, 10.0, 14.0, 15.1)] == [
        True, True, False, False, True, False, True,
    ]  # fmt: skip
    other = Limit("b", 1, 10.0)
    assert rates.take([other, limit], 16.0) == limit
    assert rates.take([other], 16.0) is None


# By callback.


async def pending(call: ToolCall, context: ToolContext) -> ToolOutcome:
    answer = ToolResult(call_id=call.id, name=call.name, content="ok")
    return ToolOutcome(result=answer, pending=Pending(timeout_s=30))


class Asked:
    """A webhook that answers later."""

    def __init__(self, outcome: Any = pending) -> None:
        self.contexts: list[ToolContext] = []
        self._outcome = outcome

    async def __call__(self, call: ToolCall, context: ToolContext) -> Any:
        self.contexts.append(context)
        return await self._outcome(call, context)

    @property
    def token(self) -> str:
        callback = self.contexts[-1].callback
        assert callback is not None
        return callback.token

    @property
    def key(self) -> str:
        return self.contexts[-1].key


def deliver(call: Call, asked: Asked, text: str = "table 9", token: str = "") -> str | None:
    return call.session.deliver(asked.key, token or asked.token, LateAnswer(content_type="text/plain", text=text))


@story
async def test_a_result_that_is_brought_later_becomes_a_turn() -> None:
    asked = Asked()
    async with calling(script=once(), tools=FakeTools({"book": asked}, {"book": HOOK}), callback_url=PUBLIC) as call:
        await call.say("A table, please.")
        await call.room.silent(4)
        assert call.agent_texts == ["It is on its way."]
        callback = asked.contexts[0].callback
        assert callback is not None
        assert callback.url == f"{PUBLIC}/v1/callbacks/S1/{asked.key}"
        assert callback.token not in json.dumps([record.data for record in call.records], default=str)
        assert deliver(call, asked, token="wrong") == "refused"
        assert deliver(call, asked) == "taken"
        assert call.of("tool.completed")[-1]["content"] == "table 9"  # on record before anything else happens
        assert deliver(call, asked) == "used"
        assert deliver(call, asked, token="wrong") == "refused"
        await call.room.silent(4)
        assert call.agent_texts == ["It is on its way.", "By the way: table 9."]
        assert results(call) == ["table 9"]


@story
async def test_a_result_that_does_not_come_is_told_and_one_that_is_late_is_refused() -> None:
    asked = Asked()
    async with calling(script=once(), tools=FakeTools({"book": asked}, {"book": HOOK}), callback_url=PUBLIC) as call:
        await call.say("A table, please.")
        await asyncio.sleep(0)
        call.session._conversation.calls.open[0].callback.expires_at -= 590  # type: ignore[union-attr]  # unix time
        await call.room.silent(40)
        assert call.of("tool.completed")[-1]["outcome"] == "timeout"
        assert deliver(call, asked) == "late"
        assert results(call) == ["Its result did not come in time."]


@story
async def test_a_result_may_come_before_the_answer_that_announces_it() -> None:
    async def hanging(call: ToolCall, context: ToolContext) -> ToolOutcome:
        await asyncio.sleep(3)
        return await pending(call, context)

    asked = Asked(hanging)
    async with calling(script=once(), tools=FakeTools({"book": asked}, {"book": HOOK}), callback_url=PUBLIC) as call:
        await call.say("A table, please.")
        await call.room.silent(0.2)
        assert deliver(call, asked) == "taken"
        await call.room.silent(5)
        assert results(call) == ["table 9"]
        assert len(call.of("tool.completed")) == 1


@story
async def test_without_a_public_address_no_callback_is_offered_and_the_model_is_told() -> None:
    asked = Asked()
    async with calling(script=once(), tools=FakeTools({"book": asked}, {"book": HOOK})) as call:
        await call.say("A table, please.")
        await call.room.silent(4)
        assert asked.contexts[0].callback is None
        assert "its result will not come" in results(call)[0]


# The model goes on and on.


@story
async def test_f24_the_same_call_three_times_in_one_answer_is_broken_off() -> None:
    def script(request: ChatRequest) -> list[Any]:
        number = sum(isinstance(item, ToolCall) for item in request.items)
        if request.tool_choice == "none":
            return [TextDelta("This is what I know.")]
        return [calls("look", '{"a": 1, "b": 2}' if number % 2 else '{"b": 2, "a": 1}', f"call-{number}")]

    agent = definition(limits=Limits(max_tool_steps=20))
    async with calling(agent=agent, script=script, tools=FakeTools({"look": look})) as call:
        await call.say("Look.")
        await call.room.silent(4)
        assert len(call.tools.ran) == 2
        assert call.agent_texts == ["This is what I know."]
        loops = [each for each in call.of("decision") if each["rule"] == "tool_loop"]
        assert [each["value"] for each in loops] == ["3 times the same call of look"]
        assert [done["outcome"] for done in call.of("tool.completed")] == ["ok", "ok", "loop"]
        (turn,) = explain("S1", call.records).turns
        assert turn.reply is not None
        assert turn.reply.tools_off is not None


@story
async def test_f24_after_so_many_rounds_the_model_answers_without_tools() -> None:
    def script(request: ChatRequest) -> list[Any]:
        number = sum(isinstance(item, ToolCall) for item in request.items)
        if request.tool_choice == "none":
            return [TextDelta("Enough.")]
        return [calls("look", json.dumps({"n": number}), f"call-{number}")]

    async with calling(script=script, tools=FakeTools({"look": look})) as call:
        await call.say("Look.")
        await call.room.silent(4)
        assert len(call.tools.ran) == 3
        assert call.agent_texts == ["Enough."]
        (loop,) = [each for each in call.of("decision") if each["rule"] == "tool_loop"]
        assert loop["value"] == "limits.max_tool_steps=3"


# In another process.


@story
async def test_limits_and_duplicates_know_the_calls_of_an_earlier_incarnation() -> None:
    policy = options(
        duplicates="reject", duplicate_window=Duration(600), rate_limits=(RateLimit(calls=2, per=Duration(600)),)
    )
    tools = FakeTools({"look": look, "book": look}, {"look": policy, "book": policy})
    async with calling(script=every_turn, tools=tools) as call:
        for _ in range(2):
            await call.say("Look.")
            await call.room.silent(2)
        records = list(call.records)
    assert len(tools.ran) == 2

    def again(request: ChatRequest) -> list[Any]:
        match told(request):
            case "Look.":
                return [calls("look", '{"n": 99}', "new")]
            case "Book.":
                return [calls("look", '{"n": 0}', "old")]
        return [TextDelta("Done.")]

    async with calling(script=again, tools=tools, restored=restore(records), incarnation=2) as call:
        await call.room.silent(2)
        await call.say("Look.")
        await call.room.silent(2)
        await call.say("Book.")
        await call.room.silent(2)
        assert len(tools.ran) == 2
        assert [done["rule"] for done in call.of("tool.completed")] == ["rate_limit", "duplicate_call"]


@story
async def test_a_result_that_was_not_spoken_of_yet_is_spoken_of_by_the_next_process() -> None:
    tools = FakeTools({"book": slow}, {"book": options(run="background")})
    script = once()
    async with calling(script=script, tools=tools) as call:
        await call.say("A table, please.")
        while not call.of("tool.completed"):
            await call.room.silent(0.1)
        seq = next(record.seq for record in call.records if record.kind == "tool.completed")
        records = call.records[: seq + 1]
    async with calling(script=script, tools=tools, restored=restore(records), incarnation=2) as call:
        await call.room.silent(6)
        assert call.agent_texts[-1] == "By the way: table 7."
        assert len(tools.ran) == 1


@story
async def test_an_interrupted_call_that_ends_with_its_reply_says_so_and_one_of_a_call_that_ends_does_not() -> None:
    tools = FakeTools({"book": slow}, {"book": options(cancel_on_interrupt=True)})
    async with calling(script=once(), tools=tools) as call:
        await call.say("A table, please.")
        await call.room.silent(1)
        await call.say("No, wait a moment.")
        await call.room.silent(1)
        assert results(call) == ["The call was cancelled because the caller interrupted."]
    async with calling(script=once(), tools=FakeTools({"book": slow})) as call:
        await call.say("A table, please.")
        call.room.leave()
        await call.task
        assert results(call) == ["The call was cancelled."]


@story
async def test_a_call_that_was_to_end_ends_in_the_next_process_too() -> None:
    async def end(call: ToolCall, context: ToolContext) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="The call ends.")
        return ToolOutcome(result=result, actions=(EndCall(say="Goodbye to you."),), reply=False)

    tools, script = FakeTools({"end_call": end}), once("end_call", "{}")
    async with calling(script=script, tools=tools) as call:
        await call.room.speak(call.learn("That was all."), 1.0)
        while not call.of("segment.started"):
            await call.room.silent(0.1)
        records = list(call.records)
    async with calling(script=script, tools=tools, restored=restore(records), incarnation=2) as call:
        await call.room.silent(6)
        assert await call.task == "ended_by_agent"
        assert call.agent_texts[-1].endswith("Goodbye to you.")
        assert len(tools.ran) == 1
