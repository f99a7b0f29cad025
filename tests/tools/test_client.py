"""Tools of the caller's front end, and what webhooks send it."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentd.config.tools import ClientTool, WebhookTool
from agentd.errors import ToolError, ToolTimeout
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.tools.client import Client
from agentd.tools.http import Answer as HttpAnswer
from agentd.tools.replies import Reading, outcome
from agentd.tools.runner import Tools
from agentd.tools.spec import Caller, CallFrontEnd, NoFrontEnd, SendData, ToolContext, ToolOutcome
from tests.fakes.call import FakeTools, calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import calls
from tests.fakes.room import FakeFrontEnd

MAP = ClientTool(
    type="client",
    name="show_map",
    description="Shows a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    timeout=Duration(3.0),
)


async def run(front_end: FakeFrontEnd | NoFrontEnd | None, arguments: str, caller: str = "anna") -> ToolOutcome:
    context = ToolContext(session_id="s", agent="a", revision="r", caller=Caller(identity=caller), front_end=front_end)
    return await Tools([Client(MAP)]).run(ToolCall(id="c", name="show_map", arguments=arguments), context)


async def test_the_front_end_of_the_caller_is_asked_with_the_arguments_and_answers_the_model() -> None:
    front_end = FakeFrontEnd({"show_map": ' {"shown": true, "agentd": {"actions": [{"type": "end_call"}]}} '})
    done = await run(front_end, '{"place": "Hill Street"}')
    assert front_end.asked == [("anna", "show_map", '{"place":"Hill Street"}')]
    assert done.result.content.startswith('{"shown": true')
    assert (done.actions, done.outcome) == ((), "ok")  # what a caller's own program says is only words
    assert (await run(FakeFrontEnd({"show_map": ""}), '{"place": "x"}')).result.content == "ok"


@pytest.mark.parametrize(
    ("front_end", "arguments", "outcome", "told"),
    [
        (FakeFrontEnd(), '{"place": "x"}', "error", "does not offer it"),
        (FakeFrontEnd({"show_map": ToolTimeout("no answer within 3 s")}), '{"place": "x"}', "timeout", "too long"),
        (FakeFrontEnd({"show_map": ToolError("no such place")}), '{"place": "x"}', "error", "no such place"),
        (FakeFrontEnd(), "{}", "invalid_arguments", "place"),
        (FakeFrontEnd(), json.dumps({"place": "x" * 16_000}), "error", "15 KiB"),
        (NoFrontEnd(), '{"place": "x"}', "error", "no front end"),
        (None, '{"place": "x"}', "error", "not there"),
    ],
)
async def test_what_goes_wrong_is_told(
    front_end: FakeFrontEnd | NoFrontEnd | None, arguments: str, outcome: str, told: str
) -> None:
    done = await run(front_end, arguments)
    assert (done.outcome, done.result.is_error) == (outcome, True)
    assert told in done.result.content


def test_a_webhook_may_send_the_front_end_data_and_call_it() -> None:
    tool = WebhookTool(type="webhook", name="t", description="d", url="https://a.example/x")
    actions = [
        {"type": "send_data", "topic": "cart", "data": {"items": 2}},
        {"type": "rpc", "method": "highlight", "payload": "two"},
        {"type": "rpc", "method": "refresh"},
        {"type": "rpc", "method": "large", "payload": "x" * 16_000},
        {"type": "send_data", "data": "without a topic"},
    ]
    text = json.dumps({"agentd": {"actions": actions}})
    answer = HttpAnswer(status=200, content_type="application/json", text=text)
    done = outcome(ToolCall(id="c", name="t", arguments="{}"), answer, Reading.of(tool))
    assert done.actions == (
        SendData(topic="cart", data='{"items": 2}'),
        CallFrontEnd(method="highlight", payload="two"),
        CallFrontEnd(method="refresh", payload="{}"),
    )


def test_a_session_sends_it_to_those_whom_the_agent_talks_with_and_keeps_what_fails_on_record() -> None:
    async def show(call: ToolCall, context: ToolContext) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        sent = SendData(topic="cart", data="two")
        return ToolOutcome(result=result, actions=(sent, CallFrontEnd(method="refresh", payload="{}")))

    async def hold() -> None:
        answers = iter([[calls("show")], [TextDelta("Look.")]])
        async with calling(script=lambda request: next(answers), tools=FakeTools({"show": show})) as call:
            await call.say("Show me.")
            await asyncio.sleep(3)
            program = call.room.callers_program
            assert program.sent == [(b"two", "cart", ("caller",))]
            assert program.asked == [("caller", "refresh", "{}")]
            assert [(e["where"], e["message"]) for e in call.of("error")] == [
                ("front end refresh", "the caller's front end does not offer it")
            ]

    run_virtual(hold())
