"""The agent's own voice, coming back through the caller's microphone. Pure.

A loudspeaker beside a microphone without echo cancellation returns what the agent says, and the voice activity
detector takes it for speech. The way is found by comparing loudness: what is heard follows what was played, later by a
fixed delay and quieter by a fixed loss. Once it is known, a window that is no louder than the echo that is due is not
taken for speech; a caller who speaks over the agent is louder, or speaks on in its pauses.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agentd.audio import AudioFrame

SLOT_S = 0.032
"""Loudness is compared in slots of this length: the voice activity detector's window."""

MEMORY_SLOTS = 256
"""8 s of both sides."""

COMPARED_SLOTS = 96
"""3 s, some fifteen syllables: enough for their pattern to be no accident."""

LAG_SLOTS = 32
"""The longest way there and back, 1 s: network, jitter buffers of both sides, loudspeaker, microphone."""

LEARN_EVERY_SLOTS = 8
LIKENESS = 0.86
"""Correlation of the two loudnesses (in dB), at the best of all delays, from which they are the same sound if the
delay is the same twice in a row. Measured on synthetic voices over 3 s: at most 0.84 for another's speech (0.22 in
the median), 0.93 in the median for an echo in a ringing room, 0.80 for one near the microphone's noise."""

STEADY_LIKENESS = 0.8
"""The same where the delay is the same for longer. Jitter buffers stretch and drop sound, so that an echo on a real
line mostly has 0.8 to 0.95; another's speech 0.78 at most, six times in a row."""

STEADY_OFTEN = 6  # in a row, a second and a half
UNLIKENESS = 0.35
REFUTED_OFTEN = 4  # in a row, about a second
HIDDEN = 0.15  # share of slots that are louder than the echo: somebody speaks over it, and nothing can be told of it
BEFORE_SLOTS = 1  # slots of the two sides do not begin together
AFTER_SLOTS = 3  # and a room rings
MARGIN_DB = 6.0
LOSS_QUANTILE = 0.4  # rather too loud an echo is expected than too quiet
FLOOR_DB = -60.0  # what was played is silence below it
QUIET_DB = -90.0  # what is heard: the quiet sounds of an echo are quieter by its loss
LEVEL_QUANTILE = 0.7  # by which the two sides' loudness is compared before a delay is known
MOST_LOSS_DB = 30.0
NOISE_QUANTILE = 0.05  # of what is heard: the noise of the place
NOISE_MARGIN_DB = 1.0
SPOKEN_DB = -38.0  # of a caller who speaks over an echo: quieter is the noise of a place
LOUD_DB = -45.0  # of what was played: quieter slots tell nothing of the loss


@dataclass(frozen=True, slots=True)
class EchoPath:
    """How the agent's voice comes back."""

    lag_slots: int
    loss_db: float

    @property
    def delay_s(self) -> float:
        return self.lag_slots * SLOT_S


LATE_FRAMES = 16
"""So many frames in a row, about a second, have come late before it is not the way that delays them."""


class _HeardClock:
    """When what is heard was heard. Frames come a little early and late, and in bursts when the machine is busy, but no
    sound is missing between them: so their samples are counted, from the earliest that came. Told by the arrival of
    each, one slot in six was empty and as many were written twice, and no echo resembled what was played."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._late: deque[int] = deque(maxlen=LATE_FRAMES)  # slots

    def newest(self, slots: int, due: int) -> int:
        """The last slot of a frame of so many, which has come in the slot `due`."""
        counted = due if self._newest is None else min(self._newest + slots, due)
        self._late.append(due - counted)
        if len(self._late) == LATE_FRAMES and (gap := min(self._late)) > 1:
            counted += gap  # the microphone was off, or its clock is slow
            self._late.clear()
        self._newest = counted
        return counted


LOUDER_SLOTS = 2  # of speech above the echo, in a row, begin double talk: one may be an accident
DOUBLE_TALK_SLOTS = 16
"""Half a second: the quiet sounds of a word, and the pauses between two, are no longer."""


class EchoWatch:
    """One call's. Moments are seconds of one clock."""

    def __init__(self) -> None:
        self.path: EchoPath | None = None
        self._played = np.full(MEMORY_SLOTS, FLOOR_DB)
        self._heard = np.full(MEMORY_SLOTS, QUIET_DB)
        self._slot = -1  # the newest of what was heard
        self._played_until = -1  # the newest of what was played
        self._since_learned = 0
        self._refuted = 0
        self._guess = -LAG_SLOTS  # the delay that was likely last time
        self._likeness = 0.0  # at that delay
        self._steady = 0  # so often in a row it was
        self._clock = _HeardClock()

    def played(self, frame: AudioFrame, begins: float) -> None:
        """The agent's sound, which goes out from `begins` on."""
        samples = frame.array().astype(np.float32)
        size = round(SLOT_S * frame.sample_rate_hz)
        for at in range(0, len(samples), size):
            self._note_played(int((begins + at / frame.sample_rate_hz) / SLOT_S), _level_db(samples[at : at + size]))

    def cleared(self, now: float) -> None:
        """What was to go out after `now` does not."""
        for slot in range(int(now / SLOT_S) + 1, self._played_until + 1):
            self._played[slot % MEMORY_SLOTS] = FLOOR_DB

    def heard(self, frame: AudioFrame, ended: float) -> list[bool]:
        """Takes the caller's sound up to `ended`; by slot, whether it is no louder than the echo that is due."""
        samples = frame.array().astype(np.float32)
        size = round(SLOT_S * frame.sample_rate_hz)
        starts = range(0, len(samples), size)
        first = self._clock.newest(len(starts), int(ended / SLOT_S)) - len(starts) + 1
        return [self._slot_heard(first + n, _level_db(samples[at : at + size])) for n, at in enumerate(starts)]

    def _slot_heard(self, slot: int, level_db: float) -> bool:
        self._note_heard(slot, level_db)
        self._since_learned += 1
        if self._since_learned >= LEARN_EVERY_SLOTS:
            self._since_learned = 0
            self._learn(slot)
        return self.path is not None and level_db <= self._expected_db(slot, self.path)

    def _expected_db(self, slot: int, path: EchoPath) -> float:
        sent = slot - path.lag_slots
        loudest = self._played_in(sent - AFTER_SLOTS, sent + BEFORE_SLOTS + 1).max()
        if loudest <= FLOOR_DB:
            return -np.inf
        return float(loudest) - path.loss_db + MARGIN_DB

    def _note_played(self, slot: int, level_db: float) -> None:
        for missing in range(max(self._played_until + 1, slot - MEMORY_SLOTS), slot):
            self._played[missing % MEMORY_SLOTS] = FLOOR_DB
        index, level_db = slot % MEMORY_SLOTS, max(FLOOR_DB, level_db)
        self._played[index] = max(self._played[index], level_db) if slot == self._played_until else level_db
        self._played_until = max(self._played_until, slot)

    def _note_heard(self, slot: int, level_db: float) -> None:
        for missing in range(max(self._slot + 1, slot - MEMORY_SLOTS), slot):
            self._heard[missing % MEMORY_SLOTS] = QUIET_DB
        self._heard[slot % MEMORY_SLOTS] = level_db
        self._slot = max(self._slot, slot)

    def _played_in(self, first: int, end: int) -> np.ndarray:
        """Silence where nothing was played, or too long ago to be known."""
        slots = np.arange(first, end)
        known = (slots > self._played_until - MEMORY_SLOTS) & (slots <= self._played_until)
        return np.where(known, self._played[slots % MEMORY_SLOTS], FLOOR_DB)

    def _learn(self, slot: int) -> None:
        """Compares the last seconds at every delay; keeps the best if it is convincing, forgets one that is refuted."""
        first = slot - COMPARED_SLOTS + 1
        heard = self._heard[np.arange(first, slot + 1) % MEMORY_SLOTS]
        played = self._played_in(first - LAG_SLOTS, slot + 1)
        if np.count_nonzero(played > LOUD_DB) < COMPARED_SLOTS // 2:
            return  # the agent hardly spoke: nothing is to be learned
        windows = np.lib.stride_tricks.sliding_window_view(played, COMPARED_SLOTS)[::-1]  # row k: delayed by k slots
        likeness = _likeness(windows, heard)
        best = int(np.argmax(likeness))
        if self._is_convincing(best, float(likeness[best])):
            loud = windows[best] > LOUD_DB
            self.path = EchoPath(best, float(np.quantile(windows[best][loud] - heard[loud], LOSS_QUANTILE)))
            self._refuted = 0
        elif self.path is not None and likeness[self.path.lag_slots] < UNLIKENESS:
            expected = windows[self.path.lag_slots] - self.path.loss_db + MARGIN_DB
            if np.count_nonzero(heard > np.maximum(expected, SPOKEN_DB)) > HIDDEN * COMPARED_SLOTS:
                return
            self._refuted += 1
            if self._refuted >= REFUTED_OFTEN:
                self.path = None

    def _is_convincing(self, lag_slots: int, likeness: float) -> bool:
        """Whether the two sides have been alike at this delay for long enough."""
        same = abs(lag_slots - self._guess) <= 1
        self._steady = 0 if likeness < STEADY_LIKENESS else self._steady + 1 if same else 1
        surely = likeness >= LIKENESS and self._likeness >= LIKENESS and same
        self._guess, self._likeness = lag_slots, likeness
        return surely or self._steady >= STEADY_OFTEN


class DoubleTalk:
    """The caller speaks over the agent's echo: then their quieter sounds count, too, and not the loud ones alone."""

    def __init__(self) -> None:
        self._louder = 0  # windows in a row
        self._left = 0

    @property
    def heard(self) -> bool:
        """Whether they do now."""
        return self._left > 0

    def without_echo(self, probabilities: Sequence[float], echoes: Sequence[bool], activation: float) -> list[float]:
        """The windows' probabilities of speech, 0 for what is an echo alone. `echoes` covers the same time."""
        return [
            self._window(probability, echoes[number * len(echoes) // len(probabilities)], activation)
            for number, probability in enumerate(probabilities)
        ]

    def _window(self, probability: float, echo: bool, activation: float) -> float:
        louder = probability >= activation and not echo
        self._louder = self._louder + 1 if louder else 0
        self._left = DOUBLE_TALK_SLOTS if self._louder >= LOUDER_SLOTS else max(0, self._left - 1)
        return 0.0 if echo and not self._left else probability


def _likeness(windows: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Of what is heard and what was played, by delay. What is silence on one side, or lost in a microphone's noise, is
    silence on both: else an echo's quiet sounds, which are quieter by its loss, would tell against it."""
    played = windows[len(windows) // 2]
    loss_db = float(np.quantile(played, LEVEL_QUANTILE) - np.quantile(heard, LEVEL_QUANTILE))
    loss_db = min(max(loss_db, 0.0), MOST_LOSS_DB)
    noise_db = float(np.quantile(heard, NOISE_QUANTILE)) + NOISE_MARGIN_DB
    silence_db = max(FLOOR_DB - loss_db, noise_db)
    return _correlations(np.maximum(windows, silence_db + loss_db), np.maximum(heard, silence_db))


def _level_db(samples: np.ndarray) -> float:
    if not len(samples):
        return QUIET_DB
    power = float(samples @ samples) / len(samples) / 32768.0**2  # a tenth of np.mean's time, 30 times a second a call
    return max(QUIET_DB, 10 * math.log10(power)) if power > 0 else QUIET_DB


def _correlations(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Pearson's, of each row with `wanted`; 0 where one of the two does not change."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    wanted = wanted - wanted.mean()
    norms = np.sqrt(np.square(rows).sum(axis=1) * np.square(wanted).sum())
    products: np.ndarray = rows @ wanted
    return np.where(norms > 1e-9, products / np.maximum(norms, 1e-9), 0.0)


def watched(echo: EchoWatch, frame: AudioFrame, ended: float, note: Callable[..., None]) -> list[bool]:
    """As `echo.heard`; where a way of the echo is found or refuted, it is noted."""
    known = echo.path is not None
    echoes = echo.heard(frame, ended)
    if (echo.path is not None) != known:
        found = {"delay_s": echo.path.delay_s, "loss_db": round(echo.path.loss_db, 1)} if echo.path else {}
        note("echo", **found)
    return echoes
