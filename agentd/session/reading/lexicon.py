"""What readers know about a language: read once from this directory's `*.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

from agentd.session.words import bare_words

Phrases = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """One language. The fields are explained in en.toml; `says`: what is said, `why`: reasons, `labels`: of types."""

    digits: Mapping[str, int]
    teens: Mapping[str, int]
    tens: Mapping[str, int]
    scales: Mapping[str, int]
    repeats: Mapping[str, int]
    numeral_and: Phrases
    point: Phrases
    minus: Phrases
    ordinals: Mapping[str, int]
    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    days_from_now: Mapping[str, int]
    next: Phrases
    this: Phrases
    in_days: Phrases
    in_weeks: Phrases
    month_first: frozenset[str]
    spelled_as: Phrases
    letters: Mapping[str, str]
    ambiguous_letters: frozenset[str]
    at: Phrases
    dot: Phrases
    dash: Phrases
    underscore: Phrases
    plus: Phrases
    spelled: Phrases
    leads: Phrases
    trails: Phrases
    no_name: frozenset[str]
    domains: frozenset[str]
    oclock: Phrases
    half_past: Phrases
    half_to: Phrases
    quarter_past: Phrases
    quarter_to: Phrases
    past: Phrases
    to: Phrases
    noon: Phrases
    midnight: Phrases
    morning: Phrases
    afternoon: Phrases
    back: Phrases
    repeat: Phrases
    skip: Phrases
    give_up: Phrases
    corrections: Phrases
    labels: Mapping[str, str]
    say: Mapping[str, str]
    why: Mapping[str, str]
    tag: str = ""

    @property
    def says_month_first(self) -> bool:
        """Whether 3/4 is a day in March."""
        return self.tag.lower() in self.month_first


LANGUAGES = ("en", "de")


@lru_cache(maxsize=64)
def lexicon(language: str) -> Lexicon | None:
    """Of a BCP 47 tag; None where there is none: then the model reads answers."""
    primary = language.split("-")[0].lower()
    if primary not in LANGUAGES:
        return None
    text = files("agentd.session.reading").joinpath(f"{primary}.toml").read_text(encoding="utf-8")
    return _read(tomllib.loads(text), language)


def or_english(language: str) -> Lexicon:
    """For what has to be said or read in any case."""
    found = lexicon(language) or lexicon("en")
    assert found is not None
    return found


def _read(data: Mapping[str, Any], tag: str) -> Lexicon:
    read = {field.name: _field(str(field.type), data[field.name]) for field in fields(Lexicon) if field.name != "tag"}
    return Lexicon(**read, tag=tag)


def _field(kind: str, value: Any) -> Any:
    if kind == "Phrases":
        return _phrases(value)
    if kind == "frozenset[str]":
        return frozenset(value.split() if isinstance(value, str) else value)
    return value


def _phrases(texts: Iterable[str]) -> Phrases:
    return frozenset(words for text in texts if (words := bare_words(text)))
