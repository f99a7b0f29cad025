"""A long conversation within its budget, and what another incarnation knows of it. In virtual time."""

from __future__ import annotations

import asyncio

from agentd.config.definition import AgentDefinition, Context, Limits
from agentd.errors import ProviderRefused
from agentd.providers.llm import Message, TextDelta, ToolCall, ToolResult
from agentd.session.budget import total_tokens
from agentd.session.compaction import HEADING, part_to_summarize
from agentd.session.history import History
from agentd.session.restore import restore
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, calls, says
from tests.session.chaos import calls_have_results, check_history_against_journal

ANSWER = "The clinic is open from nine to five, and on Saturdays until noon, but never on a Sunday."


def test_requests_stay_within_the_budget_and_the_journal_knows_what_was_forgotten() -> None:
    async def story() -> None:
        agent = definition(limits=Limits(history_tokens=256))
        async with calling(agent=agent, script=says(ANSWER)) as call:
            for number in range(20):
                await call.say(f"Question number {number}.")
                await asyncio.sleep(8)
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
                await asyncio.sleep(3)
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


def summaries(**more: object) -> AgentDefinition:
    return definition(limits=Limits(history_tokens=512), context=Context(summarize=True, keep_turns=2, **more))  # type: ignore[arg-type]


async def talk(call: Call, turns: int) -> None:
    for number in range(turns):
        await call.say(f"Question number {number}.")
        await asyncio.sleep(8)


def test_a_summary_is_written_beside_the_conversation_and_delays_no_turn() -> None:
    async def story() -> None:
        writer = FakeLLM(says("The caller asked for the hours and was told them."), first_token_s=8.0)
        async with calling(agent=summaries(), script=says(ANSWER), summary_llm=writer) as call:
            await talk(call, 16)
            assert {turn["delay_s"] for turn in call.of("turn.user")} == {0.5}
            assert len({turn["latencies"]["llm_ttft"] for turn in call.of("turn.agent")}) == 1
            done = call.of("context.summarized")
            assert 1 <= len(done) <= 5
            assert not call.of("context.truncated")
            assert done[0]["rule"] == "context.at"
            assert done[0]["value"] == "context.at=0.7 of limits.history_tokens=512"
            assert done[0]["tokens"] < done[0]["tokens_before"] <= 512
            assert done[0]["duration_s"] >= 8
            told = writer.requests[0].items[1]
            assert isinstance(told, Message)
            assert told.text.splitlines()[:2] == ["Caller: Question number 0.", f"Agent: {ANSWER}"]
            shown = call.last_request()
            assert shown[1] == ("system", f"{HEADING}The caller asked for the hours and was told them.")
            assert [role for role, _ in shown].count("system") == 2  # the instructions, and the last summary only
            assert shown[-1] == ("user", "Question number 15.")
            second = writer.requests[1].items[1]
            assert isinstance(second, Message)
            assert second.text.startswith("The caller asked for the hours")
            check_history_against_journal(call)
            assert restore(call.records).ids == call.session._conversation.history.context().ids

    run_virtual(story())


def test_without_a_summary_in_time_the_oldest_part_is_left_out() -> None:
    async def story() -> None:
        writer = FakeLLM(lambda request: [ProviderRefused("fake", "no")])
        async with calling(agent=summaries(), script=says(ANSWER), summary_llm=writer) as call:
            await talk(call, 16)
            assert not call.of("context.summarized")
            assert call.of("context.truncated")
            errors = [error for error in call.of("error") if error["where"] == "summary"]
            assert 1 <= len(errors) <= 4  # a minute between two attempts
            assert all(total_tokens(request.items[1:]) <= 512 for request in call.llm.requests)
            assert call.agent_texts == [ANSWER] * 16
            check_history_against_journal(call)

    run_virtual(story())


def test_a_summary_that_comes_late_replaces_what_is_still_there() -> None:
    async def story() -> None:
        writer = FakeLLM(
            lambda request: [step for n in range(5) for step in (8.0, TextDelta(f"{n} "))],
            first_token_s=1.0,
        )
        async with calling(agent=summaries(at=0.85), script=says(ANSWER), summary_llm=writer) as call:
            for number in range(24):
                await call.say(f"Question number {number}, and what of the one before, which I have forgotten?", 4.0)
                await asyncio.sleep(4)
            await asyncio.sleep(12)
            assert call.of("context.truncated")
            done = call.of("context.summarized")
            told = [str(request.items[1]).count("\\n") + 1 for request in writer.requests]
            assert any(summary["items"] < lines for summary, lines in zip(done, told, strict=False))
            assert all(total_tokens(request.items[1:]) <= 512 for request in call.llm.requests)
            check_history_against_journal(call)

    run_virtual(story())


def test_a_text_that_is_no_summary_is_not_taken() -> None:
    async def story() -> None:
        for text in ("word " * 400, " "):
            writer = FakeLLM(says(text))
            async with calling(agent=summaries(), script=says(ANSWER), summary_llm=writer) as call:
                await talk(call, 10)
                assert not call.of("context.summarized")
                assert [error for error in call.of("error") if error["where"] == "summary"]

    run_virtual(story())


def test_the_agents_own_model_writes_it_where_no_other_is_named_and_not_without_being_asked() -> None:
    async def story() -> None:
        async with calling(agent=summaries(), script=says("Yes, we are open then.")) as call:
            await talk(call, 30)
            assert call.of("context.summarized")
        agent = definition(limits=Limits(history_tokens=512))
        async with calling(agent=agent, script=says("Yes, we are open then.")) as call:
            await talk(call, 30)
            assert not call.of("context.summarized")
            assert len(call.llm.requests) == 30

    run_virtual(story())


def test_what_is_summarised_ends_where_a_kept_turn_begins_and_nothing_is_under_way() -> None:
    turns = [(Message(role="user", text=f"{n} {ANSWER}"), Message(role="assistant", text=ANSWER)) for n in range(6)]
    talked = [item for turn in turns for item in turn]
    full = total_tokens(talked)
    assert part_to_summarize(talked, 12, full, 0.7, 2) == 8
    assert part_to_summarize(talked, 12, full * 2, 0.7, 2) == 0
    assert part_to_summarize(talked, 5, full, 0.7, 2) == 2
    assert part_to_summarize(talked, 12, full, 0.7, 7) == 0
    assert part_to_summarize([Message(role="system", text=ANSWER), *talked[:2]], 3, 40, 0.7, 1) == 0
