"""Whether a canary does what its file asks of it, from how its calls went. Pure.

A rate is told with its Wilson interval, a percentile with that of its order statistics: neither assumes how the values
are distributed, and both are honest about few calls. An objective is met when its whole interval is within the limit,
missed when all of it is beyond, and open in between; what is open when the last call is in goes by the value itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from agentd.config.rollout import Objectives
from agentd.runtime.outcome import SessionOutcome, Verdict

GAPS_KEPT = 2_000
"""The latest; beyond that the percentile hardly moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the calls that tell something. `gaps`: the silence before each answer, in seconds."""

    calls: int = 0
    failed: int = 0
    replies: int = 0
    interrupted: int = 0
    tools: int = 0
    tools_failed: int = 0
    gaps: tuple[float, ...] = ()


NO_FIGURES = Figures()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`value` None: nothing to measure it by. `high` None: there is no upper bound yet. `limit` None: nobody asks."""

    name: Literal["gap_p95", "error_rate", "interruption_rate", "tool_failure_rate"]
    count: int
    value: float | None
    low: float | None
    high: float | None
    limit: float | None = None
    state: Literal["met", "missed", "open", "unasked"] = "unasked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    decision: Literal["collecting", "promote", "roll_back"]
    why: str
    measured: tuple[Measured, ...]


def with_call(figures: Figures, outcome: SessionOutcome, verdict: Verdict) -> Figures:
    """The figures with one call more; one that tells nothing changes none."""
    if verdict.result == "neutral":
        return figures
    return replace(
        figures,
        calls=figures.calls + 1,
        failed=figures.failed + (verdict.result == "failed"),
        replies=figures.replies + outcome.replies,
        interrupted=figures.interrupted + outcome.interrupted,
        tools=figures.tools + outcome.tools,
        tools_failed=figures.tools_failed + outcome.tools_failed,
        gaps=(*figures.gaps, *outcome.gaps)[-GAPS_KEPT:],
    )


def measured(figures: Figures, objectives: Objectives) -> tuple[Measured, ...]:
    """Everything that there are figures of, also what has no limit."""
    z = NormalDist().inv_cdf(0.5 + objectives.confidence / 2)
    gap = percentile(figures.gaps, 0.95, z)
    found = [Measured(name="gap_p95", count=len(figures.gaps), value=gap[0], low=gap[1], high=gap[2])]
    rates: tuple[tuple[Literal["error_rate", "interruption_rate", "tool_failure_rate"], int, int], ...] = (
        ("error_rate", figures.failed, figures.calls),
        ("interruption_rate", figures.interrupted, figures.replies),
        ("tool_failure_rate", figures.tools_failed, figures.tools),
    )
    for name, hits, count in rates:
        value = hits / count if count else None
        low, high = wilson(hits, count, z)
        found.append(Measured(name=name, count=count, value=value, low=low, high=high))
    return tuple(_against(one, getattr(objectives, one.name)) for one in found)


def assess(figures: Figures, objectives: Objectives) -> Assessment:
    """What to do with the canary now."""
    found = measured(figures, objectives)
    asked = [one for one in found if one.limit is not None]
    if figures.calls < objectives.min_calls:
        return Assessment(
            decision="collecting", why=f"{figures.calls} of at least {objectives.min_calls} calls", measured=found
        )
    last = figures.calls >= objectives.max_calls
    missed = [one for one in asked if one.state == "missed" or (last and _is_beyond(one))]
    if missed:
        return Assessment(decision="roll_back", why="; ".join(map(in_words, missed)), measured=found)
    if last or all(one.state == "met" for one in asked):
        return Assessment(decision="promote", why="; ".join(map(in_words, asked)), measured=found)
    still = ", ".join(one.name for one in asked if one.state == "open")
    return Assessment(decision="collecting", why=f"{figures.calls} calls leave open: {still}", measured=found)


def in_words(one: Measured) -> str:
    """One line with the interval: "error_rate 4.0 % (1.1 to 13.5 %, n=50), limit 2.0 %"."""
    if one.value is None:
        return f"{one.name}: nothing to measure"
    high = "?" if one.high is None else _shown(one.name, one.high)
    interval = f"{_shown(one.name, one.low or 0.0)} to {high}, n={one.count}"
    limit = "" if one.limit is None else f", limit {_shown(one.name, one.limit)}"
    return f"{one.name} {_shown(one.name, one.value)} ({interval}){limit}"


def _shown(name: str, value: float) -> str:
    return f"{value:.2f} s" if name == "gap_p95" else f"{value:.1%}"


def _against(one: Measured, limit: float | None) -> Measured:
    if limit is None:
        return one
    if one.low is not None and one.low > limit:
        return replace(one, limit=limit, state="missed")
    met = one.high is not None and one.high <= limit
    return replace(one, limit=limit, state="met" if met else "open")


def _is_beyond(one: Measured) -> bool:
    return one.value is not None and one.limit is not None and one.value > one.limit


def wilson(hits: int, count: int, z: float) -> tuple[float | None, float | None]:
    """Wilson's score interval of a rate."""
    if not count:
        return None, None
    rate, squared = hits / count, z * z
    middle = (rate + squared / (2 * count)) / (1 + squared / count)
    half = z / (1 + squared / count) * math.sqrt(rate * (1 - rate) / count + squared / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def percentile(values: Sequence[float], share: float, z: float) -> tuple[float | None, float | None, float | None]:
    """The percentile, and the values between which it lies: those whose ranks bound it. None: beyond all values."""
    if not values:
        return None, None, None
    ordered, count = sorted(values), len(values)
    spread = z * math.sqrt(count * share * (1 - share))
    at = min(count, math.ceil(count * share))
    low = math.floor(count * share - spread)
    high = math.ceil(count * share + spread) + 1
    return ordered[at - 1], ordered[max(0, low - 1)], ordered[high - 1] if high <= count else None
