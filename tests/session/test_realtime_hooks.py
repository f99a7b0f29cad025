"""Hooks before a reply, where a realtime model has heard the caller already. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from agentd.providers.realtime import Respond
from agentd.tools.spec import Event, ToolContext, TurnChange
from tests.fakes.realtime import FakeRealtime, realtime_agent
from tests.session.test_hooks import hook, hooked, python, ref
from tests.session.test_realtime import MODELS_OWN, say, talking
from tests.session.test_session import story


def hooking(look: Any, **changes: Any) -> dict[str, Any]:
    agent = realtime_agent(hooks=hooked(hook("before_reply", python=ref(look))).hooks, **changes)
    return {"agent": agent, "tools": python(look)}


@story
async def test_a_turn_that_a_hook_leaves_alone_is_answered_with_what_was_begun_early() -> None:
    async def look(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(0.3)

    async with talking("At nine.", **hooking(look, turn=MODELS_OWN)) as (call, model):
        await say(call, model, "When do you open?", after=3)
        assert [each["outcome"] for each in call.of("preemption")] == ["used"]
        assert model.now.told == [("user", "When do you open?"), ("assistant", "At nine.")]


@story
async def test_of_a_changed_turn_the_model_knows_the_changed_words_and_not_the_sound() -> None:
    async def correct(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(text=event.data["text"].replace("Smith", "Smythe"))

    async with talking("Hello.", **hooking(correct, turn=MODELS_OWN)) as (call, model):
        await say(call, model, "This is Smith.", after=3)
        assert model.now.told == [("user", "This is Smythe."), ("assistant", "Hello.")]
        assert [each["outcome"] for each in call.of("preemption")] == ["dropped"]
        assert call.agent_texts == ["Hello."]
        assert model.now.refused == []


@story
async def test_a_dropped_turn_is_none_for_the_model_and_the_next_one_is() -> None:
    async def drop(event: Event, context: ToolContext) -> TurnChange:
        await asyncio.sleep(0.5)
        return TurnChange(drop="spam" in event.data["text"])

    async with talking("At nine.", model=FakeRealtime(), **hooking(drop)) as (call, model):
        await say(call, model, "Buy my spam.", after=1.0)
        await say(call, model, "When do you open?", after=4)
        assert call.user_texts == ["When do you open?"]
        assert model.now.told == [("user", "When do you open?"), ("assistant", "At nine.")]
        assert model.now.refused == []


@story
async def test_context_of_a_hook_is_for_one_answer() -> None:
    async def tell(event: Event, context: ToolContext) -> TurnChange:
        return TurnChange(context="The caller is Anna.")

    async with talking("Hello Anna.", **hooking(tell)) as (call, model):
        await say(call, model, "It is me.", after=3)
        assert model.now.of(Respond)[-1].instructions == "Be brief.\n\nThe caller is Anna."
        assert model.now.configuration.instructions == "Be brief."
