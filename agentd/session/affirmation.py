"""Whether a caller's words say yes or no. Pure.

A yes may be acted upon (a booking, a payment), so that it must be one: it opens the answer, without negation, doubt or
condition, and with little beside it. Everything else that has a no in it is a no; what is neither is unclear, and
asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from agentd.session.phrasebook import Answers, Phrases, phrasebook
from agentd.session.words import bare_words

Affirmation = Literal["yes", "no", "unclear"]

MOST_BESIDE = 4
"""Words beside a yes that still leave it one: "yes, book it for me"."""

_REACH = 2  # words between a negation and what it negates: "that isn't quite right"

_Kind = Literal["yes", "no", "unsure", "hedges", "courtesies", ""]
_Found = tuple[_Kind, int, int]  # of the words from the first up to the second number


_POINTING = frozenset(
    {
        *("it", "this", "that", "them", "me", "us", "for", "the", "a", "an"),
        *("es", "das", "ihn", "sie", "mir", "mich", "uns", "für", "den", "die", "dem"),
        *("le", "la", "les", "ça", "cela", "moi", "nous", "pour", "lo", "los", "las", "eso", "esto", "mí", "para"),
    }
)
"""Words that add nothing to what a question was about."""


def affirmation(text: str, language: str, about: str | None = None) -> Affirmation:
    """What the words answer to a question like "is that right?", in the language of the BCP 47 tag.

    `about`: the question itself; then a yes may have only its words beside it: "yes, at eight" agrees to something else
    than "a table at six?".
    """
    words, answers = bare_words(text), phrasebook(language).answers
    found = list(_scan(words, answers))
    kinds = [_weighed(each, words, answers) for each in found]
    if "no" in kinds:
        return "unclear" if "yes" in kinds else "no"
    if about is not None:
        known = {*bare_words(about), *_POINTING}
        if any(word not in known for kind, start, end in found if not kind for word in words[start:end]):
            return "unclear"
    doubtful = "unsure" in kinds or "hedges" in kinds or text.rstrip().endswith("?")
    opening = next((kind for kind in kinds if kind != "courtesies"), "")
    if opening != "yes" or doubtful:
        return "unclear"
    strong = any(kind == "yes" and tuple(words[start:end]) not in answers.weak for kind, start, end in found)
    beside = sum(end - start for kind, start, end in found if not kind)
    return "yes" if beside <= (MOST_BESIDE if strong or about is not None else 0) else "unclear"


def says_more(text: str, language: str) -> bool:
    """Whether there are words that are no part of a yes, a no or a courtesy."""
    answers = phrasebook(language).answers
    return any(kind in ("", "hedges") for kind, _, _ in _scan(bare_words(text), answers))


def _scan(words: Sequence[str], answers: Answers) -> Iterator[_Found]:
    """From left to right, the longest phrase that begins at each place; of equally long ones the more careful."""
    kinds: tuple[tuple[_Kind, Phrases], ...] = (
        ("unsure", answers.unsure),
        ("no", answers.no),
        ("hedges", answers.hedges),
        ("yes", answers.yes),
        ("courtesies", answers.courtesies),
    )
    at = 0
    while at < len(words):
        lengths = [(_longest(words, at, known), kind) for kind, known in kinds]
        length, found = max(lengths, key=lambda each: each[0])
        kind: _Kind = found if length else ""
        yield kind, at, at + max(1, length)
        at += max(1, length)


def _longest(words: Sequence[str], at: int, known: Phrases) -> int:
    return max((len(p) for p in known if tuple(words[at : at + len(p)]) == p), default=0)


def _weighed(found: _Found, words: Sequence[str], answers: Answers) -> _Kind:
    """A yes beside a negation is a no: "that isn't right", "stimmt so nicht"."""
    kind, start, end = found
    if kind != "yes":
        return kind
    around = (*words[max(0, start - _REACH) : start], *words[end : end + _REACH])
    return "no" if any((word,) in answers.negations for word in around) else kind
