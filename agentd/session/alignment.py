"""Which words of a segment have been heard after so much of its sound. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentd.providers.tts import TimedWord

CHARS_PER_S = 15.0
"""Pace of speech taken while a segment's length is unknown: English read aloud has about 150 words a minute."""

_WORD_WITH_SPACE = re.compile(r"\S+\s*")


def heard_text(text: str, heard_s: float, total_s: float | None, words: Sequence[TimedWord]) -> str:
    """The prefix of `text` whose words have begun to sound, `heard_s` seconds into the segment.

    By the provider's timings where there are any, else in proportion to the length of the sound, or to the
    usual pace while that is not known (`total_s` None).
    """
    if heard_s <= 0:
        return ""
    if total_s is not None and heard_s >= total_s - 0.005:
        return text
    pieces = _WORD_WITH_SPACE.findall(text)
    if words:
        count = sum(1 for word in words if word.start_s < heard_s)
        return "".join(pieces[: _pieces_for(pieces, words[:count])])
    pace = len(text) / total_s if total_s else CHARS_PER_S
    position = heard_s * pace
    begun, offset = 0, 0
    for piece in pieces:
        if offset >= position:
            break
        begun, offset = begun + 1, offset + len(piece)
    return "".join(pieces[:begun])


def _pieces_for(pieces: Sequence[str], words: Sequence[TimedWord]) -> int:
    """How many written words the timed ones cover; a provider may split or join them otherwise than the text does."""
    spoken = sum(len("".join(word.text.split())) for word in words)
    covered, count = 0, 0
    for piece in pieces:
        if covered >= spoken:
            break
        covered, count = covered + len(piece.strip()), count + 1
    return count


def resume_at(heard_s: float, words: Sequence[TimedWord]) -> float:
    """Where to go on after a pause at `heard_s`: the beginning of the word that was cut, if that is known."""
    begun = [word.start_s for word in words if word.start_s <= heard_s]
    return max(begun, default=heard_s) if words else heard_s
