"""Whatever the providers, the tools, the caller and the operator do: the session's promises hold. In virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from agentd.aio import now
from agentd.config.definition import Greeting
from agentd.config.tools import ToolOptions
from agentd.session.records import Record
from agentd.session.restore import restore
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM
from tests.session.chaos import (
    Chaos,
    ChaosStreamingSTT,
    ChaosSTT,
    ChaosTTS,
    calls_have_results,
    check_captions,
    check_history_against_journal,
    check_played,
)

SETTLED_S = 75.0  # longer than all of a request's retries, in the model and then in synthesis


async def misbehave(call: Call, rng: Random, step: int) -> None:
    """One thing that a caller or an operator may do."""
    room = call.room
    match rng.choice(["speak", "speak", "speak", "cough", "noise", "mute", "away", "type", "say", "interrupt", "wait"]):
        case "speak":
            await room.speak(call.learn(f"Question number {step}."), rng.uniform(0.4, 2.0))
            await room.silent(rng.uniform(0.1, 4.0))
        case "cough":
            await room.speak(call.learn(""), 0.1)
        case "noise":
            await room.speak(call.learn(""), rng.uniform(0.5, 15.0))
        case "mute":  # in mid-word, without a single frame afterwards
            await room.speak(call.learn(f"Muted {step}."), 0.6)
            await asyncio.sleep(rng.uniform(0.1, 5.0))
        case "away":
            room.leave(final=False)
            await asyncio.sleep(rng.uniform(0.1, 20.0))
            room.link(returned=True)
        case "type":
            room.type(f"Typed {step}.")
        case "say":
            call.session.say(f"An operator says {step}.", interruptible=rng.random() < 0.5)
        case "interrupt":
            call.session.interrupt()
        case "wait":
            await room.silent(rng.uniform(0.1, 6.0))


async def one_life(seed: int) -> None:
    rng = Random(seed)
    chaos = Chaos(rng)
    stt = ChaosStreamingSTT(chaos=chaos) if seed % 2 else ChaosSTT(chaos=chaos)
    options = {"cancelled": ToolOptions(cancel_on_interrupt=True)}
    tools = FakeTools({"lasting": chaos.tool, "cancelled": chaos.tool}, options)
    agent = definition(greeting=Greeting(say="Welcome to the clinic.", interruptible=bool(seed % 3)))
    spare = FakeLLM(chaos.script) if seed % 4 == 0 else None
    before = asyncio.all_tasks()
    async with calling(
        agent=agent,
        script=chaos.script,
        stt=stt,
        tts=ChaosTTS(chaos),
        tools=tools,
        fallback_llm=spare,  # type: ignore[arg-type]
    ) as call:
        for step in range(rng.randint(4, 12)):
            await misbehave(call, rng, step)
        chaos.faults = False
        if not call.task.done():
            await call.room.silent(SETTLED_S)
        if call.task.done():
            assert call.task.result() == "error"  # three replies in a row failed: said in the documents
        else:
            await still_answers_and_ends(call)
        assert not chaos.broken_pairs
        check_captions(call)
        check_history_against_journal(call)
        check_played(call, chaos)
        states = [state for _, state in call.room.states]
        assert all(one != other for one, other in pairwise(states))
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


async def still_answers_and_ends(call: Call) -> None:
    assert call.session.state == "listening"
    check_history_against_journal(call)
    replies = len(call.agent_texts)
    await call.say("The last question.")
    await call.room.silent(12)
    assert call.user_texts[-1] == "The last question."
    assert any(text.startswith("S0") for text in call.agent_texts[replies:])
    assert call.session.state == "listening"
    began = now()
    call.session.end("ended_by_operator", goodbye="Goodbye then.")
    assert await call.task == "ended_by_operator"
    assert now() - began < 5
    assert call.agent_texts[-1] == "Goodbye then."


@pytest.mark.parametrize("seed", [*range(60), 141])
def test_no_fault_leaves_the_session_stuck_or_lets_it_remember_what_was_not_heard(seed: int) -> None:
    run_virtual(one_life(seed))


async def many_deaths(seed: int) -> None:
    """The process dies at a random record, twice, while well-behaved parts talk; the third incarnation is to know
    all that was heard, to say none of it again and to answer."""
    rng = Random(seed)
    chaos = Chaos(rng, faults=False)
    earlier: list[Record] = []
    whole: set[str] = set()
    for incarnation in (1, 2, 3):
        restored = restore(earlier) if earlier else None
        tools = FakeTools({"lasting": chaos.tool, "cancelled": chaos.tool})
        agent = definition(greeting=Greeting(say="Welcome to the clinic."))
        async with calling(
            agent=agent, script=chaos.script, tts=ChaosTTS(chaos), tools=tools,  # type: ignore[arg-type]
            restored=restored, incarnation=incarnation,
        ) as call:  # fmt: skip
            if incarnation < 3:
                await call.room.silent(rng.uniform(0, 4))
                for step in range(2):
                    await call.room.speak(call.learn(f"Question {incarnation}.{step}."), 1.0)
                    await call.room.silent(rng.uniform(0.6, 6))
                alive = call.records[: rng.randint(1, len(call.records))]
                whole |= {r.data["text"] for r in alive if r.kind == "segment.heard" and not r.data["interrupted"]}
                earlier += alive
                continue
            await call.room.silent(60)
            assert call.session.state == "listening"
            assert next(state for _, state in call.room.states) == "listening"
            said_again = {h["text"] for h in call.of("segment.heard")} & whole
            assert {text for text in said_again if text.startswith("S0")} == set()
            await call.say("The last question.")
            await call.room.silent(10)
            assert call.agent_texts[-1].startswith("S0")
            check_history_against_journal(call, tuple(earlier))
            check_captions(call, incarnation)
            check_played(call, chaos)


@pytest.mark.parametrize("seed", [*range(60), 141])
def test_two_deaths_at_any_record_lose_and_repeat_nothing(seed: int) -> None:
    run_virtual(many_deaths(seed))


async def records_of_a_call(seed: int) -> list[Record]:
    rng = Random(seed)
    chaos = Chaos(rng)
    tools = FakeTools({"lasting": chaos.tool, "cancelled": chaos.tool})
    agent = definition(greeting=Greeting(say="Welcome to the clinic."))
    async with calling(agent=agent, script=chaos.script, tts=ChaosTTS(chaos), tools=tools) as call:  # type: ignore[arg-type]
        for step in range(6):
            await misbehave(call, rng, step)
        await call.room.silent(5)
        return list(call.records)


@pytest.mark.parametrize("seed", range(8))
def test_a_journal_from_which_a_full_disk_kept_records_is_restored_all_the_same(seed: int) -> None:
    whole: list[Record] = []

    async def hold() -> None:
        whole.extend(await records_of_a_call(seed))

    run_virtual(hold())
    rng = Random(seed)
    for _ in range(60):
        begin, end = sorted((rng.randint(1, len(whole)), rng.randint(1, len(whole))))
        restored = restore(whole[:begin] + whole[end:])
        assert calls_have_results(restored.items)
