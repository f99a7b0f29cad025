"""A call is killed at every record of its journal: no tool is called twice without the same key, no result is lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentd.config.tools import ToolOptions, WebhookTool
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, ToolResult
from agentd.session.explanation import explain
from agentd.session.late_calls import LOST_CALL
from agentd.session.records import Record
from agentd.session.restore import Restored, restore
from agentd.tools.spec import LateAnswer, Pending, SetVariables, ToolContext, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import calls
from tests.session.chaos import calls_have_results

PARTS = 8  # of the records: a test each
ROUNDS = (("find",), ("book", "order", "ask"))
OPTIONS: Mapping[str, ToolOptions] = {
    "find": ToolOptions(idempotent=True),
    "book": ToolOptions(),
    "order": ToolOptions(run="background", idempotent=True),
    "ask": WebhookTool(type="webhook", name="ask", description="Ask.", url="https://example.com/"),
}


@dataclass
class World:
    """What is outside of the process: it remembers what was asked of it, by key, and outlives every call."""

    began: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # keys, by tool
    ended: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    tokens: list[tuple[str, str]] = field(default_factory=list)
    talking: Call | None = None
    delivered: str | None = None

    def tools(self, alive: list[bool]) -> FakeTools:
        async def run(call: ToolCall, context: ToolContext) -> ToolOutcome:
            if not alive:
                await asyncio.sleep(1_000)  # its process is dead: nothing leaves it
            self.began[call.name].append(context.key)
            if call.name == "ask":
                assert context.callback is not None
                self.tokens.append((context.key, context.callback.token))
            await asyncio.sleep({"find": 0.4, "book": 1.0, "order": 4.0, "ask": 0.5}[call.name])
            if alive:
                self.ended[call.name].add(context.key)
            result = ToolResult(call_id=call.id, name=call.name, content=f"{call.name} done")
            actions = (SetVariables(values={call.name: "done"}),)
            return ToolOutcome(
                result=result, actions=actions, pending=Pending(timeout_s=300) if call.name == "ask" else None
            )

        return FakeTools(dict.fromkeys(OPTIONS, run), OPTIONS)

    async def deliver(self) -> None:
        """The server of `ask` takes its time and brings its result, again and again until that is taken."""
        while not self.tokens:
            await asyncio.sleep(0.5)
        await asyncio.sleep(6)
        while self.delivered is None:
            await asyncio.sleep(1)
            if self.tokens and self.talking is not None:
                key, token = self.tokens[0]
                self.delivered = self.talking.session.deliver(key, token, LateAnswer(content_type="", text="ask done"))


def script(request: ChatRequest) -> list[Any]:
    """Calls what was not called yet, round by round, once there is something to answer."""
    called = {item.name for item in request.items if isinstance(item, ToolCall)}
    wanted = next((names for names in ROUNDS if not set(names) <= called), ())
    if wanted and request.tool_choice != "none" and any("dinner" in getattr(i, "text", "") for i in request.items):
        return [calls(name, "{}", f"call-{name}") for name in wanted if name not in called]
    return [TextDelta("Very well. All of that is under way.")]


async def one(world: World, kill_at: int | None, restored: Restored | None = None) -> list[Record]:
    """A call with one question; killed once it has written `kill_at` records."""
    records: list[Record] = []
    alive = [True]
    died = asyncio.Event()

    def seen(record: Record) -> None:
        if alive:
            records.append(record)
        if kill_at is not None and len(records) == kill_at:
            alive.clear()
            died.set()

    async with calling(
        script=script,
        tools=world.tools(alive),
        restored=restored,
        incarnation=2 if restored else 1,
        callback_url="https://voice.example.com",
        observe=seen,
    ) as call:
        world.talking = call
        if restored is None:
            talk = asyncio.create_task(call.say("Find a place for dinner."))
            await asyncio.wait([talk, asyncio.create_task(died.wait())], return_when=asyncio.FIRST_COMPLETED)
        for _ in range(30):
            if not alive:
                break
            await call.room.silent(1)
        world.talking = None
        check(call, world, records, whole=bool(alive), restored=restored)
    return records


def check(call: Call, world: World, records: list[Record], *, whole: bool, restored: Restored | None) -> None:
    for name, keys in world.began.items():
        assert len(set(keys)) == 1, f"{name} was called under {len(set(keys))} keys"
        assert len(keys) == 1 or OPTIONS[name].idempotent, f"{name} was repeated"
    if not whole:
        return
    conversation = call.session._conversation
    items = conversation.history.items()
    assert calls_have_results(items)
    found = {item.name: item.content for item in items if isinstance(item, ToolResult)}
    for name, content in found.items():
        if content == LOST_CALL:
            assert name == "book" or not world.began[name], f"the result of {name} was lost"
            assert not OPTIONS[name].idempotent
        else:
            assert content == f"{name} done"
            assert name == "ask" or conversation.variables.get(name) == "done"
    assert restored is None or not conversation.calls.open


async def killed_at(number: int | None) -> tuple[World, list[Record]]:
    world = World()
    server = asyncio.create_task(world.deliver())
    first = await one(world, number)
    second = await one(world, None, restore(first)) if number is not None else []
    server.cancel()
    return world, [*first, *second]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_call_that_is_killed_anywhere_makes_each_call_once_or_under_the_same_key(part: int) -> None:
    _, whole = run_virtual(killed_at(None))
    kinds = [record.kind for record in whole]
    assert {"tool.called", "tool.detached", "tool.callback", "tool.completed"} <= set(kinds)
    repeated = 0
    for number in range(kinds.index("turn.user") + 1 + part, len(whole), PARTS):
        world, records = run_virtual(killed_at(number))
        called = {record.data["name"] for record in records if record.kind == "tool.called"}
        assert called == set(OPTIONS), f"killed at {number} ({kinds[number - 1]})"
        assert world.began["find"]  # what may be made again is made
        assert world.began["order"]
        assert not world.tokens or world.delivered == "taken"
        tools = [tool for turn in explain("S1", records).turns for tool in (turn.reply.tools if turn.reply else [])]
        repeated += sum(tool.repeated for tool in tools)
    assert repeated
