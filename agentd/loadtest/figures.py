"""How measurements are told: medians and tails, with the number of them."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between neighbours; nan for nothing."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def ms(values: Sequence[float]) -> str:
    """Median, p95 and worst of seconds, in milliseconds."""
    if not values:
        return "none measured"
    median, p95, worst = (1000 * quantile(values, q) for q in (0.5, 0.95, 1.0))
    return f"median {median:5.0f} ms   p95 {p95:5.0f} ms   worst {worst:5.0f} ms   n={len(values)}"
