"""Sounds of the turn-taking benchmark that need no voice: shapes, noise, and how parts are put into time."""

from __future__ import annotations

import numpy as np
import pytest

from agentd.loadtest.microphone import MIC_HZ
from bench.turn_taking import shapes
from bench.turn_taking.corpus import NOISE_BEFORE_S, Colour, Item, Made, Noise, Pause
from bench.turn_taking.sounds import SHAPE_DBFS, SPEECH_DBFS, noise, question, render


def dbfs(sound: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(sound.astype(float)))) / 32768))


def share_below(sound: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power[np.fft.rfftfreq(len(sound), 1 / shapes.HZ) < hz].sum() / power.sum())


@pytest.mark.parametrize("shape", sorted(shapes.SHAPES))
def test_equal_seeds_give_equal_shapes(shape: str) -> None:
    make = shapes.SHAPES[shape]
    assert np.array_equal(make(5), make(5))
    assert not np.array_equal(make(5)[:400], make(6)[:400])
    assert np.isfinite(make(5)).all()


def test_shapes_have_the_length_and_the_spectrum_of_what_they_stand_for() -> None:
    assert all(0.25 < len(shapes.cough(seed)) / shapes.HZ < 1.3 for seed in range(20))
    assert share_below(shapes.door(1), 250) > 0.5 > share_below(shapes.click(1), 1000)
    strokes = np.abs(shapes.keyboard(1)).reshape(-1, 160).max(axis=1)
    assert 0.05 < np.mean(strokes > strokes.max() / 10) < 0.5  # mostly silence
    assert np.array_equal(shapes.music(2.0, 3), shapes.music(2.0, 3))
    assert len(shapes.music(2.0, 3)) == 2 * shapes.HZ


@pytest.mark.parametrize("colour", ["white", "music"])
@pytest.mark.parametrize("snr_db", [20.0, 5.0])
def test_noise_lies_as_far_below_speech_as_it_says(colour: Colour, snr_db: float) -> None:
    made = noise(Noise(colour=colour, snr_db=snr_db, seed=1), 4 * shapes.HZ)
    assert dbfs(made) == pytest.approx(SPEECH_DBFS - snr_db, abs=0.1)


def test_parts_follow_each_other_and_pauses_are_exact() -> None:
    click = Made("click", 1)
    length_s = len(shapes.click(1)) / shapes.HZ
    take = render(Item(id="x", kind="event", parts=(click, Pause(0.75), click)))
    assert take.spans == (
        (0.0, pytest.approx(length_s)),
        (pytest.approx(length_s + 0.75), pytest.approx(2 * length_s + 0.75)),
    )
    assert take.length_s == pytest.approx(take.ended_s, abs=0.01)
    rest = take.samples[round((length_s + 0.05) * MIC_HZ) : round((length_s + 0.7) * MIC_HZ)]
    assert np.abs(rest).max() <= 1
    assert take.samples.dtype == np.int16


def test_noise_begins_before_the_words_and_outlasts_them() -> None:
    white = Noise(colour="white", snr_db=10, seed=1)
    take = render(Item(id="x", kind="noisy", parts=(Made("cough", 1),), noise=white))
    assert take.began_s == NOISE_BEFORE_S
    assert take.length_s > take.ended_s + 5
    assert dbfs(take.samples[-MIC_HZ:]) == pytest.approx(SPEECH_DBFS - 10, abs=0.6)


def test_noise_alone_lasts_as_long_as_it_says() -> None:
    take = render(Item(id="x", kind="noise-alone", noise=Noise(colour="white", snr_db=5, seed=1, seconds=3.0)))
    assert (take.began_s, take.ended_s) == (0.0, 3.0)
    assert take.length_s == pytest.approx(3.0, abs=0.01)


def test_the_level_of_a_shape_is_its_own_and_without_a_question_none_is_asked() -> None:
    item = Item(id="x", kind="event", parts=(Made("keyboard", 2),))
    quiet, loud = render(item), render(Item(id="x", kind="event", parts=(Made("cough", 2),)))
    assert dbfs(quiet.samples) < dbfs(loud.samples) < SHAPE_DBFS["cough"] + 1
    assert question(item) is None
