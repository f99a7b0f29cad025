"""Which language the conversation is in: what each turn says of it, and when that is enough to change. Pure.

A word that two languages share must not change the voice, so one turn changes the language only when it is long and
clear; shorter ones must agree. Only the languages that the agent declares are ever taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agentd.config.definition import LanguageDetection
from agentd.providers.language_id import LanguageIdentifier, primary
from agentd.session.events import Decision
from agentd.session.words import count_words

LEAST_LIKELY = 0.2
"""Below, a text says nothing of its language: fastText gives 0.13 to the likeliest for words it does not know."""

LEAST_MARGIN = 0.1
"""Two languages nearer to each other than this are not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one turn says: how likely each declared language is, by tag. `by`: who says so."""

    likelihoods: Mapping[str, float]
    words: int
    by: Literal["recognizer", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchLanguage(Decision):
    """The conversation goes on in `language`."""

    language: str
    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLanguage(Decision):
    """The turn was in `heard` (None: nobody can tell), and that is not enough to change, or is no change."""

    heard: str | None


LanguageDecision = SwitchLanguage | KeepLanguage


@dataclass(slots=True)
class LanguageTracker:
    """One conversation's language among the `declared`."""

    declared: tuple[str, ...]
    settings: LanguageDetection
    current: str
    candidate: str | None = None  # another language than the current, heard in the last turn
    agreed: int = 0  # turns in a row in the candidate

    def hear(self, evidence: Evidence) -> LanguageDecision:
        """Takes one turn of the caller."""
        ranked = sorted(evidence.likelihoods.items(), key=lambda item: item[1], reverse=True)
        heard, margin = self._heard(ranked)
        if heard is None:
            return KeepLanguage(rule="language_unclear", heard=None)
        if primary(heard) == primary(self.current):
            self.candidate, self.agreed = None, 0
            return KeepLanguage(rule="same_language", heard=self.current)
        self.agreed = self.agreed + 1 if heard == self.candidate else 1
        self.candidate = heard
        settings = self.settings
        if evidence.words >= settings.min_words and margin >= settings.margin:
            return self._switch(heard, "clear_turn", f"language_detection.min_words={settings.min_words}")
        if self.agreed >= settings.agreeing:
            return self._switch(heard, "agreeing_turns", f"language_detection.agreeing={settings.agreeing}")
        return KeepLanguage(rule="not_enough", value=f"language_detection.agreeing={settings.agreeing}", heard=heard)

    def choose(self, language: str, rule: str, value: str = "") -> LanguageDecision:
        """Somebody names the language; raises KeyError for one that is not declared."""
        found = match(language, self.declared)
        if found is None:
            raise KeyError(language)
        if found == self.current:
            return KeepLanguage(rule=rule, value=value, heard=None)
        return self._switch(found, rule, value)

    def _heard(self, ranked: Sequence[tuple[str, float]]) -> tuple[str | None, float]:
        """The likeliest language and its lead over the next; variants of one language (en-GB, en-US) are one."""
        if not ranked:
            return None, 0.0
        best, likelihood = ranked[0]
        others = (value for tag, value in ranked if primary(tag) != primary(best))
        margin = likelihood - next(others, 0.0)
        if likelihood < LEAST_LIKELY or margin < LEAST_MARGIN:
            return None, margin
        return best, margin

    def _switch(self, language: str, rule: str, value: str) -> SwitchLanguage:
        before, self.current = self.current, language
        self.candidate, self.agreed = None, 0
        return SwitchLanguage(rule=rule, value=value, language=language, before=before)


def evidence_of(
    text: str, heard: str | None, tracker: LanguageTracker, identifier: LanguageIdentifier | None
) -> Evidence | None:
    """What a turn says of its language, from whoever is to be asked; None when nobody can tell.

    `heard`: the language that the recogniser says it heard, if it is one that tells.
    """
    by, declared, words = tracker.settings.by, tracker.declared, count_words(text)
    if by in ("auto", "recognizer") and heard is not None:
        return recognized(heard, declared, words)
    if by in ("auto", "text") and identifier is not None:
        return Evidence(likelihoods=identifier.identify(text, declared), words=words, by="text")
    return None


def recognized(language: str | None, declared: Sequence[str], words: int) -> Evidence | None:
    """What a recogniser that tells languages says; None for a language that the agent does not declare."""
    found = match(language, declared) if language else None
    return Evidence(likelihoods={found: 1.0}, words=words, by="recognizer") if found else None


def match(language: str, declared: Sequence[str]) -> str | None:
    """The declared tag that this one means: itself, else the first of the same language ("de" and "de-AT": "de-DE")."""
    wanted = language.strip().lower()
    if not wanted:
        return None
    exact = next((tag for tag in declared if tag.lower() == wanted), None)
    return exact or next((tag for tag in declared if primary(tag) == primary(wanted)), None)
