"""Stages of a silence: whatever the moments are, they add up to it."""

from __future__ import annotations

from random import Random

import pytest

from agentd.session.timing import RARE, STAGES, TOTAL, ReplyTiming, TurnTiming, stages


def turn(*, words_at: float | None = 10.39, committed: float = 10.5) -> TurnTiming:
    """The caller fell silent at 10 s; the VAD was sure of it at 10.25 s."""
    return TurnTiming(last_speech=10.0, speech_ended=10.25, words_at=words_at, committed=committed)


def test_one_thing_after_the_other() -> None:
    reply = ReplyTiming(began=10.5, first_segment=10.9, first_sound=11.0, audible=11.001)
    assert stages(turn(), reply) == {"eou": 0.5, "stt": 0.0, "llm_ttft": 0.4, "tts_ttfb": 0.101, "e2e": 1.001}


def test_a_recogniser_counts_where_the_turn_waited_for_it() -> None:
    reply = ReplyTiming(began=11.0, first_segment=11.0, first_sound=11.0, audible=11.0)
    found = stages(turn(words_at=11.0, committed=11.0), reply)
    assert (found["eou"], found["stt"], found["e2e"]) == (0.25, 0.75, 1.0)


def test_a_recogniser_that_is_done_in_the_silence_costs_nothing() -> None:
    reply = ReplyTiming(began=10.5, audible=10.5)
    assert stages(turn(words_at=10.49), reply) == {"eou": 0.5, "stt": 0.0, "llm_ttft": 0, "tts_ttfb": 0, "e2e": 0.5}


def test_what_was_made_before_the_turn_ended_costs_nothing() -> None:
    reply = ReplyTiming(began=10.5, first_segment=10.45, first_sound=10.48, audible=10.51)
    assert stages(turn(), reply) == {"eou": 0.5, "stt": 0, "llm_ttft": 0, "tts_ttfb": 0.01, "e2e": 0.51}


def test_tools_before_the_first_word_are_told_apart_from_the_model() -> None:
    reply = ReplyTiming(began=10.5, first_segment=13.0, audible=13.1, tools=((11.0, 12.5), (14.0, 15.0)))
    found = stages(turn(), reply)
    assert (found["llm_ttft"], found["tools"], found["tts_ttfb"], found["e2e"]) == (1.0, 1.5, 0.1, 3.1)


def test_sound_that_was_held_is_told_apart_from_synthesis() -> None:
    reply = ReplyTiming(began=10.5, first_segment=10.6, first_sound=10.7, held_until=12.0, audible=12.0)
    found = stages(turn(), reply)
    assert (found["tts_ttfb"], found["hold"]) == (0.1, 1.3)
    earlier = ReplyTiming(began=10.5, first_segment=10.6, first_sound=10.7, held_until=10.65, audible=10.7)
    assert "hold" not in stages(turn(), earlier)


def test_the_silence_begins_with_the_end_of_what_the_agent_itself_was_saying() -> None:
    reply = ReplyTiming(began=14.0, agent_silent=14.0, first_segment=14.2, audible=14.3)
    assert stages(turn(), reply) == {"eou": 0, "stt": 0, "llm_ttft": 0.2, "tts_ttfb": 0.1, "e2e": 0.3}


def test_a_reply_to_no_turn_has_only_what_it_took_by_itself() -> None:
    assert stages(None, ReplyTiming(began=1.0, first_segment=1.3, audible=1.5)) == {"llm_ttft": 0.3, "tts_ttfb": 0.2}


def test_a_reply_that_was_not_heard_has_no_latency() -> None:
    assert stages(turn(), ReplyTiming(began=10.5, first_segment=10.6)) == {}


@pytest.mark.parametrize("seed", range(500))
def test_whatever_the_moments_the_stages_add_up_and_none_is_negative(seed: int) -> None:
    rng = Random(seed)

    def moment() -> float:
        return rng.uniform(-1, 6)

    def perhaps() -> float | None:
        return moment() if rng.random() < 0.7 else None

    caller = TurnTiming(last_speech=moment(), speech_ended=perhaps(), words_at=perhaps(), committed=moment())
    rounds = tuple((moment(), moment()) for _ in range(rng.randint(0, 3)))
    reply = ReplyTiming(
        began=moment(), agent_silent=perhaps(), first_segment=perhaps(), first_sound=perhaps(), held_until=perhaps(),
        audible=moment(), tools=rounds,
    )  # fmt: skip
    found = stages(caller, reply)
    assert set(found) <= {*STAGES, TOTAL}
    assert set(found) >= {*STAGES, TOTAL} - RARE
    assert all(seconds >= 0 for seconds in found.values())
    ticks = {name: round(seconds * 10_000) for name, seconds in found.items()}
    assert sum(ticks[name] for name in STAGES if name in ticks) == ticks[TOTAL]
    assert found[TOTAL] == pytest.approx(max(0.0, reply.audible - _since(caller, reply)), abs=0.00006)


def _since(caller: TurnTiming, reply: ReplyTiming) -> float:
    return max(caller.last_speech, reply.agent_silent if reply.agent_silent is not None else caller.last_speech)
