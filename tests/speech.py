"""Speech for tests: synthetic (hibari) and recorded from people (Debian's test data), with what was said.

Recognition must never be tested with espeak's voice: its word error rate says nothing about people.
Synthetic speech is kept under .cache/speech/, by its text, so that it is made once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from agentd.audio import INPUT_HZ, AudioFrame, concat, read_wav, resample, silence, write_wav

CACHE = Path(__file__).parents[1] / ".cache" / "speech"
_SPHINX = Path("/usr/share/pocketsphinx/test/data")
_ALSA = Path("/usr/share/sounds/alsa")
INSTALL = "apt-get install --no-install-recommends pocketsphinx-testdata alsa-utils"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Somebody's voice. `transcript`: what was said, in lower case, numbers as words."""

    name: str
    path: Path
    transcript: str
    rate_hz: int = INPUT_HZ  # of headerless files


_LIBRIVOX = "librivox/sense_and_sensibility_01_austen_64kb-{}.wav"
_RECORDINGS = (
    Recording(
        name="dashwood",
        path=_SPHINX / _LIBRIVOX.format("0870"),
        transcript="and mister john dashwood had then leisure to consider how much there might be prudently in his "
        "power to do for them",
    ),
    Recording(
        name="ill-disposed", path=_SPHINX / _LIBRIVOX.format("0880"), transcript="he was not an ill disposed young man"
    ),
    Recording(
        name="cold-hearted",
        path=_SPHINX / _LIBRIVOX.format("0890"),
        transcript="unless to be rather cold hearted and rather selfish is to be ill disposed",
    ),
    Recording(
        name="married",
        path=_SPHINX / _LIBRIVOX.format("0920"),
        transcript="had he married a more amiable woman he might have been made still more respectable than he was",
    ),
    Recording(
        name="amiable",
        path=_SPHINX / _LIBRIVOX.format("0930"),
        transcript="he might even have been made amiable himself",
    ),
    Recording(name="go-forward", path=_SPHINX / "goforward.raw", transcript="go forward ten meters"),
    Recording(name="something", path=_SPHINX / "something.raw", transcript="go somewhere and do something"),
    Recording(
        name="cards",
        path=_SPHINX / "cards/005.wav",
        transcript="eight of spades four of clubs seven of hearts",
    ),
    Recording(name="front-center", path=_ALSA / "Front_Center.wav", transcript="front center"),
    Recording(name="front-left", path=_ALSA / "Front_Left.wav", transcript="front left"),
    Recording(name="side-left", path=_ALSA / "Side_Left.wav", transcript="side left"),
    Recording(name="side-right", path=_ALSA / "Side_Right.wav", transcript="side right"),
    Recording(name="noise", path=_ALSA / "Noise.wav", transcript=""),
)
RECORDINGS = {recording.name: recording for recording in _RECORDINGS}


class SpeechMissing(Exception):
    """A recording is not on this machine; the message says how to get it."""


def utterance(text: str, *, seed: int = 0, speed: float = 1.0, rate_hz: int = INPUT_HZ) -> AudioFrame:
    """Synthetic speech of `text`; equal arguments give equal samples."""
    key = hashlib.sha256(f"{text}|{seed}|{speed}".encode()).hexdigest()[:20]
    path = CACHE / f"{key}.wav"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        samples = _voice()(text, speed=speed, seed=seed)
        frame = AudioFrame((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), 24_000)
        part = path.with_suffix(f".{id(frame)}.part")
        write_wav(part, frame)
        part.replace(path)
    return resample(read_wav(path), rate_hz)


@lru_cache(maxsize=1)
def _voice() -> Any:
    import hibari

    return hibari.Hibari(voice="heart", threads=1)


def human(name: str, *, rate_hz: int = INPUT_HZ) -> tuple[AudioFrame, str]:
    """A recording and what was said in it. Raises SpeechMissing."""
    recording = RECORDINGS[name]
    if not recording.path.exists():
        raise SpeechMissing(f"{recording.path} is missing: {INSTALL}")
    if recording.path.suffix == ".raw":
        data = recording.path.read_bytes()
        frame = AudioFrame(data[: len(data) // 2 * 2], recording.rate_hz)
    else:
        frame = read_wav(recording.path)
    return resample(frame, rate_hz), recording.transcript


def human_speech_installed() -> bool:
    return all(recording.path.exists() for recording in _RECORDINGS)


def with_silence(frame: AudioFrame, before_s: float, after_s: float) -> AudioFrame:
    """The sound between two digital silences."""
    rate = frame.sample_rate_hz
    return concat([silence(before_s, rate), frame, silence(after_s, rate)], rate)


def with_noise(frame: AudioFrame, snr_db: float, *, seed: int = 0) -> AudioFrame:
    """The sound with white noise so much quieter than its mean power."""
    samples = frame.array().astype(np.float64)
    power = float(np.mean(samples**2)) / 10 ** (snr_db / 10)
    noise = np.random.default_rng(seed).normal(0, np.sqrt(power), len(samples))
    return AudioFrame(np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes(), frame.sample_rate_hz)


def noise(duration_s: float, *, amplitude: int = 1000, seed: int = 0, rate_hz: int = INPUT_HZ) -> AudioFrame:
    samples = np.random.default_rng(seed).normal(0, amplitude, round(duration_s * rate_hz))
    return AudioFrame(np.clip(samples, -32768, 32767).astype("<i2").tobytes(), rate_hz)


def frames(frame: AudioFrame, duration_s: float) -> list[AudioFrame]:
    """The sound cut into frames of this length; the last may be shorter."""
    size = 2 * round(duration_s * frame.sample_rate_hz)
    return [AudioFrame(frame.data[at : at + size], frame.sample_rate_hz) for at in range(0, len(frame.data), size)]


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Insertions, deletions and substitutions by words of the reference; digits and number words are equal."""
    wanted, got = plain_words(reference), plain_words(hypothesis)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(wanted))


_NUMBERS = dict(
    zip(
        [str(number) for number in range(13)],
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        strict=True,
    )
)
_SAME = {"mr": "mister", "mrs": "missis", "dr": "doctor", "metres": "meters", "centre": "center"}


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation; numbers up to twelve and titles spelled out."""
    words = re.findall(r"\d+|[^\W\d_]+(?:'[^\W\d_]+)?", text.lower().replace("\u2019", "'"))
    return [_SAME.get(word, _NUMBERS.get(word, word)) for word in words]
