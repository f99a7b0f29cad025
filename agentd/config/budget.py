"""What an agent may use in a day, and what providers charge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agentd.providers.fields import setting

if TYPE_CHECKING:
    from agentd.config.definition import AgentDefinition
    from agentd.config.provider_choice import ProviderChoice

_TOKENS = "Tokens of the language model, in and out."
_MINUTES = "Minutes of calls."
_COST = "Money, in whatever currency `prices` of agentd.yaml are in."


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBudget:
    """What may be used from midnight to midnight, UTC. None: as much as is asked for."""

    tokens_per_day: int | None = setting(_TOKENS, default=None, minimum=1)
    minutes_per_day: float | None = setting(_MINUTES, default=None, minimum=0.1)
    cost_per_day: float | None = setting(_COST, default=None, minimum=0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(DayBudget):
    per_caller: DayBudget | None = setting(
        "The same for each caller, known by the participant's identity (a phone number's, for instance). Who has used "
        "it up is told `goodbye` as soon as they are there.",
        default=None,
    )
    when_used_up: Literal["refuse", "end"] = setting(
        "refuse: no more calls of the agent are taken, and those under way go on; end: those are ended too.",
        default="refuse",
    )
    goodbye: str | None = setting(
        "What is said to a caller whose call is ended for it; a sentence of agentd's own by default.", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a provider charges, in any one currency."""

    per_million_input: float = setting("Of a million tokens that are read.", default=0.0, minimum=0)
    per_million_cached: float | None = setting(
        "Of those that the provider had read before; as the others by default.", default=None, minimum=0
    )
    per_million_output: float = setting("Of a million tokens that are written.", default=0.0, minimum=0)
    per_million_characters: float = setting("Of a million characters that are spoken.", default=0.0, minimum=0)
    per_minute: float = setting("Of a minute of a call: of speech recognition, for instance.", default=0.0, minimum=0)


def price_of(prices: Mapping[str, Price], provider: str, model: str) -> Price | None:
    """The model's, or else the provider's."""
    return prices.get(f"{provider}/{model}") or prices.get(provider)


def choices(definition: AgentDefinition) -> Iterator[ProviderChoice]:
    """Every provider that a call of this agent may be charged for."""
    firsts = [definition.stt, definition.llm, definition.tts, definition.realtime, definition.context.llm]
    firsts += [step.llm for step in definition.when_busy]
    for override in definition.languages.values():
        firsts += [override.stt, override.tts]
    for first in firsts:
        if first is not None:
            yield first
            yield from first.fallback


def model_of(choice: ProviderChoice) -> str:
    return str(getattr(choice.settings, "model", None) or "")


def unpriced(definition: AgentDefinition, prices: Mapping[str, Price]) -> list[str]:
    """The providers of an agent with a budget of money, when not one of them has a price: it would never be used up."""
    budget = definition.limits.budget
    limits = [] if budget is None else [budget, *([budget.per_caller] if budget.per_caller else [])]
    used = list(choices(definition))
    if all(limit.cost_per_day is None for limit in limits):
        return []
    if any(price_of(prices, choice.provider, model_of(choice)) for choice in used):
        return []
    return list(dict.fromkeys("/".join(filter(None, (each.provider, model_of(each)))) for each in used))
