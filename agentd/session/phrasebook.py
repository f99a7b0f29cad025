"""What turn-taking knows about the words of a language: read once from `agentd/session/languages/*.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

from agentd.session.words import bare_words

Phrases = frozenset[tuple[str, ...]]

ASKED = ("number", "phone", "date", "time", "name", "email", "address", "spelling")
"""What `turn.endpointing.rules` may call the agent's question by, instead of a regular expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DictatedNumber:
    """A number that callers dictate: after the agent asked for it, or they announced it, it has at least so many
    digits. `complete`: and with so many nothing is missing; None where that varies."""

    asks: re.Pattern[str]
    says: re.Pattern[str]
    digits: int
    complete: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What says yes and no; `agentd.session.affirmation` tells how they are weighed."""

    yes: Phrases = frozenset()
    weak: Phrases = frozenset()
    no: Phrases = frozenset()
    unsure: Phrases = frozenset()
    negations: Phrases = frozenset()
    hedges: Phrases = frozenset()
    courtesies: Phrases = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrasebook:
    """One language. An unknown one has an empty book: then silence alone counts."""

    dangling: Phrases = frozenset()
    never_last: Phrases = frozenset()
    open_ended: Phrases = frozenset()
    finished: Phrases = frozenset()
    digits: frozenset[str] = frozenset()
    teens: frozenset[str] = frozenset()
    tens: frozenset[str] = frozenset()
    repeats: Mapping[str, int] = field(default_factory=dict)
    acknowledgements: Phrases = frozenset()
    interruptions: Phrases = frozenset()
    made_up_never: Phrases = frozenset()
    made_up_when_short: Phrases = frozenset()
    answers: Answers = field(default_factory=Answers)
    asks: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    numbers: tuple[DictatedNumber, ...] = ()

    def asked(self, question: str, pattern: str) -> bool:
        """Whether the agent's words ask for what `pattern` names: one of ASKED, or a regular expression."""
        if pattern in ASKED:
            known = self.asks.get(pattern)
            return bool(known and known.search(question))
        return bool(_compiled(pattern).search(question))

    def count_digits(self, words: tuple[str, ...]) -> int:
        """Digits in figures and words: "oh two double five 17" has six."""
        count, factor = 0, 1
        for index, word in enumerate(words):
            if word in self.repeats:
                factor = self.repeats[word]
                continue
            count += factor * self._digits_of(word, words[index + 1 : index + 2])
            factor = 1
        return count

    def is_digits(self, word: str) -> bool:
        return word.isdecimal() or word in self.digits or word in self.teens or word in self.tens

    @property
    def units(self) -> frozenset[str]:
        """What stands after one of `tens` in one number."""
        return self.digits | self.teens

    def _digits_of(self, word: str, following: tuple[str, ...]) -> int:
        if word.isdecimal():
            return len(word)
        if word in self.digits:
            return 1
        if word in self.tens:
            return 1 if following and following[0] in self.digits else 2
        return 2 if word in self.teens else 0


def phrases(texts: Iterable[str]) -> Phrases:
    """Phrases as words, ready to be compared."""
    return frozenset(words for text in texts if (words := bare_words(text)))


@lru_cache(maxsize=64)
def phrasebook(language: str) -> Phrasebook:
    """Of a BCP 47 tag; "en-GB" has English's."""
    file = files("agentd.session").joinpath("languages", f"{language.split('-')[0].lower()}.toml")
    if not language.replace("-", "").isalnum() or not file.is_file():
        return Phrasebook()
    return _read(tomllib.loads(file.read_text(encoding="utf-8")))


def _read(data: Mapping[str, Any]) -> Phrasebook:
    return Phrasebook(
        dangling=phrases((*data["never_last"], *data["dangling"])),
        never_last=phrases(data["never_last"]),
        open_ended=phrases(data["open_ended"]),
        finished=phrases(data["finished"]),
        digits=frozenset(data["digits"]),
        teens=frozenset(data["teens"]),
        tens=frozenset(data["tens"]),
        repeats=data["repeats"],
        acknowledgements=phrases(data["acknowledgements"]),
        interruptions=phrases(data["interruptions"]),
        made_up_never=phrases(data["made_up_never"]),
        made_up_when_short=phrases(data["made_up_when_short"]),
        answers=Answers(**{each.name: phrases(data[each.name]) for each in fields(Answers)}),
        asks={name: _compiled(pattern) for name, pattern in data["asks"].items()},
        numbers=tuple(
            DictatedNumber(
                asks=_compiled(each["asks"]),
                says=_compiled(each["says"]),
                digits=each["digits"],
                complete=each.get("complete"),
            )
            for each in data["numbers"]
        ),
    )


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
