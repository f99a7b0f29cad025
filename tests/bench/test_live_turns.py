"""What the reload benchmark takes for a turn of two versions of a file: the judge, without a daemon."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentd.loadtest.microphone import EAR_HZ
from agentd.session.journal import Journal
from bench.live_turns import PITCHES, Turn, pitch_hz, pitches_hz, recorded_otherwise, revision


def sound(*numbers: int) -> np.ndarray:
    """The versions' voices one after the other, 0.8 s each, int16 at EAR_HZ."""
    times = np.arange(round(0.8 * EAR_HZ)) / EAR_HZ
    parts = [np.sin(2 * np.pi * pitch_hz(number) * times) for number in numbers]
    return np.asarray(np.concatenate(parts) * 8000, dtype=np.int16)


@pytest.mark.parametrize("number", [0, 7, PITCHES, 100_003])
def test_a_voice_has_its_versions_pitch(number: int) -> None:
    assert set(pitches_hz(sound(number))) == {pitch_hz(number)}
    assert pitch_hz(number) != pitch_hz(number + 1)


def test_silence_has_no_pitch() -> None:
    assert pitches_hz(np.zeros(EAR_HZ, dtype=np.int16)) == []


@pytest.mark.parametrize(
    ("numbers", "voices", "whole"),
    [({3}, [3, 3], True), ({3, 4}, [3, 3], False), ({3}, [3, 3, 3, 4], False), ({3}, [4], False), (set(), [3], False)],
)
def test_a_turn_is_whole_where_text_and_voice_are_of_one_version(
    numbers: set[int], voices: list[int], whole: bool
) -> None:
    assert Turn(frozenset(numbers), tuple(pitches_hz(sound(*voices)))).whole is whole


def test_a_turn_without_sound_is_not_whole() -> None:
    assert not Turn(frozenset({3}), ()).whole


def test_a_piece_that_is_off_by_itself_is_an_end_of_the_tone() -> None:
    at = pitch_hz(3)
    assert Turn(frozenset({3}), (at - 60, at, at, at, at + 60)).whole
    assert not Turn(frozenset({3}), (at, at, at + 60, at + 60)).whole


def test_a_record_by_another_revision_is_counted(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "one.journal")
    journal.append("session.started", {"room": "here"})
    for text, number in [("By revision 3: yes.", 3), ("By revision 3: yes.", 4), ("By revision 3, revision 4.", 4)]:
        journal.append("turn.agent", {"text": text, "revision": revision(number)})
    journal.append("turn.agent", {"text": "One moment.", "revision": revision(9)})
    journal.close()
    assert recorded_otherwise(tmp_path, ["here"]) == (3, 2)
    assert recorded_otherwise(tmp_path, ["elsewhere"]) == (0, 0)
