"""Two agents who hand a call to and fro while everything else misbehaves: no turn is lost, and neither agent is ever
asked, told or equipped as the other. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from agentd.config.definition import AgentDefinition, Greeting, Limits
from agentd.config.handoffs import Handoff
from agentd.config.hooks import HandoffAction, Hook, HookActions
from agentd.config.turns import Preemptive, Turn
from agentd.errors import ProviderError
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, LLMDelta, ToolCall
from agentd.session.restore import restore
from agentd.tools.acts import HandOff, SetTools, UpdateInstructions
from agentd.tools.handoff import HandoffTool
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, definition, equipment
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeSTT
from tests.session.chaos import (
    Chaos,
    ChaosStreamingSTT,
    ChaosSTT,
    ChaosTTS,
    check_captions,
    check_history_against_journal,
)
from tests.session.test_handoff import shown
from tests.session.test_session_properties import SETTLED_S, misbehave

NAMES = ("north", "south")
HISTORIES = ("full", "none", "last: 2", "last: 7", "summary")


def agent_of(name: str, rng: Random) -> AgentDefinition:
    other = NAMES[1 - NAMES.index(name)]
    handoffs = (
        Handoff(agent=other, when="asked", history=rng.choice(HISTORIES), say=rng.choice([None, "One moment."])),
        Handoff(agent=other, after_silence=Duration(rng.uniform(3, 9)), history=rng.choice(HISTORIES)),
        Handoff(agent=other, if_="turns is odd", history=rng.choice(HISTORIES)),
        Handoff(agent=other, on="agent_false_interruption", enter="wait"),
    )
    hook = Hook(on="speech_finished", if_={"interrupted": True}, do=HookActions(handoff=HandoffAction(agent=other)))
    return replace(
        definition(),
        name=name,
        instructions=f"You are {name}.",
        digest=f"{name}-1",
        greeting=Greeting(say=f"This is {name}.") if rng.random() < 0.5 else None,
        handoffs=tuple(rng.sample(handoffs, rng.randint(1, len(handoffs)))),
        hooks=(hook,) if rng.random() < 0.3 else (),
        limits=Limits(max_handoffs=rng.choice([3, 1_000])),
        turn=Turn(preemptive=Preemptive(llm=rng.random() < 0.7, tts=rng.random() < 0.3)),
        variables={"turns": 0},
    )


def tools_of(agent: AgentDefinition, chaos: Chaos) -> FakeTools:
    made = [HandoffTool(each, n) for n, each in enumerate(agent.handoffs) if each.when]
    own = {tool.schema.name: tool.run for tool in made}
    return FakeTools({"lasting": chaos.tool, "cancelled": chaos.tool, f"of_{agent.name}": chaos.tool, **own})


def model_of(agent: AgentDefinition, chaos: Chaos, wrong: list[str]) -> FakeLLM:
    def script(request: ChatRequest) -> Iterator[LLMDelta | float | ProviderError]:
        told = shown(request)
        asks_for_summary = request.tool_choice == "none" and "Summarise" in told[0][1]
        if (
            not asks_for_summary
            and f"You are {agent.name}." not in told[0][1]
            and not told[0][1].startswith("Told otherwise.")
        ):
            wrong.append(f"{agent.name} was told: {told[0][1]}")
        for tool in request.tools:
            if tool.name.startswith("of_") and tool.name != f"of_{agent.name}":
                wrong.append(f"{agent.name} has {tool.name}")
        others = [tool.name for tool in request.tools if tool.name.startswith("handoff_to_")]
        if others and request.tool_choice != "none" and chaos.rng.random() < 0.3:
            yield ToolCall(id=f"call-{chaos.rng.getrandbits(40)}", name=others[0], arguments="{}")
        else:
            yield from chaos.script(request)

    return FakeLLM(script)


async def one_life(seed: int) -> int:
    """How often the call was handed over."""
    rng = Random(seed)
    chaos, wrong = Chaos(rng), list[str]()
    stt: FakeSTT = ChaosStreamingSTT(chaos=chaos) if seed % 2 else ChaosSTT(chaos=chaos)
    definitions = {name: agent_of(name, rng) for name in NAMES}
    agents = FakeAgents({}, takes_s=rng.choice([0.0, 0.0, 0.5, 20.0]))
    for name, each in definitions.items():
        model = model_of(each, chaos, wrong)
        tools = tools_of(each, chaos)
        agents.ready[name] = equipment(each, model, stt=stt, tts=ChaosTTS(chaos), tools=tools)  # type: ignore[arg-type]
    first = agents.ready["north"]
    before = asyncio.all_tasks()
    async with calling(
        agent=first.definition,
        script=first.providers.llm[0].provider.script,  # type: ignore[attr-defined]
        stt=stt,
        tts=ChaosTTS(chaos),  # type: ignore[arg-type]
        tools=first.tools,  # type: ignore[arg-type]
        agents=agents,
    ) as call:
        for step in range(rng.randint(5, 14)):
            await misbehave(call, rng, step)
            _ask(call, rng, step)
        chaos.faults = False
        if not call.task.done():
            await call.room.silent(SETTLED_S)
        if not call.task.done():
            turns = len(call.user_texts)
            await call.say("The last question.")
            assert call.user_texts[turns:] == ["The last question."]
            await _settled(call)
            check_history_against_journal(call)
        assert wrong == []
        assert not chaos.broken_pairs
        check_captions(call)
        _each_turn_is_answered_or_known(call)
        restored = restore(call.records)
        conversation = call.session._conversation
        assert restored.agents[-1] == conversation.definition.name == conversation.trail.current
        assert dict(restored.variables) == conversation.variables
        assert restored.first_hook == conversation.first_hook
        if not call.task.done():
            call.session.end("ended_by_operator")
            assert await call.task == "ended_by_operator"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        return len(call.of("handoff"))


async def _settled(call: Call) -> None:
    """Nothing is being said or handed over."""
    for _ in range(100):
        await call.room.silent(0.5)
        if call.session.state == "listening" and not call.session._parts.handover.under_way:
            return
    raise AssertionError("it never comes to rest")


def _ask(call: Call, rng: Random, step: int) -> None:
    """What an operator may do to the agent."""
    match rng.choice(["hand", "turns", "tell", "tools", "nobody", "nothing", "nothing"]):
        case "hand":
            call.session.do(
                HandOff(agent=rng.choice(NAMES), history=rng.choice(HISTORIES), say=rng.choice(["", "Bye."]))
            )
        case "turns":
            call.session._conversation.set_variables({"turns": step})
        case "tell":
            call.session.do(UpdateInstructions(text="Told otherwise.", edit=rng.choice(["append", "replace"])))
        case "tools":
            call.session.do(SetTools(disable=("lasting",)))
        case "nobody":
            call.session.do(HandOff(agent="nobody"))


def _each_turn_is_answered_or_known(call: Call) -> None:
    """Whoever had the call: after a turn of the caller's there is an answer to it, or another turn."""
    waiting: set[int] = set()
    for record in call.records:
        if record.kind == "turn.user" and record.data.get("source") != "request":
            waiting = {record.data["turn"]}
        elif record.kind == "reply.started":
            waiting.discard(record.data["turn"])
    assert not waiting


@pytest.mark.parametrize("seeds", [range(start, start + 4) for start in range(0, 40, 4)], ids=str)
def test_no_turn_is_lost_and_no_agent_is_taken_for_the_other(seeds: range) -> None:
    handed_over = [run_virtual(one_life(seed)) for seed in seeds]
    assert sum(handed_over) >= 1
