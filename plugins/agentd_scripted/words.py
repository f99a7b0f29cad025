"""A sentence as the words that templates and slots look at.

Speech recognition writes "7:30 p.m.", "I'd", "twenty-one" and commas as it likes; here they become
7:30 pm, i would, twenty one. Each word remembers where it stood, so that names and free text keep
the spelling that was heard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 120  # a longer utterance is cut: matching backtracks

_WORD = re.compile(
    r"\d{4}-\d{2}-\d{2}"  # 2026-03-05
    r"|\d{1,3}(?:,\d{3})+(?!\d)"  # 1,250
    r"|\d+(?:[:.]\d{2})?(?:st|nd|rd|th)?(?![:.]?\d)"  # 7:30, 7.30, 5th, 071
    r"|\d+"
    r"|[^\W\d_]+(?:'[^\W\d_]+)*"
)
_HALF_DAY = re.compile(r"(?<![^\W_])(?:([ap])\.\s?m\b\.?|(p) m\b)|(?<=\d)([ap])\.\s?m\b\.?")
_SOUNDS = frozenset({"um", "umm", "uh", "uhm", "er", "erm", "hm", "hmm", "mm", "mmm", "please"})
_OPENERS = frozenset({"well", "so", "okay", "ok", "oh", "ah", "hi", "hello", "hey", "and", "yeah", "right", "then"})
_CLOSERS = frozenset({"thanks", "then", "now", "actually"})
_WHOLE = {
    "can't": ("can", "not"),
    "won't": ("will", "not"),
    "let's": ("let", "us"),
    "o'clock": ("oclock",),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
}
_ENDINGS = {"n't": "not", "'d": "would", "'ll": "will", "'re": "are", "'ve": "have", "'m": "am", "'s": "is"}


@dataclass(frozen=True, slots=True)
class Word:
    """`text`: in lower case, contractions opened; `start` and `end`: its place in the sentence."""

    text: str
    start: int
    end: int


def words(sentence: str) -> list[Word]:
    """The words of a sentence, without the sounds of hesitation."""
    lowered = _HALF_DAY.sub(_half_day, sentence.lower().replace("\u2019", "'"))
    found: list[Word] = []
    for match in _WORD.finditer(lowered):
        found += [Word(part, *match.span()) for part in _opened(match.group().replace(",", ""))]
    return [word for word in found if word.text not in _SOUNDS][:MOST_WORDS]


def trimmed(sentence: Sequence[Word]) -> list[Word]:
    """Without polite and hesitant words at the beginning and the end; never empty where something was said."""
    rest = list(sentence)
    while len(rest) > 1 and rest[0].text in _OPENERS:
        rest = rest[1:]
    if len(rest) > 2 and [rest[-2].text, rest[-1].text] == ["thank", "you"]:
        rest = rest[:-2]
    while len(rest) > 1 and rest[-1].text in _CLOSERS:
        rest = rest[:-1]
    return rest


def _half_day(match: re.Match[str]) -> str:
    """pm for p.m., of the same length, so that places stay true."""
    letter = next(filter(None, match.groups()))
    return f"{letter}m".ljust(len(match.group()))


def _opened(word: str) -> tuple[str, ...]:
    if word in _WHOLE:
        return _WHOLE[word]
    for ending, whole in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word[: -len(ending)], whole)
    return (word,)
