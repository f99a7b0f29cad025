"""The echo that a caller's microphone carries."""

from __future__ import annotations

import numpy as np
import pytest

from agentd.loadtest.microphone import EAR_HZ, MIC_FRAME, MIC_HZ, Echo, EchoPath


def through(path: EchoPath, heard: np.ndarray) -> np.ndarray:
    """What comes out while 10 ms at a time goes in."""
    step = EAR_HZ // 100
    out = []
    for at in range(0, len(heard), step):
        path.push(heard[at : at + step])
        out.append(path.pull(MIC_HZ // 100))
    return np.concatenate(out)


def impulse(seconds: float) -> np.ndarray:
    heard = np.zeros(round(seconds * EAR_HZ), np.int16)
    heard[0] = 10_000
    return heard


def test_an_echo_comes_later_and_quieter_and_again_from_the_walls() -> None:
    out = through(EchoPath(Echo(delay_s=0.1, gain_db=-20, walls=((0.02, 0.5),))), impulse(0.3))
    assert int(np.argmax(out)) == pytest.approx(0.1 * MIC_HZ, abs=2)
    assert out.max() == pytest.approx(1000)
    wall = out[round(0.115 * MIC_HZ) :]
    assert wall.max() == pytest.approx(500)
    assert int(np.argmax(wall)) + round(0.115 * MIC_HZ) == pytest.approx(0.12 * MIC_HZ, abs=2)


def test_an_echo_is_the_same_however_the_sound_is_cut() -> None:
    heard = np.random.default_rng(0).integers(-8000, 8000, EAR_HZ // 2).astype(np.int16)
    whole = EchoPath(Echo(delay_s=0.08, gain_db=-12))
    whole.push(heard[: EAR_HZ // 10])
    pieces = EchoPath(Echo(delay_s=0.08, gain_db=-12))
    for at in range(0, EAR_HZ // 10, 240):
        pieces.push(heard[at : at + 240])
    assert np.allclose(whole.pull(MIC_HZ // 10), pieces.pull(MIC_HZ // 10))


def test_where_nothing_was_heard_there_is_silence() -> None:
    path = EchoPath(Echo(delay_s=0.05, gain_db=0))
    assert not path.pull(MIC_FRAME).any()
    assert len(path.pull(10 * MIC_FRAME)) == 10 * MIC_FRAME


def test_what_waits_too_long_is_dropped_so_that_an_echo_stays_an_echo() -> None:
    path = EchoPath(Echo(delay_s=0.05, gain_db=0))
    path.push(np.ones(5 * EAR_HZ, np.int16))
    assert np.count_nonzero(path.pull(MIC_HZ)) <= 0.15 * MIC_HZ
