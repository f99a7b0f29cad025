"""What a sound over the agent's speech is, by its length, level and voice: a sentence goes on, "uh-huh" is soon over,
a door has no voice. Pure arithmetic of a millisecond or two a question, so it runs on the event loop.

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
AUDIBLE_DB = -28.0  # below the loudest hundredth of a second
PITCH_HZ = INPUT_HZ // 4  # enough for the period of a voice
PITCH_HOP = PITCH_HZ // 50
WINDOW = 8 * PITCH_HOP // 2  # 80 ms: several periods of the lowest voice
LOWEST_HZ, HIGHEST_HZ = 70, 400  # of voices
VOICED = 0.6  # of a window's power that repeats with the period of a voice

SHORT_S = 0.5  # a backchannel; sentences that begin with so short a word go on before PAUSE_S
PAUSE_S = 0.09
SILENT = 0.35  # the voice activity detector agrees with it: what ends an utterance by default
VOICELESS_S = 0.45  # of sound without a voice: longer than a hiss at the beginning of a word
VOICELESS = 0.25  # share of it that is voice by chance
DOUBTED = 0.65  # the voice activity detector's mean; of words it is higher
LONG_S = 0.6
RECENT = 3 * INPUT_HZ // 2  # samples in which a voice is looked for
"""Read off the features of `bench.interruption`'s sounds with seed 0, and confirmed with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounding:
    """`length_s`: from the first audible hundredth of a second to the last; `quiet_s`: since then; `audible_s`: so much
    of it was heard; `speech`: the voice activity detector's mean over it, and `latest` its last."""

    length_s: float
    quiet_s: float
    audible_s: float
    speech: float
    latest: float


class Prosody:
    """Holds nothing: what it says depends on the question alone."""

    async def judge(self, overlap: OverlapSoFar) -> float:
        if overlap.audio.sample_rate_hz != INPUT_HZ:
            raise ProviderRefused(PROVIDER, f"wants {INPUT_HZ} Hz, got {overlap.audio.sample_rate_hz} Hz")
        return probability(overlap)

    async def aclose(self) -> None:
        """Nothing to close."""


def probability(overlap: OverlapSoFar) -> float:
    """That the caller wants the turn."""
    samples = overlap.audio.array().astype(np.float32)
    heard = sounding(overlap, samples)
    if heard.length_s <= SHORT_S and heard.quiet_s >= PAUSE_S and heard.latest < SILENT:
        return 0.1
    if heard.audible_s >= VOICELESS_S and heard.speech < DOUBTED and voiced_share(samples[-RECENT:]) < VOICELESS:
        return 0.1
    return 0.8 if heard.length_s >= LONG_S else 0.5


def sounding(overlap: OverlapSoFar, samples: NDArray[np.float32]) -> Sounding:
    audible = np.flatnonzero(_audible(samples, HOP))
    latest = overlap.speech[-1] if overlap.speech else 0.0
    if not len(audible):
        return Sounding(length_s=0.0, quiet_s=0.0, audible_s=0.0, speech=0.0, latest=latest)
    first, last = int(audible[0]), int(audible[-1])
    return Sounding(
        length_s=(last - first + 1) / 100,
        quiet_s=(len(samples) // HOP - 1 - last) / 100,
        audible_s=len(audible) / 100,
        speech=_speech(overlap, first / 100, last / 100),
        latest=latest,
    )


def voiced_share(samples: NDArray[np.float32]) -> float:
    """How much of what is audible repeats with the period of a voice."""
    low = samples[: len(samples) // 4 * 4].reshape(-1, 4).mean(axis=1)
    audible = np.flatnonzero(_audible(low, PITCH_HOP))
    if not len(audible):
        return 0.0
    padded = np.pad(low, WINDOW)
    starts = audible * PITCH_HOP + WINDOW + PITCH_HOP // 2 - WINDOW // 2
    windows = padded[starts[:, None] + np.arange(WINDOW)[None, :]]
    windows = windows - windows.mean(axis=1, keepdims=True)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(windows, 2 * WINDOW, axis=1)) ** 2, axis=1)
    lags = np.arange(PITCH_HZ // HIGHEST_HZ, PITCH_HZ // LOWEST_HZ)
    fading = 1 - lags / WINDOW  # fewer samples meet at longer lags
    shares = correlation[:, lags] / fading / np.maximum(correlation[:, :1], 1e-3)
    return float((shares.max(axis=1) > VOICED).mean())


def _audible(samples: NDArray[np.float32], hop: int) -> NDArray[np.bool_]:
    """Which hops are, of the sound's: not far below the loudest."""
    powers = np.square(samples[: len(samples) // hop * hop].reshape(-1, hop)).mean(axis=1)
    if not len(powers) or powers.max() < 1.0:
        return np.zeros(len(powers), np.bool_)
    audible: NDArray[np.bool_] = powers > powers.max() * 10 ** (AUDIBLE_DB / 10)
    return audible


def _speech(overlap: OverlapSoFar, first_s: float, last_s: float) -> float:
    """The voice activity detector's mean between two moments."""
    end_s, window_s, count = overlap.audio.duration_s, overlap.window_s, len(overlap.speech)
    within = [
        probability
        for index, probability in enumerate(overlap.speech)
        if first_s < end_s - window_s * (count - 1 - index) <= last_s + window_s
    ]
    return sum(within) / len(within) if within else 0.0


async def create_interruption_detector(settings: ProsodySettings) -> Prosody:
    return Prosody()
