"""Which words of a segment have been heard after so much of its sound. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentd.providers.tts import TimedWord

CHARS_PER_S = 15.0
"""Pace of speech taken while a segment's length is unknown: English read aloud has about 150 words a minute."""

_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u303f\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_CLOSING = "、。！？，；：」』）】〕’”…\u0e2f-\u0e3a\u0e45-\u0e4e\u3099-\u309c\u30fc"
_PIECE = re.compile(rf"[{_NO_SPACES}][{_CLOSING}]*\s*|[^\s{_NO_SPACES}]+\s*|\s+")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_SYLLABLE = re.compile("[\u3041-\u30ff\uac00-\ud7af]")


def pieces(text: str) -> list[str]:
    """The words, each with the space after it; of Chinese, Japanese, Thai and others that write none, the letters."""
    return _PIECE.findall(text)


def spoken_length(text: str) -> float:
    """How long it takes to say, in letters of English: a Chinese character is a syllable of a fifth of a second."""
    if text.isascii():
        return float(len(text))
    return len(text) + 2.0 * len(_HAN.findall(text)) + 1.0 * len(_SYLLABLE.findall(text))


def heard_text(
    text: str, heard_s: float, total_s: float | None, words: Sequence[TimedWord], *, pace: float = 1.0
) -> str:
    """The prefix of `text` whose words have begun to sound, `heard_s` seconds into the segment.

    By the provider's timings where there are any, else in proportion to the length of the sound, or to the
    usual pace while that is not known (`total_s` None). `pace`: how much faster than usual the voice speaks.
    """
    if heard_s <= 0:
        return ""
    if total_s is not None and heard_s >= total_s - 0.005:
        return text
    split = pieces(text)
    if words:
        count = sum(1 for word in words if word.start_s < heard_s)
        return "".join(split[: _pieces_for(split, words[:count])])
    per_s = spoken_length(text) / total_s if total_s else CHARS_PER_S * pace
    position = heard_s * per_s
    begun, offset = 0, 0.0
    for piece in split:
        if offset >= position:
            break
        begun, offset = begun + 1, offset + spoken_length(piece)
    return "".join(split[:begun])


def _pieces_for(split: Sequence[str], words: Sequence[TimedWord]) -> int:
    """How many written words the timed ones cover; a provider may split or join them otherwise than the text does."""
    spoken = sum(len("".join(word.text.split())) for word in words)
    covered, count = 0, 0
    for piece in split:
        if covered >= spoken:
            break
        covered, count = covered + len(piece.strip()), count + 1
    return count


def resume_at(heard_s: float, words: Sequence[TimedWord]) -> float:
    """Where to go on after a pause at `heard_s`: the beginning of the word that was cut, if that is known."""
    begun = [word.start_s for word in words if word.start_s <= heard_s]
    return max(begun, default=heard_s) if words else heard_s
