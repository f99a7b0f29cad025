"""Hooks' code in its processes: what it gets, what it may do, and that it harms nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.hooks import Hook, HookActions
from agentd.errors import ToolError
from agentd.providers.chat import ChatContext
from agentd.providers.llm import Message
from agentd.tools.acts import Act, GenerateReply, InterruptSpeech
from agentd.tools.host import ToolHost
from agentd.tools.process import HISTORY_BYTES
from agentd.tools.runner import open_tools
from agentd.tools.spec import Caller, EndCall, Event, HookOutcome, SetVariables, ToolContext, TurnChange
from tests.tools.test_runner import agent

CODE = '''
import asyncio, os, sys, time
from agentd.tools import ChatContext, Event, RunContext, TurnChange

def look(event: Event, ctx: RunContext) -> None:
    ctx.variables["seen"] = [event.type, event.session, event.agent, event.at, dict(event.data)]
    ctx.variables["room"] = ctx.session.room
    ctx.variables["here"] = [each.identity for each in ctx.participants]
    ctx.variables["history"] = [type(item).__name__ for item in ctx.history.items]

async def act(ctx: RunContext, event: Event) -> str:
    await ctx.interrupt()
    await ctx.say("Wait.")
    ctx.generate_reply("Be kind.", user_input="hello", priority="high", interruptible=False)
    ctx.end_call(say="Bye.")
    return "a text that counts only before a reply"

def nothing() -> None:
    """It needs neither."""

def write(event: Event) -> None:
    event.data["identity"] = "somebody else"

def by_name(ctx, event):
    ctx.variables["by_name"] = event.type

def correct(event: Event) -> str:
    return event.data["text"].upper()

def change(event: Event) -> TurnChange:
    return TurnChange(text=event.data["text"], context="It rains.", drop=False)

def refuse() -> dict:
    return {"drop": True}

def odd() -> int:
    return 7

def unknown() -> dict:
    return {"dorp": True}

async def hang() -> None:
    while True:
        time.sleep(1)

def crash() -> None:
    os._exit(3)

def leave() -> None:
    sys.exit(1)

def fail(event: Event) -> None:
    raise ValueError(f"no {event.type}")

def flood(ctx: RunContext) -> None:
    for _ in range(100):
        ctx.interrupt()

def generator(event: Event):
    yield 1

def too_many(event: Event, ctx: RunContext, day: str) -> None: ...

def hinted(event: str) -> None: ...

class Klass: ...
'''


@pytest.fixture
def event() -> Event:
    return Event(type="participant_linked", session="s1", agent="front-desk", at=1.5, data={"identity": "ann"})


@pytest.fixture
def turn() -> Event:
    data = {"text": "hello", "turn": 1, "language": "en", "source": "speech"}
    return Event(type="before_reply", session="s1", agent="front-desk", at=1.5, data=data)


@pytest.fixture
def run(agents_dir: Path, host: ToolHost, context: ToolContext) -> Callable[..., Any]:
    (agents_dir / "tools" / "hooks.py").write_text(CODE)

    async def run_hook(name: str, event: Event, timeout_s: float = 10, **changes: Any) -> HookOutcome:
        definition = replace(agent(), hooks=(Hook(on="*", do=HookActions(python=f"tools.hooks:{name}")),))
        runner = await open_tools(definition, host=host)
        try:
            return await runner.run_hook(f"tools.hooks:{name}", event, replace(context, **changes), timeout_s)
        finally:
            await runner.aclose()

    return run_hook


async def test_a_function_gets_the_event_and_the_call(run: Any, event: Event) -> None:
    history = ChatContext.of([Message(role="user", text="Hello.")])
    outcome = await run("look", event, history=lambda: history, present=(Caller(identity="ann"), Caller(identity="bo")))
    (set_,) = outcome.actions
    assert set_.values == {
        "seen": ["participant_linked", "s1", "front-desk", 1.5, {"identity": "ann"}],
        "room": "room-1",
        "here": ["ann", "bo"],
        "history": ["Message"],
    }
    assert (outcome.outcome, outcome.change) == ("ok", None)


async def test_parameters_may_be_left_out_and_known_by_their_names(run: Any, event: Event) -> None:
    assert (await run("nothing", event)).outcome == "ok"
    assert (await run("by_name", event)).actions == (SetVariables(values={"by_name": "participant_linked"}),)


async def test_it_speaks_cuts_the_agent_and_ends_the_call_while_it_runs(run: Any, event: Event) -> None:
    done: list[object] = []

    async def say(text: str) -> None:
        done.append(text)

    outcome = await run("act", event, say=say, act=done.append)
    assert done == [
        InterruptSpeech(force=False),
        "Wait.",
        GenerateReply(instructions="Be kind.", user_input="hello", priority="high", interruptible=False),
    ]
    assert outcome == HookOutcome(actions=(EndCall(say="Bye."),))


async def test_an_event_cannot_be_changed(run: Any, event: Event) -> None:
    outcome = await run("write", event)
    assert outcome.outcome == "error"
    assert "does not support item assignment" in outcome.message


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("correct", TurnChange(text="HELLO")),
        ("change", TurnChange(text="hello", context="It rains.")),
        ("refuse", TurnChange(drop=True)),
        ("nothing", None),
    ],
)
async def test_the_answer_of_one_before_a_reply_is_a_change(
    run: Any, turn: Event, name: str, change: TurnChange | None
) -> None:
    assert (await run(name, turn)).change == change


async def test_an_answer_that_is_no_change_is_an_error(run: Any, turn: Event) -> None:
    odd, unknown = await run("odd", turn), await run("unknown", turn)
    assert odd.message.endswith("a before_reply hook returns a text, a TurnChange or None, not int")
    assert "a TurnChange has no dorp; it has text, context, drop" in unknown.message


async def test_one_that_hangs_is_killed_at_its_deadline(run: Any, host: ToolHost, event: Event) -> None:
    async with asyncio.timeout(5):
        outcome = await run("hang", event, 0.5)
    assert outcome == HookOutcome(outcome="timeout", message="tools.hooks:hang: no answer within 0.5 s")
    assert (await run("nothing", event)).outcome == "ok"


async def test_one_that_crashes_or_fails_says_so(run: Any, event: Event) -> None:
    crash, leave, fail = [await run(name, event) for name in ("crash", "leave", "fail")]
    assert (crash.outcome, crash.message) == ("crashed", "tools.hooks:crash: it ended with exit code 3")
    assert (leave.outcome, leave.message) == ("error", "tools.hooks:leave: it called sys.exit")
    assert (fail.outcome, fail.message) == ("error", "tools.hooks:fail: ValueError: no participant_linked")


async def test_a_call_keeps_the_hooks_that_it_began_with(
    agents_dir: Path, make_host: Callable[..., ToolHost], context: ToolContext, turn: Event
) -> None:
    file, definition = agents_dir / "tools" / "hooks.py", agent()
    file.write_text("def before() -> str:\n    return 'old'\n")
    definition = replace(definition, hooks=(Hook(on="before_reply", do=HookActions(python="tools.hooks:before")),))
    old = await open_tools(definition, host=make_host())
    file.write_text("def before() -> str:\n    return 'new'\n")
    new = await open_tools(definition, host=make_host())
    for runner, text in ((old, "old"), (new, "new"), (old, "old")):
        assert (await runner.run_hook("tools.hooks:before", turn, context, 5)).change == TurnChange(text=text)
        await runner.aclose()


async def test_it_cannot_ask_for_more_than_a_call_needs(run: Any, event: Event) -> None:
    acts: list[Act] = []
    assert (await run("flood", event, act=acts.append)).outcome == "ok"
    assert len(acts) == 32


async def test_a_long_history_is_told_by_its_end(run: Any, event: Event, host: ToolHost) -> None:
    history = ChatContext.of([Message(role="user", text="x" * 1000) for _ in range(1000)])
    outcome = await run("look", event, history=lambda: history)
    (set_,) = outcome.actions
    assert 50 < len(set_.values["history"]) <= HISTORY_BYTES / 1000


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("generator", "it is a generator; a hook returns"),
        ("too_many", "parameter day: a hook gets a RunContext or a JobContext, and an Event, and nothing else"),
        ("hinted", "parameter event: a hook gets a RunContext or a JobContext, and an Event, and nothing else"),
        ("Klass", "it is a class: make an object in the module, and name that (klass = Klass())"),
        ("lok", "there is no lok in tools.hooks (did you mean look?)"),
    ],
)
async def test_a_function_that_is_no_hook_rejects_the_agent(run: Any, event: Event, name: str, problem: str) -> None:
    with pytest.raises(ToolError) as refused:
        await run(name, event)
    assert f"tools.hooks:{name}: {problem}" in str(refused.value)
