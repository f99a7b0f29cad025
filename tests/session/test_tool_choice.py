"""What the file wants the model to call first, in whole calls over fakes."""

from __future__ import annotations

import asyncio

import pytest

from agentd.config.consent import AllowCallers
from agentd.config.definition import Limits
from agentd.config.tools import ToolOptions
from agentd.providers.llm import ChatRequest, NamedTool, TextDelta, ToolCall, ToolChoice
from agentd.tools.spec import ToolContext
from tests.fakes.call import FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import Answer, calls


async def _find(call: ToolCall, context: ToolContext) -> str:
    return "Friday at nine"


async def _choices(choice: str, options: ToolOptions | None = None, **more: object) -> list[ToolChoice]:
    """Of all requests of a call with a turn, an answer in which a tool is called, and a prompt of an operator's."""

    def script(request: ChatRequest) -> Answer:
        called = any(isinstance(item, ToolCall) for item in request.items)
        return [TextDelta("At nine.")] if called or request.tool_choice == "none" else [calls("find")]

    tools = FakeTools({"find": _find}, {"find": options or ToolOptions()})
    async with calling(agent=definition(tool_choice=choice, **more), script=script, tools=tools) as call:
        await call.say("When can I come?")
        await asyncio.sleep(4)
        call.session.generate_reply(instructions="Say it again.")
        await asyncio.sleep(4)
        assert not [p for p in call.of("preemption") if p["outcome"] == "dropped"]
        return [request.tool_choice for request in call.llm.requests]


@pytest.mark.parametrize(("choice", "first"), [("auto", "auto"), ("required", "required"), ("find", NamedTool("find"))])
def test_it_holds_for_the_first_step_of_an_answer_to_the_caller(choice: str, first: ToolChoice) -> None:
    assert run_virtual(_choices(choice)) == [first, "auto", "auto"]


def test_none_keeps_the_model_from_calling() -> None:
    assert run_virtual(_choices("none"))[0] == "none"


def test_where_no_step_is_allowed_none_is_chosen() -> None:
    assert run_virtual(_choices("required", limits=Limits(max_tool_steps=0)))[0] == "none"


def test_a_tool_that_the_caller_may_not_have_called_is_not_forced() -> None:
    kept = ToolOptions(allow_callers=AllowCallers(identities=("boss",)))
    assert run_virtual(_choices("find", kept))[0] == "auto"
