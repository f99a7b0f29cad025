"""The caller who says nothing, and the call that lasts too long: the decisions by themselves, and whole calls."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from agentd.aio import now
from agentd.config.definition import IdlePrompt, Limits
from agentd.providers.fields import Duration
from agentd.session.quiet import QuietCaller
from agentd.session.restore import restore
from tests.fakes.call import Call, calling, definition
from tests.fakes.clock import run_virtual
from tests.session.test_session import LONG, story


def seconds(value: float) -> Duration:
    return Duration(value)


def passed(quiet: QuietCaller, until: int, *, silent: bool = True) -> list[tuple[int, str]]:
    """What is due in each second."""
    found = []
    for at in range(until + 1):
        while (due := quiet.due(at, silent=silent)) is not None:
            found.append((at, due.what))
    return found


# The decisions.


def test_the_caller_is_away_after_fifteen_seconds_of_silence_by_default_and_back_with_the_first_sound() -> None:
    quiet = QuietCaller(Limits(), 0.0, 0.0)
    assert passed(quiet, 14) == []
    assert (quiet.due(15, silent=True), quiet.state) != (None, "listening")
    assert quiet.state == "away"
    assert quiet.due(60, silent=True) is None  # once
    quiet.speaks(61, speaking=True)
    assert quiet.state == "speaking"
    quiet.speaks(62, speaking=False)
    assert passed(quiet, 76) == []
    assert passed(quiet, 77) == [(77, "away")]
    quiet.spoke(80)  # typed
    assert quiet.state == "listening"


def test_a_caller_is_not_away_while_somebody_speaks_or_where_the_file_says_never() -> None:
    assert passed(QuietCaller(Limits(), 0.0, 0.0), 60, silent=False) == []
    assert passed(QuietCaller(Limits(away_after=None), 0.0, 0.0), 60) == []


def test_prompts_come_after_silence_and_words_begin_the_count_anew() -> None:
    prompt = IdlePrompt(after=seconds(10), say="Hello?", times=2, then="end_call")
    quiet = QuietCaller(Limits(idle_prompt=prompt, away_after=None), 0.0, 0.0)
    assert passed(quiet, 25) == [(10, "prompt"), (20, "prompt")]
    quiet.spoke(26)
    assert passed(quiet, 70) == [(36, "prompt"), (46, "prompt"), (56, "give_up")]


def test_a_call_ends_after_silence_with_prompts_and_without() -> None:
    assert passed(QuietCaller(Limits(end_after_silence=seconds(30), away_after=None), 0.0, 0.0), 90) == [
        (30, "give_up")
    ]
    prompt = IdlePrompt(after=seconds(12), say="Hello?", times=9)
    quiet = QuietCaller(Limits(idle_prompt=prompt, end_after_silence=seconds(30), away_after=None), 0.0, 0.0)
    assert passed(quiet, 90) == [(12, "prompt"), (24, "prompt"), (30, "give_up")]
    quiet = QuietCaller(Limits(end_after_silence=seconds(30), away_after=None), 0.0, 0.0)
    quiet.speaks(20, speaking=True)
    quiet.speaks(21, speaking=False)
    assert passed(quiet, 90) == [(51, "give_up")]


def test_the_end_is_warned_of_once_and_comes_once() -> None:
    limits = Limits(max_duration=seconds(60), warn_before=seconds(10), away_after=None)
    assert passed(QuietCaller(limits, 0.0, 0.0), 300, silent=False) == [(50, "warn"), (60, "time_up")]
    assert passed(QuietCaller(limits, 0.0, 0.0, warned=True), 300) == [(60, "time_up")]


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_a_deadline_is_answered_and_is_never_due_twice(seed: int) -> None:
    """A session that waits for a deadline and finds nothing due there would wait for ever, or spin."""
    rng = Random(seed)
    prompt = IdlePrompt(after=seconds(rng.randint(1, 9)), say="?", times=rng.randint(1, 3), then="end_call")
    quiet = QuietCaller(
        Limits(
            idle_prompt=prompt if rng.random() < 0.7 else None,
            end_after_silence=seconds(rng.randint(10, 40)) if rng.random() < 0.5 else None,
            max_duration=seconds(200) if rng.random() < 0.5 else None,
            away_after=seconds(rng.randint(1, 20)),
        ),
        0.0,
        0.0,
    )
    at, silent = 0.0, True
    for _ in range(200):
        deadline = quiet.deadline(silent=silent)
        if deadline is None or rng.random() < 0.4:
            at += rng.random() * 5
            silent = rng.random() < 0.8
            if rng.random() < 0.5:
                quiet.speaks(at, speaking=not silent)
            else:
                rng.choice([quiet.touched, quiet.spoke])(at)
            while quiet.due(at, silent=silent):
                pass
        else:
            at = max(at, deadline)
            assert quiet.due(at, silent=silent) is not None
            for _ in range(10):
                due = quiet.due(at, silent=silent)
                if due is None:
                    break
            else:
                raise AssertionError("it is due for ever")


# Whole calls.


def states(call: Call) -> list[tuple[str, str]]:
    return [(each["before"], each["state"]) for each in call.of("user.state")]


@story
async def test_the_callers_state_follows_their_voice_and_they_are_away_when_nobody_speaks() -> None:
    async with calling() as call:
        await call.say("Hello.")
        began = now()
        while call.of("user.state")[-1]["state"] != "away":
            await asyncio.sleep(0.01)
        assert states(call) == [("listening", "speaking"), ("speaking", "listening"), ("listening", "away")]
        assert call.of("user.state")[-1]["value"] == "limits.away_after=15.0"
        said_at = max(end for _, end, value in call.room.audio_out.played if value)
        assert now() - said_at == pytest.approx(15.0, abs=0.1)
        assert began < now()
        await call.say("I am back.")
        assert states(call)[3:] == [("away", "speaking"), ("speaking", "listening")]


@story
async def test_a_call_ends_after_silence_that_prompts_do_not_break() -> None:
    prompt = IdlePrompt(after=seconds(8), say="Are you there?", times=9)
    agent = definition(limits=Limits(idle_prompt=prompt, end_after_silence=seconds(20)))
    async with calling(agent=agent) as call:
        await call.say("Hello.")
        assert await call.task == "idle"
        asked = [turn["purpose"] for turn in call.of("turn.agent")]
        assert asked == ["answer", "idle", "idle", "goodbye"]
        (rule,) = [d for d in call.of("decision") if d["action"] == "GiveUp"]
        assert (rule["rule"], rule["value"]) == ("silence", "limits.end_after_silence=20")


@story
async def test_the_caller_is_warned_before_the_longest_call_ends() -> None:
    limits = Limits(max_duration=seconds(30), warn_before=seconds(10), warning="{{ left }} left.")
    async with calling(agent=definition(limits=limits, variables={"left": "Ten seconds"})) as call:
        assert await call.task == "max_duration"
        warning, goodbye = call.of("turn.agent")
        assert (warning["purpose"], warning["text"]) == ("warning", "Ten seconds left.")
        assert goodbye["purpose"] == "goodbye"
        assert [d["action"] for d in call.of("decision")] == ["WarnOfEnd", "TimeUp"]


@story
async def test_a_warning_waits_for_what_is_being_said_and_for_the_caller() -> None:
    limits = Limits(max_duration=seconds(60), warn_before=seconds(57))
    async with calling(agent=definition(limits=limits)) as call:
        await call.room.silent(0.1)
        call.session.say(LONG)
        await call.room.silent(12)
        assert [turn["purpose"] for turn in call.of("turn.agent")] == ["say", "warning"]
        assert call.agent_texts[1] == "Our time is almost up."


def test_a_warning_is_not_given_again_by_the_next_process() -> None:
    agent = definition(limits=Limits(max_duration=seconds(3600), warn_before=seconds(3599)))

    async def warned() -> Call:
        async with calling(agent=agent) as call:
            await call.room.silent(5)
            call.records = list(call.records)
            return call

    async def resumed(call: Call) -> list[str]:
        async with calling(agent=agent, restored=restore(call.records), incarnation=2) as again:
            await again.room.silent(6)
            return [turn["purpose"] for turn in again.of("turn.agent")]

    first = run_virtual(warned())
    assert [turn["purpose"] for turn in first.of("turn.agent")] == ["warning"]
    assert run_virtual(resumed(first)) == ["bridge"]
