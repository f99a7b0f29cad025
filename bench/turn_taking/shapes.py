"""Sounds that are no speech, synthesised: coughs, doors, clicks, typing, music. Pure; equal seeds give equal samples.

They have the rhythm, length and spectrum of what they stand for; they are no recordings. Floats at HZ, of any level.
"""

from __future__ import annotations

import numpy as np

HZ = 16_000

Bands = tuple[tuple[float, float, float], ...]
"""Resonances: centre in Hz, width in Hz, share."""

_BREATH: Bands = ((600, 350, 1.0), (1600, 600, 0.9), (3000, 1000, 0.6))
_VOWEL: Bands = ((680, 180, 1.0), (1150, 220, 0.7), (2500, 350, 0.35), (3400, 500, 0.2))
_TAIL: Bands = ((700, 500, 1.0), (1800, 700, 0.6))


def cough(seed: int) -> np.ndarray:
    """One or two bursts: an explosion of breath, a hoarse vowel that falls, and a tail of breath."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.85, 1.2)  # of the throat
    bursts = []
    for _ in range(1 + seed % 2):
        explosion = _peak(_noise(rng, rng.uniform(0.05, 0.09), _scaled(_BREATH, size)))
        explosion *= np.minimum(1, np.arange(len(explosion)) / (0.006 * HZ))
        vowel = _peak(_hoarse(rng, rng.uniform(110, 240), rng.uniform(0.15, 0.28), _scaled(_VOWEL, size)))
        tail = _peak(_noise(rng, 0.12, _scaled(_TAIL, size)))
        rest = np.zeros(round(rng.uniform(0.12, 0.25) * HZ))
        bursts += [explosion, rng.uniform(0.5, 0.9) * _fading(vowel, 0.12), 0.25 * _fading(tail, 0.05), rest]
    return np.concatenate(bursts[:-1])


def door(seed: int) -> np.ndarray:
    """A low thump that rings, with the lock's click on top."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(0.5 * HZ)) / HZ
    tones = ((rng.uniform(55, 85), 1.0, 0.12), (rng.uniform(120, 190), 0.6, 0.08), (rng.uniform(300, 420), 0.25, 0.04))
    thump = sum(share * np.sin(2 * np.pi * hz * times) * np.exp(-times / decay) for hz, share, decay in tones)
    slap = rng.normal(0, 1, len(times)) * np.exp(-times / 0.012)
    lock = np.concatenate([np.zeros(round(0.16 * HZ)), _click(rng, 0.004)])
    sound = thump + 0.8 * slap
    sound[: len(lock)] += 0.6 * lock
    return np.asarray(sound)


def click(seed: int) -> np.ndarray:
    """A mouse button: down and up."""
    rng = np.random.default_rng(seed)
    gap = np.zeros(round(rng.uniform(0.07, 0.12) * HZ))
    return np.concatenate([_click(rng, 0.003), gap, 0.7 * _click(rng, 0.002)])


def keyboard(seed: int) -> np.ndarray:
    """About two seconds of typing."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(2 * HZ)
    at = 0.0
    while at < 1.9:
        key = rng.uniform(0.4, 1.0) * _click(rng, rng.uniform(0.003, 0.008))
        start = round(at * HZ)
        sound[start : start + len(key)] += key[: len(sound) - start]
        at += rng.choice([0.09, 0.13, 0.17, 0.3]) * rng.uniform(0.8, 1.2)
    return sound


def music(seconds: float, seed: int) -> np.ndarray:
    """Broken chords with a tune and a bass: plucked tones of six partials, two a second and four."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round((seconds + 2) * HZ))
    roots = [220 * 2 ** (step / 12) for step in (0, -4, 3, -2)]
    for beat in range(round(seconds * 4)):
        root = roots[(beat // 8) % 4]
        tones = [(root * 2 ** (rng.choice([0, 3, 7, 12, 15]) / 12), 1.0)]
        tones += [(root / 2, 1.2)] if beat % 4 == 0 else []
        tones += [(2 * root * 2 ** (rng.choice([0, 2, 3, 7, 10]) / 12), 1.4)] if beat % 2 == 0 else []
        for hz, share in tones:
            _add(sound, share * _plucked(hz), round(beat * HZ / 4))
    return sound[: round(seconds * HZ)]


def _plucked(hz: float) -> np.ndarray:
    times = np.arange(round(1.2 * HZ)) / HZ
    partials = range(1, 7)
    return np.asarray(sum(np.sin(2 * np.pi * hz * n * times) * np.exp(-times * (2 + n)) / n for n in partials))


def _click(rng: np.random.Generator, decay_s: float) -> np.ndarray:
    return _fading(_noise(rng, 0.03, ((3200, 1800, 1.0),)), decay_s)


def _noise(rng: np.random.Generator, seconds: float, bands: Bands) -> np.ndarray:
    return _resonant(rng.normal(0, 1, round(seconds * HZ)), bands)


def _hoarse(rng: np.random.Generator, hz: float, seconds: float, bands: Bands) -> np.ndarray:
    """A voice that falls by a third, with unsteady pulses and breath in it."""
    times = np.arange(round(seconds * HZ)) / HZ
    wobble = np.repeat(rng.normal(0, 0.06, len(times) // 80 + 1), 80)[: len(times)]
    phase = np.cumsum(2 * np.pi * hz / HZ * (1 - 0.35 * times / seconds) * (1 + wobble))
    pulses = sum(np.sin(n * phase) / n**0.7 for n in range(1, 25))
    return _resonant(pulses + 0.4 * rng.normal(0, 1, len(times)), bands)


def _resonant(sound: np.ndarray, bands: Bands) -> np.ndarray:
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / HZ)
    shape = sum(share * np.exp(-(((hz - centre) / width) ** 2)) for centre, width, share in bands)
    return np.asarray(np.fft.irfft(spectrum * shape, len(sound)))


def _scaled(bands: Bands, size: float) -> Bands:
    return tuple((centre * size, width, share) for centre, width, share in bands)


def _fading(sound: np.ndarray, decay_s: float) -> np.ndarray:
    return np.asarray(sound * np.exp(-np.arange(len(sound)) / (decay_s * HZ)))


def _peak(sound: np.ndarray) -> np.ndarray:
    return np.asarray(sound / np.abs(sound).max())


def _add(sound: np.ndarray, part: np.ndarray, at: int) -> None:
    end = min(len(sound), at + len(part))
    sound[at:end] += part[: end - at]


SHAPES = {"cough": cough, "door": door, "click": click, "keyboard": keyboard}
