"""What webhooks, Python code and hooks' endpoints ask of the agent itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from agentd.config.handoffs import Handoff
from agentd.config.hooks import Hook, HookActions, WebhookAction
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import ToolCall
from agentd.tools.acts import BeginTask, HandOff, PressKeys, SetTools, UpdateInstructions
from agentd.tools.changes import change_of_agent
from agentd.tools.host import ToolHost
from agentd.tools.runner import open_tools
from agentd.tools.spec import Event, ToolContext
from tests.fakes.webhook_server import hang, respond, webhook_server
from tests.tools.test_replies import directed
from tests.tools.test_runner import agent, python

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
EVENT = Event(type="participant_linked", session="s1", agent="front-desk", at=1.5, data={"identity": "ann"})


def test_a_webhooks_answer_may_ask_for_all_three() -> None:
    actions = directed(
        {
            "actions": [
                {
                    "type": "handoff",
                    "agent": "billing",
                    "history": "last: 3",
                    "say": "One\nmoment.",
                    "variables": {"a": 1},
                },
                {"type": "update_instructions", "append": "Be kind."},
                {"type": "update_instructions", "replace": "Be brief."},
                {"type": "set_tools", "enable": ["a"], "disable": ["b", 3]},
                {
                    "type": "collect",
                    "task": "booking",
                    "known": {"guests": 4, "day": "Friday", "odd": []},
                    "ask": "Who?",
                },
                {"type": "send_dtmf", "keys": "1,20#"},
            ]
        }
    ).actions
    assert actions == (
        HandOff(agent="billing", history="last: 3", say="One moment.", variables={"a": 1}, rule="tool"),
        UpdateInstructions(text="Be kind."),
        UpdateInstructions(text="Be brief.", edit="replace"),
        SetTools(enable=("a",), disable=("b",)),
        BeginTask(task="booking", known={"guests": "4", "day": "Friday"}, ask="Who?", by="action"),
        PressKeys(keys="1,20#"),
    )


def test_a_task_asks_its_question_itself() -> None:
    assert not directed({"actions": [{"type": "collect", "task": "booking"}]}).reply
    assert directed({"actions": [{"type": "send_dtmf", "keys": "1"}]}).reply


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("handoff", {}),
        ("handoff", {"agent": 7}),
        ("handoff", {"agent": "b", "history": "some"}),
        ("handoff", {"agent": "b", "history": ["full"]}),
        ("handoff", {"agent": "b", "enter": "shout"}),
        ("handoff", {"agent": "b", "variables": [1]}),
        ("handoff", {"agent": "b", "say": {"text": "x"}}),
        ("update_instructions", {}),
        ("update_instructions", {"append": " "}),
        ("update_instructions", {"replace": 3}),
        ("collect", {}),
        ("collect", {"task": 7}),
        ("collect", {"task": "booking", "known": [1]}),
        ("collect", {"task": "booking", "ask": 7}),
        ("send_dtmf", {}),
        ("send_dtmf", {"keys": 7}),
        ("send_dtmf", {"keys": "call me"}),
        ("send_dtmf", {"keys": "1" * 65}),
        ("set_tools", {}),
        ("set_tools", {"enable": "all"}),
        ("something", {"agent": "b"}),
    ],
)
def test_what_cannot_be_read_is_nothing(kind: str, value: dict[str, Any]) -> None:
    assert change_of_agent(kind, value) is None


CODE = '''
from agentd.tools import RunContext

def move(ctx: RunContext) -> str:
    """Moves."""
    ctx.handoff("billing", history="none", say="Bye.", variables={"a": 1}, enter="greet")
    ctx.update_instructions("More.")
    ctx.update_instructions("Else.", replace=True)
    return "done"

def ask(ctx: RunContext) -> str:
    """Has the caller asked."""
    ctx.begin_task("booking", known={"day": "Friday"}, ask="Who?")
    ctx.send_dtmf("1#")
    return f"key {ctx.key}"

def press(ctx: RunContext) -> str:
    """Presses what is no key."""
    ctx.send_dtmf("one")
    return "done"

def odd(ctx: RunContext) -> str:
    """Asks for what is not there."""
    ctx.handoff("billing", history="everything")
    ctx.changes.append({"type": "explode"})
    ctx.changes.append("text")
    return "done"
'''


async def test_python_code_may_ask_for_them(agents_dir: Path, host: ToolHost, context: ToolContext) -> None:
    (agents_dir / "tools" / "code.py").write_text(CODE)
    runner = await open_tools(agent(python("move"), python("odd")), host=host)
    moved = await runner.run(ToolCall(id="1", name="move", arguments="{}"), context)
    assert moved.result.content == "done"
    assert moved.actions == (
        HandOff(agent="billing", history="none", say="Bye.", variables={"a": 1}, enter="greet", rule="tool"),
        UpdateInstructions(text="More."),
        UpdateInstructions(text="Else.", edit="replace"),
    )
    odd = await runner.run(ToolCall(id="2", name="odd", arguments="{}"), context)
    assert (odd.result.content, odd.actions) == ("done", ())
    await runner.aclose()


async def test_python_code_begins_tasks_presses_keys_and_knows_the_key_of_its_call(
    agents_dir: Path, host: ToolHost, context: ToolContext
) -> None:
    (agents_dir / "tools" / "code.py").write_text(CODE)
    runner = await open_tools(agent(python("ask"), python("press")), host=host)
    asked = await runner.run(ToolCall(id="1", name="ask", arguments="{}"), replace(context, key="tc_17"))
    assert asked.result.content == "key tc_17"
    assert asked.actions == (
        BeginTask(task="booking", known={"day": "Friday"}, ask="Who?", by="action"),
        PressKeys(keys="1#"),
    )
    assert not asked.reply
    pressed = await runner.run(ToolCall(id="2", name="press", arguments="{}"), context)
    assert (pressed.outcome, pressed.actions) == ("error", ())
    await runner.aclose()


async def test_the_model_has_a_tool_for_each_handoff_that_says_when(host: ToolHost, context: ToolContext) -> None:
    handoffs = (Handoff(agent="billing", when="asked about an invoice."), Handoff(agent="night", if_="late"))
    runner = await open_tools(replace(agent(), handoffs=handoffs), host=host)
    (schema,) = runner.schemas
    assert schema.name == "handoff_to_billing"
    assert "asked about an invoice" in schema.description
    outcome = await runner.run(ToolCall(id="1", name="handoff_to_billing", arguments="{}"), context)
    (act,) = outcome.actions
    assert isinstance(act, HandOff)
    assert (act.agent, act.rule, act.value, outcome.reply) == ("billing", "model", "handoffs[0].when", False)
    await runner.aclose()


def _hooked(action: WebhookAction, timeout: float = 2.0) -> Any:
    hook = Hook(on="*", do=HookActions(webhook=action), timeout=Duration(timeout))
    return replace(agent(), hooks=(hook,))


async def test_a_hooks_endpoint_gets_the_event_signed_and_its_actions_are_read(
    make_host: Callable[..., ToolHost], context: ToolContext
) -> None:
    async with webhook_server() as server:
        server.then(respond({"agentd": {"actions": [{"type": "handoff", "agent": "billing"}]}}))
        action = WebhookAction(url=server.url, secret=Secret("literal", KEY), headers={"x-a": Secret("literal", "b")})
        runner = await open_tools(_hooked(action), host=make_host())
        outcome = await runner.run_hook(action.ref, EVENT, context, 2.0)
        assert (outcome.outcome, outcome.actions) == ("ok", (HandOff(agent="billing", rule="tool"),))
        (received,) = server.received
        standardwebhooks.Webhook(KEY).verify(received.body, dict(received.headers))
        body = json.loads(received.body)
        assert body["type"] == "hook.event"
        assert body["data"]["event"] == {"type": "participant_linked", "at": 1.5, "data": {"identity": "ann"}}
        assert body["data"]["session"]["id"] == "s1"
        assert (received.headers["x-a"], received.headers["agentd-contract"]) == ("b", "1")
        assert runner.schemas == ()
        await runner.aclose()


async def test_one_that_fails_or_hangs_is_an_outcome(make_host: Callable[..., ToolHost], context: ToolContext) -> None:
    async with webhook_server() as server:
        server.then(respond(status=500), hang())
        action = WebhookAction(url=server.url)
        runner = await open_tools(_hooked(action, 1.0), host=make_host())
        failed = await runner.run_hook(action.ref, EVENT, context, 1.0)
        assert (failed.outcome, failed.message) == ("error", f"{server.url}: HTTP 500")
        late = await runner.run_hook(action.ref, EVENT, context, 1.0)
        assert late.outcome == "timeout"
        await runner.aclose()
