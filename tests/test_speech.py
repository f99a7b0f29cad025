"""The measuring stick itself."""

from __future__ import annotations

import pytest

from agentd.audio import level_dbfs
from tests.speech import human, human_speech_installed, utterance, with_silence, word_error_rate


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [
        ("go forward ten meters", "Go forward 10 meters.", 0.0),
        ("mister john dashwood", "Mr. John Dashwood", 0.0),
        ("a b c d", "a x c d", 0.25),
        ("a b c d", "a c d", 0.25),
        ("a b c d", "a b b c d", 0.25),
        ("a b", "", 1.0),
        ("", "you", 1.0),
        ("", "", 0.0),
    ],
)
def test_word_error_rate(reference: str, hypothesis: str, rate: float) -> None:
    assert word_error_rate(reference, hypothesis) == pytest.approx(rate)


def test_equal_seeds_give_equal_speech_and_other_texts_do_not() -> None:
    assert utterance("Good morning.", seed=3) == utterance("Good morning.", seed=3)
    assert utterance("Good morning.", seed=3).data != utterance("Good evening.", seed=3).data


def test_silence_is_put_around_speech() -> None:
    speech = utterance("Good morning.")
    framed = with_silence(speech, 0.5, 1.0)
    assert framed.duration_s == pytest.approx(speech.duration_s + 1.5, abs=0.001)
    assert framed.data[: 16_000 * 2 // 2].count(0) == 16_000


@pytest.mark.skipif(not human_speech_installed(), reason="Debian packages pocketsphinx-testdata, alsa-utils")
def test_recorded_speech_comes_at_the_rate_that_is_wanted() -> None:
    frame, transcript = human("front-center", rate_hz=24_000)
    assert frame.sample_rate_hz == 24_000
    assert 1.0 < frame.duration_s < 2.0
    assert level_dbfs(frame) > -40
    assert transcript == "front center"
