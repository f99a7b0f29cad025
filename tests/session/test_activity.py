"""Hysteresis over the VAD's probabilities."""

from __future__ import annotations

from agentd.providers.fields import Duration
from agentd.providers.vad import VADSettings
from agentd.session.activity import Offset, Onset, VoiceActivity

WINDOW_S = 0.032


def run(probabilities: list[float], settings: VADSettings | None = None) -> list[tuple[int, Onset | Offset]]:
    """Changes with the number of the window at whose end they were known."""
    activity = VoiceActivity(settings or VADSettings(), WINDOW_S)
    changes = []
    for number, probability in enumerate(probabilities, 1):
        changes += [(number, change) for change in activity.push([probability], number * WINDOW_S)]
    return changes


def test_speech_begins_after_min_speech_and_is_dated_back_to_its_first_window() -> None:
    ((number, onset),) = run([0, 0, 1, 1, 1])
    assert number == 4  # 64 ms of speech, more than the 50 of min_speech
    assert isinstance(onset, Onset)
    assert abs(onset.since - 2 * WINDOW_S) < 1e-9


def test_a_click_shorter_than_min_speech_is_nothing() -> None:
    assert run([0, 1, 0, 1, 0, 0]) == []


def test_speech_ends_after_min_silence_and_is_dated_to_its_last_window() -> None:
    changes = run([1] * 10 + [0] * 10)
    number, offset = changes[1]
    assert number == 18  # 8 windows are the first 250 ms
    assert isinstance(offset, Offset)
    assert abs(offset.last_speech - 10 * WINDOW_S) < 1e-9
    assert abs(offset.speech_s - 10 * WINDOW_S) < 1e-9


def test_a_dip_below_activation_is_not_silence_until_it_is_deep() -> None:
    assert len(run([1] * 5 + [0.4] * 20)) == 1
    assert len(run([1] * 5 + [0.3] * 20)) == 2


def test_min_silence_is_the_configured_one() -> None:
    changes = run([1] * 5 + [0] * 10, VADSettings(min_silence=Duration(0.1)))
    assert changes[1][0] == 9


def test_stopping_ends_speech_once() -> None:
    activity = VoiceActivity(VADSettings(), WINDOW_S)
    activity.push([1, 1, 1], 0.096)
    assert len(activity.stop()) == 1
    assert activity.stop() == []
