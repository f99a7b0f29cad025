"""People's recordings, from Debian packages: read sentences, digits in groups, prompts of a telephone exchange."""

from __future__ import annotations

from pathlib import Path

from agentd.audio import INPUT_HZ, AudioFrame, read_wav, resample
from tests.speech import RECORDINGS, human

_EXCHANGE = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
_NUMBERS = Path("/usr/share/pocketsphinx/test/data/numbers.raw")  # 33 4 692
_PROMPTS = ("one-moment-please", "please-try-again", "telephone-number", "number")
_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "oh")
_ANIMALS = "tt-monkeys"  # shrieks, of real throats

BOUNDS_S = {
    "dashwood": (0.25, 6.76),
    "ill-disposed": (0.22, 2.76),
    "cold-hearted": (0.28, 5.08),
    "married": (0.28, 5.8),
    "amiable": (0.25, 2.98),
    "go-forward": (0.5, 2.25),
    "something": (0.46, 2.2),
    "cards": (0.21, 3.24),
    "numbers": (0.46, 3.36),
}
"""When the words begin and end where a room is heard around them: read off level and voice activity by hand."""


def recording(name: str) -> AudioFrame:
    """At 16 kHz. Raises KeyError for a name that is not known, FileNotFoundError for one that is not installed."""
    if name in RECORDINGS:
        return human(name)[0]
    path = _path(name)
    if path.suffix == ".raw":
        return AudioFrame(path.read_bytes(), INPUT_HZ)
    return resample(read_wav(path), INPUT_HZ)


def bounds_s(name: str) -> tuple[float, float | None]:
    """Where the words are; the rest is a room, or silence."""
    return BOUNDS_S.get(name, (0.0, None))


def missing() -> list[str]:
    """The packages that are to be installed, if any."""
    places = {
        "pocketsphinx-testdata": _NUMBERS,
        "alsa-utils": RECORDINGS["front-center"].path,
        "asterisk-core-sounds-en-wav": _EXCHANGE,
    }
    return [package for package, place in places.items() if not place.exists()]


def known() -> frozenset[str]:
    return frozenset((*RECORDINGS, *_PROMPTS, *_DIGITS, "numbers", _ANIMALS))


def _path(name: str) -> Path:
    if name == "numbers":
        return _NUMBERS
    if name not in known():
        raise KeyError(name)
    return _EXCHANGE / (f"digits/{name}.wav" if name in _DIGITS else f"{name}.wav")
