"""Whatever happens in a call on a realtime model: afterwards the model, the history and the journal say the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest

from agentd.config.turns import Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.session.restore import restore
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling
from tests.fakes.clock import run_virtual
from tests.fakes.realtime import FakeRealtime, Step, realtime_agent
from tests.session.test_session import LONG

STEPS = 14
WORDS = ("When do you open?", "And on Sundays?", "uh-huh", "Stop please.", "A table for two.", "Thank you.", "", None)


class Chaos:
    """A caller who says anything at any time, and a model that answers anything, or breaks."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.calls = 0
        self.quiet = False
        self.model = FakeRealtime(self.script, words_s=self.random.choice([0.05, 0.3, 1.0]))
        self.model.first_s = self.random.choice([0.05, 0.4, 1.5])
        self.model.texts = dict(enumerate(WORDS, 1))

    def script(self, told: list[tuple[str, str]]) -> Iterable[Step]:
        if self.quiet or (told and told[-1][0] == "result"):
            return ["Fine."]
        self.calls += 1
        call = ToolCall(id=f"call_{self.calls}", name="book", arguments="{}")
        return self.random.choice(
            [
                ["Fine."],
                [LONG],
                [call],
                ["Let me see.", call],
                ["We open at nine. And", 0.3, ProviderUnavailable("fake", "broke off")],
                [ProviderUnavailable("fake", "busy")],
                [],
            ]
        )

    async def book(self, call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(self.random.choice([0.0, 0.5, 2.0]))
        return "Booked."

    async def step(self, call: Call) -> None:
        match self.random.choice(["say", "say", "say", "type", "lose", "wait", "press"]):
            case "say":
                await call.room.speak(self.random.randint(1, len(WORDS)), self.random.choice([0.1, 0.4, 1.2]))
            case "type":
                call.room.type("What does it cost?")
            case "lose" if self.model.connections:
                self.model.now.lose(ProviderUnavailable("fake", "reset"))
            case "press":
                call.room.press("end")
        await call.room.silent(self.random.choice([0.1, 0.3, 0.8, 2.0, 5.0]))


def told_by(items: Iterable[object]) -> list[tuple[str, str]]:
    shown = []
    for item in items:
        match item:
            case Message(role=role, text=text):
                shown.append((role, text))
            case ToolCall(name=name):
                shown.append(("call", name))
            case ToolResult(content=content):
                shown.append(("result", content))
    return shown


async def hold(seed: int, detection: str) -> None:
    chaos = Chaos(seed)
    agent = realtime_agent(turn=Turn(detection=detection))  # type: ignore[arg-type]
    tools = FakeTools({"book": chaos.book})
    async with calling(agent=agent, realtime=chaos.model, tools=tools) as call:
        await call.room.silent(0.2)
        for _ in range(STEPS):
            await chaos.step(call)
        chaos.quiet = True
        await call.room.silent(60)
        if call.task.done():  # three failures in a row end a call
            assert await call.task == "error"
            return
        call.room.type("Goodbye.")
        await call.room.silent(20)
        assert not call.task.done()
        check(chaos, call)


def check(chaos: Chaos, call: Call) -> None:
    entries = call.session._conversation.history.context().entries
    history = told_by(entry.item for entry in entries)
    assert history == told_by(restore(call.records).items), "the history and the journal"
    assert history[-2:] == [("user", "Goodbye."), ("assistant", "Fine.")], "the last answer"
    side = call.session._sides.realtime
    assert side is not None
    held = side._link._mirror.held
    assert {name for name, each in held.items() if each.items} == {entry.id for entry in entries}, "entries"
    known = [item for each in held.values() for item in each.items] + list(side._utterances._loose)
    assert sorted(known) == sorted(chaos.model.now.items), "items"
    for entry in entries:
        if held[entry.id].given is not None:
            assert chaos.model.now.items[held[entry.id].items[0]] == entry.item, "what was put there"
    for connection in chaos.model.connections:
        assert connection.refused == [], "commands that the model refused"


@pytest.mark.parametrize("detection", ["auto", "realtime"])
@pytest.mark.parametrize("seed", range(12))
def test_after_any_call_the_model_holds_what_the_history_says(seed: int, detection: str) -> None:
    run_virtual(hold(seed, detection))
