"""Small questions about words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")


def count_words(text: str) -> int:
    """Words; of scripts without spaces, characters count as words."""
    cjk = len(_CJK.findall(text))
    return cjk + len(_WORD.findall(_CJK.sub(" ", text)))


def bare_words(text: str) -> tuple[str, ...]:
    """The words without case and punctuation: "Uh-huh, I'm" are uh, huh, i'm."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(word for word in (w.strip("'") for w in re.sub(r"[^\w\s']|_", " ", folded).split()) if word)


def same_phrase(left: str, right: str) -> bool:
    """Equal but for case, punctuation and spacing: "Uh-huh." is "uh huh"."""
    return bare_words(left) == bare_words(right) != ()


def leading_phrases(words: Sequence[str], phrases: Collection[tuple[str, ...]]) -> int:
    """How many words from the first on are one or more of the phrases, without a gap."""
    taken = 0
    while taken < len(words):
        longest = max((len(p) for p in phrases if p and tuple(words[taken : taken + len(p)]) == p), default=0)
        if not longest:
            break
        taken += longest
    return taken
