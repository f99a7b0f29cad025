"""Around a rescue: a caller's question at any moment is answered, and the front end is told anew where things stand."""

from __future__ import annotations

import asyncio

import pytest

from agentd.providers.llm import Message
from agentd.session.restore import Restored
from tests.fakes.call import calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import says

HISTORY = (Message(role="user", text="Four people"), Message(role="assistant", text="You said four people."))
RESTORED = Restored(items=HISTORY, turns=1, replies=2, unsaid=("Is that right?",))


async def asks_after(delay_s: float, *, typed: bool) -> None:
    async with calling(restored=RESTORED, incarnation=2, script=says("Four people."), link=False) as call:

        async def arrive() -> None:
            await asyncio.sleep(0.5)
            call.room.link()

        async with asyncio.TaskGroup() as group:
            group.create_task(arrive())
            await call.room.silent(delay_s)
            if typed:
                call.room.type("What did I say?")
            else:
                await call.room.speak(call.learn("What did I say?"), 1.0)
            await call.room.silent(8)
        assert call.user_texts == ["What did I say?"]
        assert call.agent_texts[-1] == "Four people."
        assert ("assistant", "You said four people.") in call.last_request()
        assert call.session.state == "listening"
        assert call.room.states[0][1] == "listening"
        assert call.agent_texts[0].startswith("Sorry") or call.of("turn.agent")[0]["interrupted"]


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("delay_ms", range(0, 6000, 125))
def test_a_question_at_any_moment_of_a_rescue_is_answered(delay_ms: int, typed: bool) -> None:
    run_virtual(asks_after(delay_ms / 1000, typed=typed))
