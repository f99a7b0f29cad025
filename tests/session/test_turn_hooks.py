"""Hooks before a reply: the turn as they want it, the answer begun early, and time that is up. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from agentd.aio import now
from agentd.cli.explained import text_of
from agentd.config.turns import Preemptive, Turn
from agentd.providers.llm import Message
from agentd.session.explanation import explain
from agentd.session.restore import restore
from agentd.tools.spec import Event, HookOutcome, SetVariables, ToolContext, TurnChange
from tests.fakes.call import Call, calling
from tests.fakes.providers import says
from tests.session.test_hooks import hook, hooked, outcomes, python, ref
from tests.session.test_session import story


def used(call: Call) -> list[str]:
    return [each["outcome"] for each in call.of("preemption")]


@story
async def test_a_turn_that_no_hook_changes_is_answered_with_what_was_begun_early() -> None:
    seen: list[Event] = []

    async def look(event: Event, context: ToolContext) -> None:
        seen.append(event)

    async with calling(agent=hooked(hook("before_reply", python=ref(look))), tools=python(look)) as call:
        await call.say("When do you open?")
        await call.say("And on Sunday?")
        assert [dict(event.data) for event in seen] == [
            {"text": "When do you open?", "turn": 1, "language": "en", "source": "speech", "speaker": "caller"},
            {"text": "And on Sunday?", "turn": 2, "language": "en", "source": "speech", "speaker": "caller"},
        ]
        assert used(call) == ["used", "used"]
        assert call.user_texts == ["When do you open?", "And on Sunday?"]
        assert "heard" not in call.of("turn.user")[0]


@story
async def test_an_answer_that_was_begun_early_goes_on_while_hooks_look_at_the_turn() -> None:
    async def look(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(0.3)

    async with calling(agent=hooked(hook("before_reply", python=ref(look))), tools=python(look)) as call:
        await call.say("When do you open?")
        (request,) = call.llm.requests
        assert used(call) == ["used"]
        assert request.items[-1] == Message(role="user", text="When do you open?")


@story
async def test_a_changed_text_is_what_the_model_and_the_history_know() -> None:
    async def correct(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(text=event.data["text"].replace("Smith", "Smythe"))

    async with calling(agent=hooked(hook("before_reply", python=ref(correct))), tools=python(correct)) as call:
        await call.say("This is Smith.")
        assert call.last_request()[-1] == ("user", "This is Smythe.")
        (turn,) = call.of("turn.user")
        assert (turn["text"], turn["heard"], turn["hook"]) == (
            "This is Smythe.", "This is Smith.", "agents.d/test.yaml:10",
        )  # fmt: skip
        (dropped,) = call.of("preemption")
        assert (dropped["outcome"], dropped["rule"]) == ("dropped", "hook")
        assert restore(call.records).items[0] == Message(role="user", text="This is Smythe.")
        items = [event.data for event in call.events if event.type == "conversation_item_added"]
        assert items[0]["text"] == "This is Smythe."
        (told,) = explain("S1", call.records).turns
        assert (told.text, told.heard, told.hook) == ("This is Smythe.", "This is Smith.", "agents.d/test.yaml:10")
        assert 'it had heard "This is Smith."; changed by agents.d/test.yaml:10' in text_of(explain("S1", call.records))


@story
async def test_context_is_for_one_reply_and_no_template() -> None:
    async def find(event: Event, context: ToolContext) -> TurnChange | None:
        return TurnChange(context="Open {{ from }} nine.") if event.data["turn"] == 1 else None

    async with calling(agent=hooked(hook("before_reply", python=ref(find))), tools=python(find)) as call:
        await call.say("When do you open?")
        assert call.last_request()[-2:] == [("user", "When do you open?"), ("system", "Open {{ from }} nine.")]
        await call.say("And on Sunday?")
        assert ("system", "Open {{ from }} nine.") not in call.last_request()
        assert used(call) == ["dropped", "used"]
        assert call.of("error") == []


@story
async def test_a_dropped_turn_has_no_reply_and_is_not_in_the_history() -> None:
    async def refuse(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(drop="secret" in event.data["text"])

    async with calling(agent=hooked(hook("before_reply", python=ref(refuse))), tools=python(refuse)) as call:
        await call.say("My secret is 1234.")
        assert call.agent_texts == []
        assert call.session.state == "listening"
        assert [each["value"] for each in call.of("decision") if each["action"] == "DropTurn"] == ["hooks[0]"]
        await call.say("When do you open?")
        assert call.agent_texts == ["Fine."]
        assert [text for role, text in call.last_request() if role == "user"] == ["When do you open?"]
        restored = restore(call.records)
        assert (restored.turns, restored.reply_owed) == (1, False)
        (turn,) = explain("S1", call.records).turns
        (ignored,) = turn.ignored
        assert (ignored.why, ignored.place) == ("a hook wanted it so", "agents.d/test.yaml:10")


@story
async def test_hooks_follow_each_other_and_the_next_sees_what_the_one_before_made() -> None:
    async def first(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(text=event.data["text"] + " First.", context="One.")

    async def second(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(text=event.data["text"] + " Second.", context="Two.")

    async def never(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(drop=True)

    agent = hooked(
        hook("before_reply", python=ref(first)),
        hook("before_reply", python=ref(second)),
        hook("before_reply", if_={"text": "Hello."}, python=ref(never)),
    )
    async with calling(agent=agent, tools=python(first, second, never)) as call:
        await call.say("Hello.")
        assert call.last_request()[-2:] == [("user", "Hello. First. Second."), ("system", "One.\n\nTwo.")]


@story
async def test_variables_that_a_hook_sets_are_known_to_the_reply() -> None:
    async def name(event: Event, context: ToolContext) -> HookOutcome:
        return HookOutcome(actions=(SetVariables(values={"name": "Ann"}),))

    agent = hooked(hook("before_reply", python=ref(name)), instructions="Talk to {{ name }}.", variables={"name": "?"})
    async with calling(agent=agent, tools=python(name)) as call:
        await call.say("It is Ann.")
        assert call.last_request()[0] == ("system", "Talk to Ann.")
        assert used(call) == ["dropped"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_hook_that_takes_too_long_or_fails_is_gone_on_without(fails: bool) -> None:
    @story
    async def run() -> None:
        async def broken(event: Event, context: ToolContext) -> TurnChange:
            if fails:
                raise RuntimeError("no database")
            await asyncio.sleep(100)
            return TurnChange(drop=True)

        agent = hooked(hook("before_reply", python=ref(broken)), turn=Turn(preemptive=Preemptive(llm=False)))
        async with calling(agent=agent, tools=python(broken)) as call:
            began = now()
            await call.say("When do you open?")
            await call.room.silent(2)
            assert call.agent_texts == ["Fine."]
            assert [each["where"] for each in call.of("error")] == ["hook agents.d/test.yaml:10"]
            assert outcomes(call) == [(0, "before_reply", "error" if fails else "timeout")]
            (turn,) = call.of("turn.user")
            assert turn["delay_s"] == pytest.approx(0.5 if fails else 1.5, abs=0.1)
            assert now() - began < 6

    run()


@story
async def test_turns_keep_their_order_and_none_is_lost() -> None:
    async def look(event: Event, context: ToolContext) -> TurnChange:
        await asyncio.sleep(3 if event.data["text"] == "one" else 0.1)
        return TurnChange(text=event.data["text"].upper())

    agent = hooked(hook("before_reply", if_={"source": "text", "text": {"in": ["one", "two"]}},
                        python=ref(look), timeout=5))  # fmt: skip
    async with calling(agent=agent, tools=python(look)) as call:
        for text in ("one", "two", "three"):
            call.room.type(text)
            await call.room.silent(0.1)
        await call.room.silent(8)
        assert call.user_texts == ["ONE", "TWO", "three"]
        assert [turn["turn"] for turn in call.of("turn.user")] == [1, 2, 3]


@story
async def test_the_agent_is_thinking_meanwhile_and_a_call_that_ends_then_loses_nothing_else() -> None:
    async def slow(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(20)

    agent = hooked(hook("before_reply", python=ref(slow), timeout=30))
    async with calling(agent=agent, tools=python(slow)) as call:
        await call.say("When do you open?")
        assert call.session.state == "thinking"
        call.room.leave(final=True)
        assert await call.task == "caller_left"
        (early,) = call.of("preemption")
        assert early["rule"] == "session_ended"


@story
async def test_a_turn_that_was_still_looked_at_is_answered_by_the_next_process() -> None:
    async def slow(event: Event, context: ToolContext) -> TurnChange:
        await asyncio.sleep(20)
        return TurnChange(drop=True)

    agent = hooked(hook("before_reply", python=ref(slow), timeout=30))
    async with calling(agent=agent, tools=python(slow)) as call:
        call.room.type("When do you open?")
        await call.room.silent(2)
        records = list(call.records)
    restored = restore(records)
    assert restored.items == (Message(role="user", text="When do you open?"),)
    assert (restored.turns, restored.reply_owed) == (1, True)
    async with calling(agent=agent, restored=restored, incarnation=2, script=says("At nine.")) as again:
        await again.room.silent(6)
        assert again.agent_texts[0].endswith("At nine.")
    later = restore([*records, *again.records])
    assert next(item.text for item in later.items if isinstance(item, Message)) == "When do you open?"
    assert later.turns == 1
