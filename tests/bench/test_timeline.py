"""What a caller noticed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentd.loadtest.heard import Heard
from agentd.loadtest.microphone import EAR_HZ
from bench.turn_taking.phrases import GREETING, STORIES
from bench.turn_taking.timeline import Said, Timeline, stall_s, stretches

PIECE = EAR_HZ // 100


def heard(*spans: tuple[float, float], until: float = 3.0) -> Heard:
    """A tone in the spans, silence elsewhere; the call is joined at 100 s."""
    found = Heard()
    for number in range(round(until * 100)):
        at = number / 100
        loud = any(start <= at + 0.001 < end for start, end in spans)
        found.add(100 + at + 0.01, np.full(PIECE, 3000 if loud else 0, np.int16))
    return found


def test_sound_is_told_in_stretches_and_a_closed_mouth_is_no_silence() -> None:
    found = stretches(heard((0.5, 1.0), (1.04, 1.2), (2.0, 2.5)), 100.0)
    assert found == ((pytest.approx(0.5), pytest.approx(1.2)), (pytest.approx(2.0), pytest.approx(2.5)))


def test_a_stall_is_time_in_which_nothing_came() -> None:
    steady = heard((0.5, 1.0))
    assert stall_s(steady) == pytest.approx(0.01)
    steady.add(100 + 4.2, np.zeros(PIECE, np.int16))
    assert stall_s(steady) == pytest.approx(1.2)
    assert stall_s(Heard()) == 0.0


def test_sound_before_and_after_a_time() -> None:
    seen = Timeline(sound=((1.0, 2.0), (4.0, 5.0)), until=9.0)
    assert seen.audible_s(1.5, 4.25) == pytest.approx(0.75)
    assert [seen.sound_after(at) for at in (0.0, 1.5, 2.0, 5.0)] == [1.0, 1.5, 4.0, None]


@pytest.mark.parametrize(
    ("at", "pause"),
    [
        (0.0, (2.0, 4.0)),
        (2.5, (2.5, 4.0)),  # silent already: it counts from here
        (3.8, (5.0, math.inf)),  # what is left of that silence is too short
        (8.8, None),  # too near the end to know
    ],
)
def test_a_pause_is_silence_that_lasts(at: float, pause: tuple[float, float] | None) -> None:
    seen = Timeline(sound=((1.0, 1.5), (1.7, 2.0), (4.0, 5.0)), until=9.0)
    assert seen.pause_after(at, 0.5) == pause
    assert Timeline(until=9.0).pause_after(at, 0.5) is None


def test_captions_tell_which_answer_is_being_spoken() -> None:
    said = [
        Said(1.0, GREETING),
        Said(3.0, "The"),
        Said(3.5, "The house was built"),
        Said(5.0, STORIES[0][40:90]),
        Said(6.0, STORIES[1][:30]),
    ]
    seen = Timeline(agent_said=tuple(said))
    assert seen.stories(0.0) == [0, 1]
    assert seen.stories(0.0, 5.5) == [0]
    assert seen.stories(5.5) == [1]
