"""Whisper's features: the logarithm of 80 mel bands every 10 ms.

Our own 40 lines instead of faster-whisper's, whose import brings PyAV (about 100 MB) with it. The
values equal those of padding the sound with zeros to `seconds`, but silence costs no transform.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP


def log_mel(samples: NDArray[np.float32], seconds: int, bands: int) -> NDArray[np.float32]:
    """Features of shape (bands, 100 * seconds) of at most `seconds` of sound with values from -1 to 1."""
    samples = samples[: seconds * SAMPLE_RATE_HZ]
    padded = np.pad(np.pad(samples, (0, WINDOW)), (WINDOW // 2, WINDOW), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    heard = min(-(-(len(samples) + WINDOW) // HOP), seconds * FRAMES_PER_SECOND)
    spectrum = np.abs(np.fft.rfft(windows[:heard] * _hann(), axis=1)) ** 2
    power = _filters(bands) @ spectrum.T.astype(np.float32)
    floor = np.full((bands, seconds * FRAMES_PER_SECOND - heard), 1e-10, np.float32)
    decibels = np.log10(np.maximum(np.concatenate([power, floor], axis=1), 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 8.0)
    return np.ascontiguousarray((decibels + 4.0) / 4.0, dtype=np.float32)


@lru_cache(maxsize=1)
def _hann() -> NDArray[np.float32]:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=2)
def _filters(bands: int) -> NDArray[np.float32]:
    """Slaney's triangles: linear to 1 kHz, logarithmic above, each of equal energy (as in librosa)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE_HZ)
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE_HZ / 2), bands + 2))
    slopes = edges[:, None] - frequencies[None, :]
    rising = -slopes[:-2] / np.diff(edges)[:-1, None]
    falling = slopes[2:] / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    return filters


_LINEAR_HZ = 200.0 / 3
_KNEE_HZ = 1000.0
_STEP = float(np.log(6.4)) / 27.0


def _hz_to_mel(hz: float) -> float:
    return _KNEE_HZ / _LINEAR_HZ + float(np.log(hz / _KNEE_HZ)) / _STEP if hz >= _KNEE_HZ else hz / _LINEAR_HZ


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_STEP * (mel - knee)))
