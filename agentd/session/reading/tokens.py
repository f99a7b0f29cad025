"""A caller's words as readers look at them: folded, with what was written kept beside."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentd.session.reading.lexicon import Lexicon, Phrases

MOST_WORDS = 120  # a longer answer is cut
_HALF_DAY = re.compile(r"\b([ap])\.?\s?m\b\.?", re.IGNORECASE)
_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)*|[@+:./_-]")


@dataclass(frozen=True, slots=True)
class Token:
    """`text`: folded; `written`: as the recogniser wrote it; `glued`: no space stands before it."""

    text: str
    written: str
    glued: bool = False

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum()


def tokens(text: str) -> tuple[Token, ...]:
    """Words, runs of figures, and the signs that matter in addresses, dates and numbers."""
    text = _HALF_DAY.sub(lambda match: f"{match.group(1)}m ", unicodedata.normalize("NFKC", text))
    found = []
    for match in _TOKEN.finditer(text):
        glued = match.start() > 0 and not text[match.start() - 1].isspace()
        found.append(Token(match.group().casefold().replace("’", "'"), match.group(), glued))
    return tuple(found[:MOST_WORDS])


def words(said: Sequence[Token]) -> tuple[Token, ...]:
    """Without the signs."""
    return tuple(token for token in said if token.is_word)


def texts(said: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.text for token in said)


def longest(said: Sequence[Token], at: int, phrases: Phrases) -> int:
    """How many words from there on are one of the phrases; signs between them do not matter here."""
    best = 0
    for phrase in phrases:
        if len(phrase) > best and tuple(t.text for t in said[at : at + len(phrase)]) == phrase:
            best = len(phrase)
    return best


def trimmed(said: Sequence[Token], lexicon: Lexicon) -> tuple[Token, ...]:
    """Without what leads to a value and what follows it; never empty where something was said."""
    rest = _without_edges(tuple(said))
    while True:
        lead = _lead(rest, lexicon.leads)
        if not lead or lead >= len(rest):
            break
        rest = _without_edges(rest[lead:])
    while True:
        trail = max((len(p) for p in lexicon.trails if texts(rest[-len(p) :]) == p), default=0)
        if not trail or trail >= len(rest):
            return rest
        rest = _without_edges(rest[:-trail])


def _lead(said: tuple[Token, ...], leads: Phrases) -> int:
    """As `longest`, over a hyphen or another sign within the phrase: "my e-mail is"."""
    best = 0
    for phrase in leads:
        at = matched = 0
        while matched < len(phrase) and at < len(said) and at < len(phrase) + 3:
            if said[at].text == phrase[matched]:
                matched += 1
            elif said[at].is_word or not matched:
                break
            at += 1
        if matched == len(phrase):
            best = max(best, at)
    return best


def _without_edges(said: tuple[Token, ...]) -> tuple[Token, ...]:
    """Signs at the ends are punctuation, but for a plus."""
    start, end = 0, len(said)
    while start < end and not said[start].is_word and said[start].text != "+":
        start += 1
    while end > start and not said[end - 1].is_word:
        end -= 1
    return said[start:end]
