"""How an item sounds at the caller's microphone, and when in it something is said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agentd.audio import INPUT_HZ, AudioFrame, resample
from agentd.loadtest.microphone import MIC_HZ
from bench.turn_taking import phrases, shapes
from bench.turn_taking.corpus import (
    CALLERS,
    NOISE_AFTER_S,
    NOISE_BEFORE_S,
    Item,
    Made,
    Noise,
    Part,
    Pause,
    Recorded,
    Spoken,
    Voice,
)
from bench.turn_taking.recordings import bounds_s, recording
from tests.speech import utterance

HZ = shapes.HZ
HOP = HZ // 100
SPEECH_DBFS = -26.0  # of everything that is said, over its audible hundredths of a second; ITU-T P.56's usual level
SHAPE_DBFS = {"cough": -19.0, "door": -22.0, "click": -26.0, "keyboard": -32.0}
QUIETEST_DB = -36.0  # below the loudest hundredth of a second: what is quieter at the ends is silence
Spans = tuple[tuple[float, float], ...]
FADE_S = 0.005  # where a recording is cut


@dataclass(frozen=True, slots=True)
class Take:
    """int16 at MIC_HZ; `spans`: when a part sounds, in seconds from the beginning."""

    samples: np.ndarray
    spans: Spans

    @property
    def length_s(self) -> float:
        return len(self.samples) / MIC_HZ

    @property
    def began_s(self) -> float:
        return self.spans[0][0] if self.spans else 0.0

    @property
    def ended_s(self) -> float:
        """The true end: of the last word, cough or noise; what comes after it is noise around it, or nothing."""
        return self.spans[-1][1] if self.spans else 0.0


def render(item: Item) -> Take:
    parts, spans = _in_time(item.parts)
    if item.noise is None:
        return Take(_at_microphone(parts), spans)
    return _in_noise(parts, spans, item.noise)


def question(item: Item) -> Take | None:
    """What is asked first, if anything."""
    return Take(_at_microphone(spoken(item.question)), ()) if item.question else None


def _in_noise(parts: np.ndarray, spans: Spans, around: Noise) -> Take:
    before_s, after_s = (NOISE_BEFORE_S, NOISE_AFTER_S) if len(parts) else (0.0, around.seconds or 0.0)
    padded = np.pad(parts, (round(before_s * HZ), round(after_s * HZ)))
    spans = tuple((began + before_s, ended + before_s) for began, ended in spans) or ((0.0, after_s),)
    return Take(_at_microphone(padded + noise(around, len(padded))), spans)


def spoken(said: Spoken) -> np.ndarray:
    """Words in a voice, at the level of speech, without silence around them."""
    return _level(_trimmed(_voiced(said.text, said.voice)), SPEECH_DBFS)


def noise(wanted: Noise, samples: int) -> np.ndarray:
    seconds = samples / HZ
    match wanted.colour:
        case "white":
            sound = np.random.default_rng(wanted.seed).normal(0, 1000, samples)
        case "babble":
            sound = babble(seconds, wanted.seed)
        case "music":
            sound = shapes.music(seconds, wanted.seed)
    return np.asarray(sound[:samples] * _gain(np.sqrt(np.mean(sound**2)), SPEECH_DBFS - wanted.snr_db))


def babble(seconds: float, seed: int) -> np.ndarray:
    """Eight people, each talking without a break; each says all sentences, in an order and a voice of their own."""
    rng = np.random.default_rng(seed)
    total = np.zeros(round(seconds * HZ))
    for number in range(len(phrases.CROWD)):
        pitch, speed = CALLERS[number % len(CALLERS)]
        voice = Voice(pitch=pitch, speed=speed, seed=number)
        talk = np.concatenate([spoken(Spoken(text, voice)) for text in rng.permutation(phrases.CROWD)])
        total += np.resize(np.roll(talk, rng.integers(len(talk))), len(total))
    return total


def _in_time(parts: tuple[Part, ...]) -> tuple[np.ndarray, Spans]:
    sound, spans, at = [np.zeros(0)], [], 0
    for part in parts:
        samples = np.zeros(round(part.seconds * HZ)) if isinstance(part, Pause) else _sound(part)
        if not isinstance(part, Pause):
            spans.append((at / HZ, (at + len(samples)) / HZ))
        sound.append(samples)
        at += len(samples)
    return np.concatenate(sound), tuple(spans)


def _sound(part: Spoken | Recorded | Made) -> np.ndarray:
    match part:
        case Spoken():
            return spoken(part)
        case Recorded(name, since_s, until_s):
            whole = _level(recording(name).array().astype(float), SPEECH_DBFS)
            first_s, last_s = bounds_s(name)
            return _trimmed(_cut(whole, since_s or first_s, until_s or last_s))
        case Made(shape, seed):
            return _level(shapes.SHAPES[shape](seed), SHAPE_DBFS[shape])


def _cut(sound: np.ndarray, since_s: float, until_s: float | None) -> np.ndarray:
    part = sound[round(since_s * HZ) : None if until_s is None else round(until_s * HZ)].copy()
    ramp = np.linspace(0, 1, round(FADE_S * HZ))
    if since_s:
        part[: len(ramp)] *= ramp
    if until_s is not None:
        part[-len(ramp) :] *= ramp[::-1]
    return part


@lru_cache(maxsize=256)
def _voiced(text: str, voice: Voice) -> np.ndarray:
    """Played faster a voice is higher and quicker: the quickness is taken back beforehand."""
    speed = round(voice.speed / voice.pitch, 3)
    samples = utterance(text, seed=voice.seed, speed=speed, rate_hz=HZ).array().astype(float)
    places = np.arange(round(len(samples) / voice.pitch)) * voice.pitch
    return np.interp(places, np.arange(len(samples)), samples)


def _powers(sound: np.ndarray) -> np.ndarray:
    """Mean squares of hundredths of a second."""
    return np.square(np.pad(sound, (0, -len(sound) % HOP)).reshape(-1, HOP)).mean(axis=1)


def _audible(powers: np.ndarray) -> np.ndarray:
    """Which hundredths of a second are: not far below the loudest."""
    return np.asarray(powers > powers.max() * 10 ** (QUIETEST_DB / 10))


def _trimmed(sound: np.ndarray) -> np.ndarray:
    hops = np.flatnonzero(_audible(_powers(sound)))
    return sound[hops[0] * HOP : (hops[-1] + 1) * HOP]


def _level(sound: np.ndarray, dbfs: float) -> np.ndarray:
    powers = _powers(sound)
    return np.asarray(sound * _gain(np.sqrt(powers[_audible(powers)].mean()), dbfs))


def _gain(rms: float, dbfs: float) -> float:
    return float(32768 * 10 ** (dbfs / 20) / rms)


def _at_microphone(sound: np.ndarray) -> np.ndarray:
    frame = AudioFrame(np.clip(sound, -32768, 32767).astype("<i2").tobytes(), INPUT_HZ)
    return resample(frame, MIC_HZ).array()
