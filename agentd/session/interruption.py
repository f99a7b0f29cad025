"""What of the caller's speech stops the agent's. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from agentd.config.turns import Interruption, InterruptionProfile
from agentd.session.phrasebook import Phrases, phrasebook, phrases
from agentd.session.words import bare_words, count_words, leading_phrases

Phase = Literal["thinking", "speaking", "tool"]
Verdict = Literal["acknowledgement", "phrase", "words", "too_few"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that hold in one phase of the agent. `where`: the configuration that they stand in."""

    settings: Interruption
    acknowledgements: Phrases
    phrases: Phrases
    where: str = "turn.interruption"


@lru_cache(maxsize=256)
def policy(interruption: Interruption, phase: Phase, language: str) -> Policy:
    """The settings with the phase's overrides, the phrases with the language's own."""
    book = phrasebook(language)
    own, opening = interruption.acknowledgements, interruption.phrases
    profile: InterruptionProfile | None = None
    if interruption.while_ is not None:
        profile = getattr(interruption.while_, phase)
    return Policy(
        settings=_overridden(interruption, profile),
        acknowledgements=book.acknowledgements if own is None else phrases(own),
        phrases=book.interruptions if opening is None else phrases(opening),
        where=f"turn.interruption.while.{phase}" if profile is not None else "turn.interruption",
    )


def verdict(text: str, policy: Policy) -> Verdict:
    """What these words, said while the agent has the turn, are."""
    words = bare_words(text)
    acknowledged = leading_phrases(words, policy.acknowledgements)
    stops = any(leading_phrases(words[start:], policy.phrases) for start in {0, acknowledged})
    if words and acknowledged == len(words) and not stops:
        return "acknowledgement"
    if count_words(text) >= max(policy.settings.min_words, 1):
        return "words"
    return "phrase" if stops else "too_few"


def _overridden(interruption: Interruption, profile: InterruptionProfile | None) -> Interruption:
    if profile is None:
        return interruption
    return replace(
        interruption,
        enabled=interruption.enabled if profile.enabled is None else profile.enabled,
        min_duration=interruption.min_duration if profile.min_duration is None else profile.min_duration,
        min_words=interruption.min_words if profile.min_words is None else profile.min_words,
    )
