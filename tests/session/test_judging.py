"""A turn detector in a session: asked when the caller falls silent, waited for, and done without when it fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from agentd.config.turns import Endpointing, Turn
from agentd.errors import ProviderError, ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.providers.turn_detector import TurnSoFar
from agentd.session.judging import JUDGE_S
from tests.fakes.call import calling, definition
from tests.fakes.clock import run_virtual


@dataclass
class FakeDetector:
    """Gives these opinions one after the other, the last one again and again."""

    opinions: list[float | ProviderError]
    takes_s: float = 0.06
    asked: list[TurnSoFar] = field(default_factory=list)

    async def judge(self, turn: TurnSoFar) -> float:
        self.asked.append(turn)
        await asyncio.sleep(self.takes_s)
        opinion = self.opinions.pop(0) if len(self.opinions) > 1 else self.opinions[0]
        if isinstance(opinion, ProviderError):
            raise opinion
        return opinion

    async def aclose(self) -> None:
        pass


SHORT = Endpointing(min_delay=Duration(0.3), max_delay=Duration(2.5))


async def delays(detector: FakeDetector, *, detection: str = "auto") -> list[tuple[str, float]]:
    """The rule and the delay of the one turn that is said."""
    agent = definition(turn=Turn(detection=detection, endpointing=SHORT))  # type: ignore[arg-type]
    async with calling(agent=agent, turn_detector=detector) as call:
        await call.room.silent(1.0)
        await call.room.speak(call.learn("A table for two."), 1.0)
        await call.room.silent(4.0)
        return [(turn["rule"], turn["delay_s"]) for turn in call.of("turn.user")]


def test_a_finished_voice_ends_the_turn_as_soon_as_its_words_are_known() -> None:
    detector = FakeDetector([0.9])
    [(rule, delay_s)] = run_virtual(delays(detector))
    assert rule == "silence"
    assert delay_s == pytest.approx(0.396, abs=0.002)  # 256 ms for the detector of silence, 140 ms for the words
    [turn] = detector.asked
    assert turn.language == "en"
    assert turn.audio.duration_s == pytest.approx(0.2 + 1.0 + 0.25, abs=0.05)


def test_an_unfinished_voice_is_waited_for() -> None:
    assert run_virtual(delays(FakeDetector([0.1]))) == [("turn_detector_alone", pytest.approx(1.4, abs=0.001))]


@pytest.mark.parametrize(
    "detector", [FakeDetector([ProviderUnavailable("bat", "asleep")]), FakeDetector([0.1], takes_s=60.0)]
)
def test_a_detector_that_fails_or_takes_too_long_is_done_without(detector: FakeDetector) -> None:
    [(rule, delay_s)] = run_virtual(delays(detector))
    assert rule == "silence"
    assert delay_s <= 0.256 + JUDGE_S + 0.002


def test_a_detector_is_not_asked_where_the_file_has_something_else_decide() -> None:
    detector = FakeDetector([0.1])
    assert run_virtual(delays(detector, detection="vad")) == [("silence", pytest.approx(0.396, abs=0.002))]
    assert detector.asked == []


def test_the_detector_hears_the_whole_turn_and_nothing_of_the_one_before() -> None:
    async def story() -> None:
        detector = FakeDetector([0.9, 0.1, 0.9])
        async with calling(agent=definition(turn=Turn(endpointing=SHORT)), turn_detector=detector) as call:
            await call.say("Hello there.")
            await call.room.silent(3.0)
            await call.room.speak(call.learn("A table"), 1.0)
            await call.room.silent(0.8)
            await call.room.speak(call.learn("for two."), 1.0)
            await call.room.silent(3.0)
            assert call.user_texts == ["Hello there.", "A table for two."]
        assert [turn.text for turn in detector.asked] == ["", "", "A table"]
        assert detector.asked[1].audio.duration_s == pytest.approx(1.45, abs=0.05)
        assert detector.asked[2].audio.duration_s == pytest.approx(3.25, abs=0.08)
        assert [round(record["probability"], 1) for record in call.of("turn.judged")] == [0.9, 0.1, 0.9]

    run_virtual(story())
