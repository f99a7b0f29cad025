"""What a sound over the agent's speech is, by its length, level and voice: a sentence goes on, "uh-huh" is soon over,
a door has no voice. Pure arithmetic of about a millisecond a question, so it runs on the event loop.

It never says that the agent is to be cut: a sentence and three times "yeah" sound alike, and words tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agentd.audio import INPUT_HZ
from agentd.errors import ProviderRefused
from agentd.providers.interruption_detector import OverlapSoFar
from agentd_local.config import ProsodySettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROVIDER = "prosody"

HOP = INPUT_HZ // 100
WINDOW = 4 * HOP  # two periods of the lowest voice
LOWEST_HZ, HIGHEST_HZ = 70, 400  # of voices
AUDIBLE_DB = -28.0  # below the loudest hundredth of a second
VOICED = 0.6  # of a window's power that repeats with the period of a voice

SHORT_S = 0.5  # a backchannel; sentences that begin with so short a word go on before PAUSE_S
PAUSE_S = 0.09
SILENT = 0.35  # the voice activity detector agrees with it: what ends an utterance by default
VOICELESS_S = 0.45  # of sound without a voice: longer than a hiss at the beginning of a word
VOICELESS = 0.25  # share of it that is voice by chance
DOUBTED = 0.65  # the voice activity detector's mean; of words it is higher
LONG_S = 0.6
"""Read off the features of `bench.interruption`'s sounds with seed 0, and confirmed with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounding:
    """`length_s`: from the first audible hundredth of a second to the last; `quiet_s`: since then; `audible_s` and
    `voiced_s`: so much of it was heard, and was a voice; `speech`: the voice activity detector's mean over it, and
    `latest` its last."""

    length_s: float
    quiet_s: float
    audible_s: float
    voiced_s: float
    speech: float
    latest: float


class Prosody:
    """Holds nothing: what it says depends on the question alone."""

    async def judge(self, overlap: OverlapSoFar) -> float:
        if overlap.audio.sample_rate_hz != INPUT_HZ:
            raise ProviderRefused(PROVIDER, f"wants {INPUT_HZ} Hz, got {overlap.audio.sample_rate_hz} Hz")
        return probability(sounding(overlap))

    async def aclose(self) -> None:
        """Nothing to close."""


def probability(heard: Sounding) -> float:
    """That the caller wants the turn."""
    if heard.length_s <= SHORT_S and heard.quiet_s >= PAUSE_S and heard.latest < SILENT:
        return 0.1
    if heard.audible_s >= VOICELESS_S and heard.voiced_s < VOICELESS * heard.audible_s and heard.speech < DOUBTED:
        return 0.1
    return 0.8 if heard.length_s >= LONG_S else 0.5


def sounding(overlap: OverlapSoFar) -> Sounding:
    samples = overlap.audio.array().astype(np.float32)
    levels = _levels(samples)
    audible = np.flatnonzero(levels > levels.max() + AUDIBLE_DB) if len(levels) else np.zeros(0, int)
    if not len(audible):
        return Sounding(length_s=0.0, quiet_s=0.0, audible_s=0.0, voiced_s=0.0, speech=0.0, latest=0.0)
    voiced = _periodicity(samples, audible) > VOICED
    first, last = audible[0], audible[-1]
    return Sounding(
        length_s=(last - first + 1) / 100,
        quiet_s=(len(levels) - 1 - last) / 100,
        audible_s=len(audible) / 100,
        voiced_s=int(voiced.sum()) / 100,
        speech=_speech(overlap, first, last),
        latest=overlap.speech[-1] if overlap.speech else 0.0,
    )


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of hundredths of a second, in dB; digital silence is far below everything."""
    hops = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    levels: NDArray[np.float32] = 10 * np.log10(np.square(hops).mean(axis=1) + 1e-3)
    return levels


def _periodicity(samples: NDArray[np.float32], hops: NDArray[np.intp]) -> NDArray[np.float32]:
    """Of a window around each hop: how much of its power comes again one period later, for the likeliest period."""
    padded = np.pad(samples, WINDOW)
    starts = hops * HOP + WINDOW - (WINDOW - HOP) // 2
    windows = padded[starts[:, None] + np.arange(2 * WINDOW)[None, :] - WINDOW // 2]
    windows = windows - windows.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(windows, 4 * WINDOW, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :WINDOW]
    lags = np.arange(INPUT_HZ // HIGHEST_HZ, INPUT_HZ // LOWEST_HZ)
    fading = 1 - lags / (2 * WINDOW)  # fewer samples meet at longer lags
    shares = correlation[:, lags] / fading / np.maximum(correlation[:, :1], 1e-3)
    found: NDArray[np.float32] = shares.max(axis=1)
    return found


def _speech(overlap: OverlapSoFar, first: int, last: int) -> float:
    """The voice activity detector's mean between two hundredths of a second."""
    end_s = overlap.audio.duration_s
    ends = [end_s - overlap.window_s * (len(overlap.speech) - 1 - index) for index in range(len(overlap.speech))]
    within = [
        p for p, end in zip(overlap.speech, ends, strict=True) if first / 100 < end <= last / 100 + overlap.window_s
    ]
    return sum(within) / len(within) if within else 0.0


async def create_interruption_detector(settings: ProsodySettings) -> Prosody:
    return Prosody()
