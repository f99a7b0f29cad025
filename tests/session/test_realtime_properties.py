"""Whatever happens in a call on a realtime model: afterwards the model, the history and the journal say the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from agentd.config.turns import Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.llm import Message, TextDelta, ToolCall, ToolResult
from agentd.session.restore import restore
from agentd.session.setup import Candidate, Equipment, Providers
from agentd.tools.acts import HandOff
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeSTT, FakeTTS, FakeVAD
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
        check(chaos.model, call)


def check(model: FakeRealtime, call: Call) -> None:
    entries = call.session._conversation.history.context().entries
    history = told_by(entry.item for entry in entries)
    assert history == told_by(restore(call.records).items), "the history and the journal"
    assert history[-2:] == [("user", "Goodbye."), ("assistant", "Fine.")], "the last answer"
    side = call.session._parts.sides.realtime
    assert side is not None
    held = side._link._mirror.held
    assert {name for name, each in held.items() if each.items} == {entry.id for entry in entries}, "entries"
    known = [item for each in held.values() for item in each.items] + list(side._utterances._loose)
    assert sorted(known) == sorted(model.now.items), "items"
    for entry in entries:
        if held[entry.id].given is not None:
            assert model.now.items[held[entry.id].items[0]] == entry.item, "what was put there"
    for connection in model.connections:
        assert connection.refused == [], "commands that the model refused"


@pytest.mark.parametrize("detection", ["auto", "realtime"])
@pytest.mark.parametrize("seed", range(12))
def test_after_any_call_the_model_holds_what_the_history_says(seed: int, detection: str) -> None:
    run_virtual(hold(seed, detection))


NAMES = ("first", "same", "voice", "plain")
HISTORIES = ("full", "none", "last: 3", "summary")


class Handed(Chaos):
    """The same with agents that it is handed to at any time: of one model, of another, and a pipeline."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.other = FakeRealtime(self.script, words_s=0.2, texts=self.model.texts)
        stt, llm = FakeSTT(), FakeLLM(lambda request: [TextDelta("Fine.")])
        stt.texts = {number: text or "" for number, text in self.model.texts.items()}
        self.pipeline = {kind: (Candidate("fake", each),) for kind, each in (("stt", stt), ("llm", llm))}
        self.tools = FakeTools({"book": self.book})
        self.agents = FakeAgents({name: self.equipment(name) for name in NAMES}, self.random.choice([0.0, 0.6]))

    def equipment(self, name: str) -> Equipment:
        tts = (Candidate("fake", FakeTTS()),)
        model = {"first": self.model, "same": self.model, "voice": self.other}.get(name)
        turn = Turn(detection=self.random.choice(["auto", "realtime"]) if model else "auto")  # type: ignore[arg-type]
        writes = self.random.random() < 0.3
        if model is None:
            agent, chains = replace(definition(), name=name), {**self.pipeline, "tts": tts}
        else:
            agent = realtime_agent(name=name, turn=turn, tts=definition().tts if writes else None)
            chains = {"realtime": (Candidate("fake", model),), "stt": (), "llm": (), "tts": tts if writes else ()}
        return Equipment(definition=agent, providers=Providers(vad=FakeVAD(), **chains), tools=self.tools)

    async def step(self, call: Call) -> None:
        if self.random.random() < 0.35:
            agent, history = self.random.choice(NAMES), self.random.choice(HISTORIES)
            enter = self.random.choice(["auto", "wait"])
            call.session.do(HandOff(agent=agent, history=history, enter=enter, rule="operator"))  # type: ignore[arg-type]
        await super().step(call)


async def hand_round(seed: int) -> int:
    """How often the call was handed over."""
    chaos = Handed(seed)
    first = chaos.agents.ready["first"].definition
    async with calling(agent=first, realtime=chaos.model, tools=chaos.tools, agents=chaos.agents) as call:
        conversation = call.session._conversation
        conversation.setup = replace(conversation.setup, providers=replace(conversation.setup.providers, llm=()))
        await call.room.silent(0.2)
        for _ in range(2 * STEPS):
            await chaos.step(call)
        chaos.quiet = True
        await call.room.silent(60)
        if not call.task.done():
            call.room.type("Goodbye.")
            await call.room.silent(20)
            side = call.session._parts.sides.realtime
            now_open = [each for model in (chaos.model, chaos.other) for each in model.connections if not each.closed]
            assert len(now_open) == (side is not None), "connections that nobody uses"
            if side is not None:
                check(chaos.model if side._link.is_to(chaos.model) else chaos.other, call)
            assert restore(call.records).items == conversation.history.items()
        else:
            assert await call.task == "error"
    assert all(each.closed for model in (chaos.model, chaos.other) for each in model.connections)
    return len(call.of("handoff"))


@pytest.mark.parametrize("seed", range(16))
def test_handed_round_the_model_that_has_the_call_holds_what_the_history_says(seed: int) -> None:
    run_virtual(hand_round(seed))


def test_calls_are_handed_round() -> None:
    assert run_virtual(hand_round(3)) > 2
