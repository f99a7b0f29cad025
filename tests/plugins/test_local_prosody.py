"""The local interruption detector: what it makes of short sounds, sentences and noises."""

from __future__ import annotations

import numpy as np
import pytest
from agentd_local import prosody, silero
from agentd_local.config import ProsodySettings, SileroSettings

from agentd.audio import INPUT_HZ, AudioFrame, concat, silence
from agentd.errors import ProviderRefused
from agentd.providers.interruption_detector import InterruptionDetectorSettings, OverlapSoFar
from agentd.registry import installed
from agentd.session.overhearing import outlook_of
from tests.speech import frames, noise, utterance

WINDOW_S = silero.WINDOW_SAMPLES / INPUT_HZ
SETTINGS = ProsodySettings()


@pytest.fixture(scope="module")
def vad() -> silero.SileroVAD:
    return silero.load(SileroSettings())


async def opinions(vad: silero.SileroVAD, sound: AudioFrame) -> list[str]:
    """What follows from its opinion, every 96 ms from 0.1 s into the sound on, and for 0.25 s after it."""
    whole = concat([silence(0.2, INPUT_HZ), sound, silence(0.25, INPUT_HZ)], INPUT_HZ)
    stream, detector = vad.stream(), await prosody.create_interruption_detector(SETTINGS)
    heard: list[AudioFrame] = []
    speech: list[float] = []
    found = []
    for number, frame in enumerate(frames(whole, WINDOW_S)):
        heard.append(frame)
        speech += await stream.push(frame)
        if number * WINDOW_S >= 0.3 and number % 3 == 0:
            overlap = OverlapSoFar(
                audio=concat(heard, INPUT_HZ), speech=tuple(speech), window_s=WINDOW_S, language="en"
            )
            found.append(outlook_of(await detector.judge(overlap), SETTINGS)[0])
    return found


def sounding(sound: AudioFrame) -> AudioFrame:
    """Without the silence around it."""
    loud = np.flatnonzero(np.abs(sound.array().astype(int)) > 300)
    return AudioFrame(sound.data[2 * loud[0] : 2 * loud[-1]], INPUT_HZ)


@pytest.mark.parametrize("text", ["uh-huh", "right", "yeah", "okay"])
async def test_a_backchannel_is_known_before_the_silence_after_it_is_long(vad: silero.SileroVAD, text: str) -> None:
    found = await opinions(vad, sounding(utterance(text)))
    assert found[-1] == "ignored"
    assert found[0] == "open"


@pytest.mark.parametrize(
    "text", ["No, wait a moment.", "That is not right.", "Can I ask you something?", "How much does it cost?"]
)
async def test_the_beginning_of_a_sentence_is_never_taken_for_nothing_and_never_cuts(
    vad: silero.SileroVAD, text: str
) -> None:
    assert set(await opinions(vad, sounding(utterance(text)))) == {"open"}


async def test_a_long_noise_without_a_voice_is_nothing() -> None:
    sound = noise(1.0, amplitude=2000)
    speech = tuple([0.55] * round(1.0 / WINDOW_S))
    overlap = OverlapSoFar(audio=sound, speech=speech, window_s=WINDOW_S, language="en")
    assert prosody.probability(overlap) < InterruptionDetectorSettings().ignores_below


def test_a_voice_is_known_by_its_period() -> None:
    at = np.arange(INPUT_HZ) / INPUT_HZ
    for hertz in (90, 140, 220, 330):
        voice = sum(np.sin(2 * np.pi * n * hertz * at) / n for n in range(1, 12)) * 3000
        assert prosody.voiced_share(voice.astype(np.float32)) > 0.9
    assert prosody.voiced_share(noise(1.0).array().astype(np.float32)) < 0.2
    assert prosody.voiced_share(np.zeros(INPUT_HZ, np.float32)) == 0.0


async def test_silence_and_no_sound_at_all_are_no_reason_to_fail() -> None:
    detector = await prosody.create_interruption_detector(SETTINGS)
    for sound in (AudioFrame(b"", INPUT_HZ), silence(1.0, INPUT_HZ)):
        assert (
            0.0 <= await detector.judge(OverlapSoFar(audio=sound, speech=(), window_s=WINDOW_S, language="en")) <= 1.0
        )
    with pytest.raises(ProviderRefused, match="wants 16000 Hz"):
        await detector.judge(OverlapSoFar(audio=silence(1, 24_000), speech=(), window_s=WINDOW_S, language="en"))
    await detector.aclose()


def test_it_is_a_component_that_nobody_has_who_does_not_ask() -> None:
    component = installed().find("interruption_detector", "prosody")
    assert installed().settings_class(component)() == SETTINGS
    assert installed().default("interruption_detector") is None


async def test_a_command_of_one_word_is_as_short_as_a_backchannel_which_is_why(vad: silero.SileroVAD) -> None:
    assert (await opinions(vad, sounding(utterance("Stop."))))[-1] == "ignored"
