"""An interruption detector in a session: what it hears, how it is asked, what the journal and its explanation tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentd.config.provider_choice import ProviderChoice
from agentd.errors import ProviderUnavailable
from agentd.providers.interruption_detector import InterruptionDetectorSettings, OverlapSoFar
from agentd.registry import Component, Plugin, Registry
from agentd.runtime.prepared import ProviderPool
from agentd.session.explanation import explain
from agentd.session.overhearing import JUDGE_S, OVERLAP_S, outlook_of
from tests.config.files import agent as agent_of
from tests.fakes.call import Call, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.overlaps import FakeInterruptionDetector
from tests.fakes.providers import FakeSTT, says

LONG = "The clinic is open from nine to five on weekdays and until noon on Saturdays, but never on a Sunday."


@asynccontextmanager
async def speaking(detector: Any, stt: FakeSTT, **more: Any) -> AsyncIterator[Call]:
    """The agent is in mid-sentence."""
    async with calling(script=says("Fine."), stt=stt, interruption_detector=detector, **more) as call:
        call.session.say(LONG)
        await call.room.silent(1.0)
        yield call


def listening(**opinions: float) -> tuple[FakeInterruptionDetector, FakeSTT]:
    stt = FakeSTT()
    return FakeInterruptionDetector(lambda value: stt.texts.get(value, ""), opinions), stt


def test_it_hears_the_sound_from_before_its_onset_with_the_voice_activity() -> None:
    async def story() -> None:
        detector, stt = listening()
        async with speaking(detector, stt) as call:
            await call.room.speak(call.learn("I meant the other one."), 1.0)
            await call.room.silent(1.0)
        first = detector.asked[0]
        assert first.audio.duration_s == pytest.approx(0.2 + 0.096, abs=0.033)
        assert len(first.speech) == round(first.audio.duration_s / first.window_s)
        assert first.speech[-3:] == (1.0, 1.0, 1.0)
        assert first.speech[0] == 0.0
        assert first.language == "en"
        gaps = [
            b.audio.duration_s - a.audio.duration_s for a, b in zip(detector.asked, detector.asked[1:], strict=False)
        ]
        assert gaps == [pytest.approx(0.064)] * len(gaps)

    run_virtual(story())


def test_it_hears_no_more_than_the_last_seconds_of_a_long_sound() -> None:
    async def story() -> None:
        detector, stt = listening()
        async with speaking(detector, stt) as call:
            await call.room.speak(call.learn(""), 5.0)
        assert max(each.audio.duration_s for each in detector.asked) == pytest.approx(OVERLAP_S, abs=0.033)

    run_virtual(story())


def test_one_question_is_asked_at_a_time_and_none_after_one_that_was_not_answered() -> None:
    async def story() -> None:
        detector, stt = listening()
        detector.takes_s = 0.15
        async with speaking(detector, stt) as call:
            await call.room.speak(call.learn(""), 2.0)
            assert detector.most_at_once == 1
            asked = len(detector.asked)
            assert asked > 8
            detector.takes_s = 30.0
            await call.room.silent(1.0)
            await call.room.speak(call.learn(""), 2.0)
            await call.room.silent(1.0)
            assert len(detector.asked) <= asked + 2
            assert len(call.of("error")) == len(detector.asked) - asked
            assert call.of("error")[0]["message"] == f"no answer within {JUDGE_S:g} s"

    run_virtual(story())


def test_it_is_not_asked_while_the_agent_is_silent() -> None:
    async def story() -> None:
        detector, stt = listening()
        async with calling(script=says("Fine."), stt=stt, interruption_detector=detector) as call:
            await call.say("When do you open?")
            await call.room.silent(3.0)
            assert call.agent_texts == ["Fine."]
        assert detector.asked == []

    run_virtual(story())


def test_the_journal_has_each_change_of_its_opinion_and_the_explanation_says_what_came_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        stt = FakeSTT()
        opinions = {"No, wait a moment.": [(0.0, 0.1), (0.4, 0.6), (0.8, 0.97)]}
        detector = FakeInterruptionDetector(lambda value: stt.texts.get(value, ""), opinions)
        agent = agent_of(tmp_path, "interruption_detector: {provider: lynx, interrupts_from: 0.95}\n")
        async with speaking(detector, stt, agent=agent) as call:
            await call.room.speak(call.learn("No, wait a moment."), 1.2)
            await call.room.silent(3.0)
            judged = [(each["outlook"], each["probability"], each["value"]) for each in call.of("interruption.judged")]
            assert judged == [
                ("ignored", 0.1, "interruption_detector.ignores_below=0.2"),
                ("open", 0.6, "interruption_detector.ignores_below=0.2"),
                ("interrupts", 0.97, "interruption_detector.interrupts_from=0.95"),
            ]
            [reply] = explain("S1", call.records).replies
        assert [(pause.cause.rule, pause.resumed and pause.resumed.rule) for pause in reply.pauses] == [
            ("speech_onset", "no_interruption_heard"),
            ("speech_goes_on", None),
        ]
        assert reply.cut is not None
        assert reply.cut.why == "it sounded like somebody who takes the turn"
        assert reply.cut.value == "interruption_detector.interrupts_from=0.95"
        assert reply.cut.place.endswith("one.yaml:4")
        resumed = reply.pauses[0].resumed
        assert resumed is not None
        assert resumed.place == "default"

    run_virtual(story())


def test_a_detector_that_fails_costs_a_line_in_the_journal_and_no_more() -> None:
    async def story() -> None:
        detector, stt = listening()
        detector.fails = ProviderUnavailable("lynx", "asleep")
        async with speaking(detector, stt) as call:
            await call.room.speak(call.learn("I meant the other one."), 1.0)
            await call.room.silent(2.0)
            assert call.user_texts == ["I meant the other one."]
            assert [error["message"] for error in call.of("error")] == ["asleep"]
        assert len(detector.asked) == 1

    run_virtual(story())


def test_what_an_opinion_means_is_settled_by_two_probabilities() -> None:
    settings = InterruptionDetectorSettings(interrupts_from=0.8, ignores_below=0.3)
    outlooks = [outlook_of(probability, settings)[0] for probability in (0.0, 0.29, 0.3, 0.79, 0.8, 1.0)]
    assert outlooks == ["ignored", "ignored", "open", "open", "interrupts", "interrupts"]


# Somebody else's detector, through the registry.


class Owl:
    """Thinks that whoever makes a sound for half a second wants the turn."""

    def __init__(self, settings: InterruptionDetectorSettings) -> None:
        self.settings = settings

    async def judge(self, overlap: OverlapSoFar) -> float:
        await asyncio.sleep(0.01)
        return 1.0 if sum(overlap.speech) * overlap.window_s > 0.5 else 0.5

    async def aclose(self) -> None:
        pass


async def create_owl(settings: InterruptionDetectorSettings) -> Owl:
    return Owl(settings)


def test_a_package_of_somebody_elses_may_bring_a_detector() -> None:
    component = Component(
        kind="interruption_detector",
        provider="night-owl",
        settings="agentd.providers.interruption_detector:InterruptionDetectorSettings",
        factory="tests.session.test_overhearing:create_owl",
        summary="An owl.",
    )
    registry = Registry([Plugin(name="owls", version="1", components=(component,))])
    settings = registry.settings_class(registry.find("interruption_detector", "night-owl"))()
    choice = ProviderChoice(kind="interruption_detector", provider="night-owl", settings=settings, digest="1")

    async def story() -> None:
        detector = await ProviderPool(registry).acquire(choice)
        assert detector.settings.interrupts_from == 0.9
        async with speaking(detector, FakeSTT(), agent=definition(interruption_detector=choice)) as call:
            await call.room.speak(call.learn("Well, what I wanted to ask you"), 2.0)
            cut = [each for each in call.of("decision") if each["action"] == "Interrupt"]
            assert [each["rule"] for each in cut] == ["interruption_heard"]

    run_virtual(story())
