"""Canaries, as an agent's file says them: the share of another agent's calls, and what decides about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentd.providers.fields import Duration, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What a canary must do to be promoted; what it misses rolls it back. Each limit is told with its interval."""

    gap_p95: Duration | None = setting(
        "At most this long a silence before 95 % of the answers.", default=None, minimum=0
    )
    error_rate: float | None = setting(
        "At most this share of calls that failed; calls in which nobody was answered do not count.",
        default=None,
        minimum=0,
        maximum=1,
    )
    interruption_rate: float | None = setting(
        "At most this share of replies that the caller cut.", default=None, minimum=0, maximum=1
    )
    tool_failure_rate: float | None = setting(
        "At most this share of tool calls that failed.", default=None, minimum=0, maximum=1
    )
    min_calls: int = setting("Nothing is decided before so many calls.", default=50, minimum=1, maximum=100_000)
    max_calls: int = setting(
        "After so many it is decided by the values themselves, however wide their intervals.",
        default=500,
        minimum=1,
        maximum=100_000,
    )
    min_time: Duration | None = setting("Not promoted before.", default=None, minimum=0)
    confidence: float = setting("Of the intervals.", default=0.95, minimum=0.5, maximum=0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A canary: this agent takes a share of another's calls. Without `objectives` until somebody ends it."""

    of: str = setting("The agent whose calls are shared.")
    percent: float | None = setting(
        "Share of its new calls; of those that match, if `match` is given.", default=None, minimum=0, maximum=100
    )
    match: Mapping[str, str] = setting(
        "Only calls whose dispatch says so: a value by name, in the job's metadata (a JSON object), its attributes, or "
        "those of the participant that it is about.",
        default_factory=dict,
        examples=({"plan": "gold"},),
    )
    objectives: Objectives | None = setting("When it is promoted or rolled back by itself.", default=None)
