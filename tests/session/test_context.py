"""A long conversation within its budget, and what another incarnation knows of it. In virtual time."""

from __future__ import annotations

from agentd.config.definition import Limits
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.session.budget import total_tokens
from agentd.session.history import History
from agentd.session.restore import restore
from tests.fakes.call import FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import calls, says
from tests.session.chaos import calls_have_results, check_history_against_journal

ANSWER = "The clinic is open from nine to five, and on Saturdays until noon, but never on a Sunday."


def test_requests_stay_within_the_budget_and_the_journal_knows_what_was_forgotten() -> None:
    async def story() -> None:
        agent = definition(limits=Limits(history_tokens=256))
        async with calling(agent=agent, script=says(ANSWER)) as call:
            for number in range(20):
                await call.say(f"Question number {number}.")
                await call.room.silent(8)
            for request in call.llm.requests:
                assert total_tokens(request.items[1:]) <= 256
                assert request.items[0] == Message(role="system", text="Be brief.")
            truncated = call.of("context.truncated")
            assert 2 <= len(truncated) <= 10  # not at every turn: the beginning holds for some
            assert truncated[0]["rule"] == "history_tokens"
            assert truncated[0]["value"] == "limits.history_tokens=256"
            assert call.last_request()[-1] == ("user", "Question number 19.")
            check_history_against_journal(call)
            restored = restore(call.records)
            assert restored.ids == call.session._conversation.history.context().ids
            assert restored.ids[-1] == "reply_20_0"
            assert restored.ids[-2] == "turn_20"
            again = History(restored.items, restored.ids)
            assert again.context().ids == restored.ids

    run_virtual(story())


def test_rounds_of_tools_are_forgotten_whole() -> None:
    async def lookup(call: ToolCall, context: object) -> str:
        return "A long result that says much of little. " * 8

    def script(request):  # type: ignore[no-untyped-def]
        if isinstance(request.items[-1], ToolResult):
            return says("There it is.")(request)
        return [
            calls("lookup", call_id=f"call-{len(request.items)}"),
            calls("lookup", call_id=f"other-{len(request.items)}"),
        ]

    async def story() -> None:
        agent = definition(limits=Limits(history_tokens=512))
        async with calling(agent=agent, script=script, tools=FakeTools({"lookup": lookup})) as call:
            for number in range(12):
                await call.say(f"Look number {number} up.")
                await call.room.silent(3)
            assert len(call.of("turn.agent")) == 12
            assert call.of("context.truncated")
            assert all(calls_have_results(request.items) for request in call.llm.requests)
            check_history_against_journal(call)

    run_virtual(story())


def test_a_history_forgets_its_oldest_items_and_keeps_what_is_pinned() -> None:
    history = History([Message(role="system", text="Pinned."), Message(role="user", text="One.")])
    silent = history.draft()
    silent.settle(interrupted=True)
    tools = history.begin_tools([ToolCall(id="a", name="book", arguments="{}")], "reply_1")
    draft = history.draft(before=tools)
    draft.text = "One moment."
    assert history.settled() == 2
    tools.complete(ToolResult(call_id="a", name="book", content="booked"))
    draft.hear("One moment.")
    draft.settle(interrupted=False)
    history.add_user("Two.", "turn_2")
    assert history.context().ids == ("item_1", "item_2", "agent", "reply_1_a", "reply_1_a_result", "turn_2")
    history.forget(4)
    assert history.items() == (Message(role="system", text="Pinned."), Message(role="user", text="Two."))
    assert history.draft(before=tools) is not None  # of a round that is forgotten: it stands at the end


def test_a_summary_takes_the_place_of_what_it_tells_and_of_an_earlier_one() -> None:
    history = History([Message(role="user", text=f"{number}.") for number in range(5)])
    history.summarize(2, "First summary.")
    history.summarize(1, "Second summary.")
    assert history.context().ids == ("summary_2", "item_4", "item_5")
    assert history.forgotten == 3
    context = history.context()
    again = History(context.items, context.ids)
    again.summarize(1, "Third.")
    assert again.context().ids == ("summary_3", "item_5")
