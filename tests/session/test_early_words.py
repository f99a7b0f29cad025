"""Words that are asked for at a lull are there sooner, cost a call one request at a time, and are never believed when
the caller goes on."""

from __future__ import annotations

import pytest

from agentd.config.turns import Endpointing, Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.providers.stt import STTCapabilities
from tests.fakes.call import calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeSTT

TURN = Turn(endpointing=Endpointing(min_delay=Duration(0.3), max_delay=Duration(2.5)))


def recogniser(*, delay_s: float = 0.4, early: bool = True) -> FakeSTT:
    return FakeSTT(delay_s=delay_s, capabilities=STTCapabilities(streaming=False, early=early))


async def _heard(stt: FakeSTT, *parts: tuple[str, float, float]) -> list[tuple[str, float]]:
    """The turns of a caller who says each text for so long and is silent for so long, with their delays."""
    async with calling(agent=definition(turn=TURN), stt=stt) as call:
        await call.room.silent(1.0)
        for text, speech_s, silence_s in parts:
            await call.room.speak(call.learn(text), speech_s)
            await call.room.silent(silence_s)
        await call.room.silent(4.0)
        return [(turn["text"], turn["delay_s"]) for turn in call.of("turn.user")]


def heard(stt: FakeSTT, *parts: tuple[str, float, float]) -> list[tuple[str, float]]:
    return run_virtual(_heard(stt, *parts))


def test_words_are_there_sooner_by_the_silence_that_ends_an_utterance() -> None:
    late, soon = recogniser(early=False), recogniser()
    assert heard(late, ("A table for two.", 1.0, 1.0)) == [("A table for two.", pytest.approx(0.656, abs=0.002))]
    assert heard(soon, ("A table for two.", 1.0, 1.0)) == [("A table for two.", pytest.approx(0.496, abs=0.04))]
    assert len(late.asked) == len(soon.asked) == 1


def test_words_that_are_known_do_not_end_an_utterance() -> None:
    [(_, delay_s)] = heard(recogniser(delay_s=0.0), ("A table for two.", 1.0, 1.0))
    assert delay_s == pytest.approx(0.3, abs=0.002)


def test_what_was_recognised_before_the_caller_went_on_is_thrown_away() -> None:
    stt = recogniser()
    assert [text for text, _ in heard(stt, ("A table", 1.0, 0.16), ("for two.", 1.0, 1.0))] == ["A table for two."]
    assert len(stt.asked) == 2  # at each lull; at the end the words of the second are on their way

    slow = recogniser(delay_s=1.5)
    assert [text for text, _ in heard(slow, ("A table", 1.0, 0.16), ("for two.", 1.0, 1.0))] == ["A table for two."]
    assert len(slow.asked) == 2  # at the first lull, which is under way at the second, and at the end


def test_a_call_has_one_request_in_vain_at_a_time() -> None:
    stt = recogniser(delay_s=3.0)
    parts = [("well", 0.4, 0.16)] * 8
    heard(stt, *parts)
    assert len(stt.asked) == 3  # after 0.5 s and 3.5 s, and at the end


def test_tiny_lulls_and_short_sounds_are_not_asked_about() -> None:
    stt = recogniser(delay_s=0.05)
    heard(stt, *[("well", 0.32, 0.064)] * 4, ("then", 0.4, 1.0))
    assert len(stt.asked) == 1
    short = recogniser(delay_s=0.05)
    [(_, delay_s)] = heard(short, ("Yes.", 0.2, 1.0))
    assert len(short.asked) == 1
    assert delay_s == pytest.approx(0.306, abs=0.03)


def test_a_recogniser_that_fails_early_is_asked_again_as_it_would_be_at_the_end() -> None:
    stt = recogniser()
    stt.failures.append(ProviderUnavailable("owl", "asleep"))
    assert [text for text, _ in heard(stt, ("A table for two.", 1.0, 1.0))] == ["A table for two."]
    assert len(stt.asked) == 2
