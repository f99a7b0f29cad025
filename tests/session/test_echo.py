"""The agent's own voice is found in what is heard, and a caller's is not taken for it. On synthetic voices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.session.echo import SLOT_S, DoubleTalk, EchoWatch
from tests.speech import utterance

WINDOW = round(SLOT_S * INPUT_HZ)
AGENT = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon, and on Sundays we are closed."
CALLER = "I was wondering whether you could tell me something about the prices for a cleaning and a small filling."


def voice(text: str, *, seed: int = 0) -> np.ndarray:
    return utterance(text, seed=seed).array().astype(np.float64)


def through_a_room(
    sound: np.ndarray, delay_s: float, loss_db: float, *, seed: int = 1, noise: float = 30
) -> np.ndarray:
    """Later, quieter, with a room's ringing (150 ms) and a microphone's noise."""
    rng = np.random.default_rng(seed)
    ringing = rng.normal(0, 1, round(0.15 * INPUT_HZ)) * np.exp(-np.arange(round(0.15 * INPUT_HZ)) / (0.04 * INPUT_HZ))
    ringing[0] = 3.0
    ringing *= 10 ** (-loss_db / 20) / np.sqrt(np.square(ringing).sum())
    late = np.concatenate([np.zeros(round(delay_s * INPUT_HZ)), sound])[: len(sound)]
    return np.convolve(late, ringing)[: len(sound)] + rng.normal(0, noise, len(sound))


def frame(sound: np.ndarray) -> AudioFrame:
    return AudioFrame(sound.clip(-32768, 32767).astype("<i2").tobytes(), INPUT_HZ)


def watched(watch: EchoWatch, played: np.ndarray, heard: np.ndarray) -> Iterator[tuple[float, bool, bool]]:
    """(time, whether the window is loud, whether it was taken for echo) of every window."""
    for number in range(min(len(played), len(heard)) // WINDOW):
        span = slice(number * WINDOW, (number + 1) * WINDOW)
        begins, ends = number * SLOT_S, (number + 1) * SLOT_S
        watch.played(frame(played[span]), begins)
        loud = float(np.sqrt(np.mean(np.square(heard[span])))) > 100
        yield ends, loud, any(watch.heard(frame(heard[span]), ends))


@pytest.mark.parametrize("loss_db", [6, 15, 25])
@pytest.mark.parametrize("delay_s", [0.08, 0.2, 0.6])
def test_an_echo_is_known_after_four_seconds_of_speech(delay_s: float, loss_db: float) -> None:
    agent, watch = voice(AGENT), EchoWatch()
    windows = list(watched(watch, agent, through_a_room(agent, delay_s, loss_db)))
    later = [echo for at, loud, echo in windows if loud and at > 4.0]
    assert len(later) > 15
    assert sum(not echo for echo in later) <= 2
    assert watch.path is not None
    assert watch.path.delay_s == pytest.approx(delay_s, abs=3 * SLOT_S)
    assert watch.path.loss_db == pytest.approx(loss_db, abs=4)


def test_a_caller_who_talks_while_the_agent_does_is_never_taken_for_its_echo() -> None:
    agent, caller = voice(AGENT), voice(CALLER, seed=3)
    for shift_s in np.arange(0, 2, 0.25):
        watch = EchoWatch()
        heard = np.roll(caller, round(shift_s * INPUT_HZ))
        assert not any(echo for _, _, echo in watched(watch, agent, heard))


def test_a_caller_who_speaks_over_the_agent_is_heard_through_its_echo() -> None:
    agent, watch = voice(AGENT), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    caller = voice(CALLER, seed=3)[: round(1.5 * INPUT_HZ)]
    begins_s = 5.0
    at = round(begins_s * INPUT_HZ)
    heard[at : at + len(caller)] += caller
    windows = list(watched(watch, agent, heard))
    over = [not echo for time, _, echo in windows if begins_s < time <= begins_s + 0.6]
    assert any(all(pair) for pair in pairwise(over)), "no two windows in a row: the detector would notice nothing"
    assert all(echo for time, loud, echo in windows if loud and 4.0 < time < begins_s)


def test_a_frame_of_two_windows_is_two_answers() -> None:
    agent, watch = voice(AGENT), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    alone = [echo for _, _, echo in watched(EchoWatch(), agent, heard)]
    in_pairs: list[bool] = []
    for number in range(0, len(alone) - 1, 2):
        span = slice(number * WINDOW, (number + 2) * WINDOW)
        watch.played(frame(agent[span]), number * SLOT_S)
        in_pairs += watch.heard(frame(heard[span]), (number + 2) * SLOT_S)
    assert in_pairs == alone[: len(in_pairs)]
    assert any(in_pairs)


def test_what_was_to_be_played_and_was_cut_is_not_expected_back() -> None:
    agent, watch = voice(AGENT), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    cut_s = 5.0
    list(watched(watch, agent[: round(cut_s * INPUT_HZ)], heard))
    assert watch.path is not None
    ahead = round((cut_s + 0.3) * INPUT_HZ)
    watch.played(frame(agent[round(cut_s * INPUT_HZ) : ahead]), cut_s)
    watch.cleared(cut_s)
    assert watch.heard(frame(heard[ahead : ahead + WINDOW] * 4 + 500), cut_s + 0.6) == [False]


def test_an_echo_that_ends_is_forgotten() -> None:
    agent, watch = np.tile(voice(AGENT), 2), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    half = len(agent) // 2
    heard[half:] = np.random.default_rng(2).normal(0, 200, len(agent) - half)
    list(watched(watch, agent, heard))
    assert watch.path is None


def test_over_an_echo_a_caller_is_heard_in_their_quiet_sounds_too_and_the_echo_alone_is_not() -> None:
    talk = DoubleTalk()
    only_echo = talk.without_echo([0.9] * 20, [True] * 20, 0.5)
    assert only_echo == [0.0] * 20
    one_loud = talk.without_echo([0.9] * 3, [True, False, True], 0.5)
    assert one_loud == [0.0, 0.9, 0.0]
    caller = talk.without_echo([0.9] * 10, [False, False, True, True, False, False, True, True, True, True], 0.5)
    assert caller == [0.9] * 10
    after = talk.without_echo([0.9] * 30, [True] * 30, 0.5)
    assert after.count(0.9) < 16
    assert after[-10:] == [0.0] * 10
    assert talk.without_echo([0.1] * 4, [False] * 4, 0.5) == [0.1] * 4


def test_a_caller_who_speaks_long_over_the_echo_does_not_refute_it() -> None:
    agent, watch = np.tile(voice(AGENT), 2), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    begin = len(agent) // 2
    over = np.tile(voice(CALLER), 3)[: len(agent) - begin]
    heard[begin : begin + len(over)] += over
    known = [watch.path is not None for ends, _, _ in watched(watch, agent, heard) if ends * INPUT_HZ > begin]
    assert all(known)


def test_an_echo_is_known_although_frames_come_early_and_late_and_in_bursts() -> None:
    """As from a real line: in steps of 10 ms, and late now and then because the machine is busy."""
    agent, rng = voice(AGENT), np.random.default_rng(0)
    heard, watch = through_a_room(agent, 0.2, 15), EchoWatch()
    loud_later, unknown = 0, 0
    for number in range(len(agent) // WINDOW // 2):
        span = slice(2 * number * WINDOW, 2 * (number + 1) * WINDOW)
        ends = 2 * (number + 1) * SLOT_S
        watch.played(frame(agent[span]), ends - 2 * SLOT_S)
        late_s = rng.uniform(0, 0.02) if number % 30 else 0.3
        echoes = watch.heard(frame(heard[span]), ends + late_s)
        if ends > 4.0 and float(np.sqrt(np.mean(np.square(heard[span])))) > 100:
            loud_later, unknown = loud_later + 1, unknown + (not any(echoes))
    assert loud_later > 15
    assert unknown <= 2
    assert watch.path is not None
    assert watch.path.delay_s == pytest.approx(0.2, abs=3 * SLOT_S)


def test_a_quiet_echo_is_known_on_a_line_that_stretches_it() -> None:
    """Jitter buffers lengthen a pause here and a vowel there. Beside an echo that is 26 dB below the agent, its own
    quiet sounds are as good as none."""
    agent, rng = voice(AGENT), np.random.default_rng(4)
    heard = through_a_room(agent, 0.13, 26, noise=0)
    at = np.arange(len(heard))
    knots = np.arange(0, len(heard), INPUT_HZ // 2)
    stretched = np.interp(at + np.interp(at, knots, rng.uniform(-400, 400, len(knots))), at, heard)
    watch = EchoWatch()
    known = [watch.path is not None for _ in watched(watch, agent, np.round(stretched))]
    assert all(known[round(4.0 / SLOT_S) :])


def test_a_microphone_that_was_off_is_followed_when_it_comes_back() -> None:
    agent, watch = np.tile(voice(AGENT), 2), EchoWatch()
    heard = through_a_room(agent, 0.2, 15)
    half = len(agent) // WINDOW // 2
    for number in range(len(agent) // WINDOW):
        span = slice(number * WINDOW, (number + 1) * WINDOW)
        watch.played(frame(agent[span]), number * SLOT_S)
        if not half - 60 < number < half:
            watch.heard(frame(heard[span]), (number + 1) * SLOT_S)
    assert watch.path is not None
    assert watch.path.delay_s == pytest.approx(0.2, abs=3 * SLOT_S)
