"""Trials of the providers that an edit brings: once for all calls of a worker, and of those alone that are others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agentd.config.definition import LanguageOverride
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout
from agentd.providers.tts import TTSSettings
from agentd.session.setup import Candidate, Equipment
from agentd.session.trials import HOLDS_S, Trials
from tests.fakes.call import definition, equipment
from tests.fakes.providers import FakeLLM, FakeStreamingSTT, FakeTTS, says
from tests.session.test_session import story

BEFORE = definition()
VOICE = ProviderChoice(kind="tts", provider="other", settings=TTSSettings(), digest="tts-2")


def after(voice: FakeTTS, **changes: object) -> Equipment:
    agent = replace(BEFORE, **{"tts": VOICE, **changes})  # type: ignore[arg-type]
    return equipment(agent, FakeLLM(says("Fine.")), stt=FakeStreamingSTT(), tts=voice)


@story
async def test_calls_of_a_worker_share_a_trial_of_what_is_another_provider_than_before() -> None:
    trials, voice = Trials(), FakeTTS()
    equipped = after(voice)
    await asyncio.gather(*(trials.make(BEFORE, equipped, "en") for _ in range(10)))
    assert voice.spoken == ["Hello."]
    assert equipped.providers.llm[0].provider.requests == []  # type: ignore[attr-defined]
    assert equipped.providers.stt[0].provider.asked == []  # type: ignore[attr-defined]
    await trials.make(equipped.definition, equipped, "en")
    assert voice.spoken == ["Hello."]


@story
async def test_what_has_failed_is_taken_for_failed_for_a_while_and_then_tried_again() -> None:
    trials, voice = Trials(), FakeTTS(failures={"Hello.": ProviderRefused("other", "no such voice")})
    for _ in range(2):
        with pytest.raises(ProviderRefused, match="no such voice"):
            await trials.make(BEFORE, after(voice), "en")
    await asyncio.sleep(HOLDS_S + 1)
    await trials.make(BEFORE, after(voice), "en")
    assert voice.spoken == ["Hello."]


@story
async def test_one_that_does_not_answer_has_failed() -> None:
    with pytest.raises(ProviderTimeout):
        await Trials().make(BEFORE, after(FakeTTS(first_sound_s=60.0)), "en")


@story
async def test_the_voice_of_the_present_language_is_the_one_that_is_tried() -> None:
    voice, german = FakeTTS(), FakeTTS(failures={"Hello.": ProviderRefused("other", "no such voice")})
    equipped = after(voice, tts=BEFORE.tts, languages={"de": LanguageOverride(tts=VOICE)})
    providers = equipped.providers
    spoken = replace(providers, languages={"de": replace(providers, tts=(Candidate("other", german),))})
    equipped = replace(equipped, providers=spoken)
    await Trials().make(BEFORE, equipped, "en")
    with pytest.raises(ProviderError, match="no such voice"):
        await Trials().make(BEFORE, equipped, "de")
    assert voice.spoken == []
