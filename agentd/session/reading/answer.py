"""What came of reading an answer, and what readers are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.tokens import Token, tokens, trimmed

Reason = Literal[
    "nothing",
    "incomplete",
    "not_valid",
    "too_short",
    "too_long",
    "checksum",
    "no_such_day",
    "in_the_past",
    "in_the_future",
    "too_small",
    "too_great",
    "not_offered",
    "keys_only",
]


@dataclass(frozen=True, slots=True)
class Value:
    """`said`: as it is read back. `sure`: the words could hardly mean anything else."""

    value: Any
    said: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Unread:
    """No value; `nothing`: the words hold none of this type, all others: they hold one that is not good."""

    reason: Reason


Read = Value | Unread
NOTHING = Unread("nothing")


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer's words. `whole`: all of them, `words`: without what only leads to the value and away from it."""

    text: str
    lexicon: Lexicon
    today: date
    whole: tuple[Token, ...]
    words: tuple[Token, ...]

    @classmethod
    def of(cls, text: str, lexicon: Lexicon, today: date) -> Heard:
        whole = tokens(text)
        return cls(text, lexicon, today, whole, trimmed(whole, lexicon))
