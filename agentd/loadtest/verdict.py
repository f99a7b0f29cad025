"""What the steps of a load test say: how each is told, whether it met the limits, and how many calls a machine bears.
Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentd.loadtest.figures import ms, quantile
from agentd.loadtest.heard import GAP_S
from agentd.loadtest.steps import Step

V2V_SLACK_S = 0.1  # of the p95, over that of the fewest calls
LEAST_ARRIVED = 0.995  # of the sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """`most_calls`: the largest number that met the limits, as all smaller ones did; 0 when none did. `exceeded`: why
    the next one did not, or () when all did. Calls per core and per GiB are those of the `most_calls` step, else of the
    first; None where nothing can be told."""

    most_calls: int
    exceeded: tuple[str, ...]
    calls_per_core: float | None
    calls_per_gib: float | None


def arrived(step: Step) -> float | None:
    """The share of the sound."""
    return sum(step.arrived) / len(step.arrived) if step.arrived else None


def exceeded(step: Step, fewest: Step) -> tuple[str, ...]:
    """Which limits it did not meet, beside the step with the fewest calls."""
    if not step.v2v_s:
        return ("no turn was answered",)
    found = []
    later_s = quantile(step.v2v_s, 0.95) - quantile(fewest.v2v_s, 0.95)
    if later_s > V2V_SLACK_S:
        found.append(f"v2v p95 is {1000 * later_s:.0f} ms over that of {_calls(fewest.calls)}")
    share = arrived(step)
    if share is not None and share < LEAST_ARRIVED:
        found.append(f"{100 * share:.1f} % of the sound arrived")
    if _unanswered(step) > _unanswered(fewest):
        found.append(f"{step.unanswered} of {step.unanswered + len(step.v2v_s)} turns were not answered")
    return tuple(found)


def conclude(steps: Sequence[Step]) -> Conclusion:
    """Of at least one step, by growing numbers of calls."""
    met: Step | None = None
    found: tuple[str, ...] = ()
    for step in steps:
        if found := exceeded(step, steps[0]):
            break
        met = step
    told_by = met or steps[0]
    return Conclusion(
        most_calls=met.calls if met else 0,
        exceeded=found,
        calls_per_core=100 / told_by.cpu_per_call if told_by.cpu_per_call > 0 else None,
        calls_per_gib=1024 / told_by.memory_mib if told_by.memory_mib > 0 else None,
    )


def told(step: Step) -> str:
    """A step in lines."""
    lag = "not told"
    if step.lag_s:
        lag = f"median {_ms(quantile(step.lag_s, 0.5))}, p99 {_ms(quantile(step.lag_s, 0.99))}"
    share = arrived(step)
    sound = "nothing was heard" if share is None else f"sound that arrived {100 * share:.1f} %"
    return (
        f"{_calls(step.calls)}: CPU a call {step.cpu_per_call:.1f} %, memory a call {step.memory_mib:.1f} MiB"
        f" (+{step.idle_mib:.0f} idle), worst loop lag in a second: {lag}\n"
        f"    v2v {ms(step.v2v_s)}, unanswered {step.unanswered}\n"
        f"    {sound}, silences over {_ms(GAP_S)} inside the agent's speech: {_gaps(step)}"
    )


def told_conclusion(conclusion: Conclusion) -> str:
    """In sentences."""
    most, reasons = conclusion.most_calls, "; ".join(conclusion.exceeded)
    if not most:
        first = f"Not even the fewest calls met the limits: {reasons}."
    elif conclusion.exceeded:
        first = f"{_calls(most)} met the limits, and the next number did not: {reasons}."
    else:
        first = f"{_calls(most)} met the limits: the most that were tried, so there may be room for more."
    per_core, per_gib = (
        "unknown" if number is None else f"{number:.1f}"
        for number in (conclusion.calls_per_core, conclusion.calls_per_gib)
    )
    return f"{first}\nCalls per core {per_core}, calls per GiB {per_gib}, beside what the daemon takes without a call."


def as_json(step: Step, fewest: Step) -> dict[str, Any]:
    """Times in seconds, shares of 1; null where nothing was measured."""
    return {
        "calls": step.calls,
        "cpu_percent_per_call": round(step.cpu_per_call, 2),
        "memory_mib_per_call": round(step.memory_mib, 2),
        "idle_memory_mib": round(step.idle_mib, 1),
        "loop_lag_p99_s": _quantile(step.lag_s, 0.99),
        "v2v_s": {"median": _quantile(step.v2v_s, 0.5), "p95": _quantile(step.v2v_s, 0.95), "n": len(step.v2v_s)},
        "gaps_s": {
            "over": GAP_S,
            "a_minute": _a_minute(step),
            **{name: _quantile(step.gaps_s, q) for name, q in (("median", 0.5), ("p95", 0.95), ("longest", 1.0))},
        },
        "sound_arrived": arrived(step),
        "unanswered": step.unanswered,
        "limits_exceeded": list(exceeded(step, fewest)),
    }


def _unanswered(step: Step) -> float:
    return step.unanswered / max(1, step.unanswered + len(step.v2v_s))


def _gaps(step: Step) -> str:
    rate = _a_minute(step)
    if rate is None or not step.gaps_s:
        return "none"
    median, p95, longest = (_ms(quantile(step.gaps_s, q)) for q in (0.5, 0.95, 1.0))
    return f"{rate:.1f} a minute, median {median}, p95 {p95}, longest {longest}"


def _a_minute(step: Step) -> float | None:
    return round(60 * len(step.gaps_s) / step.spoken_s, 2) if step.spoken_s > 0 else None


def _quantile(values: Sequence[float], q: float) -> float | None:
    found = quantile(values, q)
    return None if math.isnan(found) else round(found, 4)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _calls(number: int) -> str:
    return f"{number} call{'s' if number != 1 else ''}"
