"""How often one may ask: a bucket of tokens for each operator, or for each address of those who are not known. Pure."""

from __future__ import annotations

from collections import OrderedDict

MOST_KEYS = 4_096
"""Buckets that are remembered; the ones that were not asked for longest are forgotten, and so are full again."""


class RateLimit:
    """`per_second` requests go on for ever, and `burst` at once after a pause."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and as of when

    def take(self, key: str, now: float) -> float:
        """0.0: go ahead. Else the seconds after which to ask again; such a request costs nothing."""
        left, at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._per_second)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[key] = (left - 1 if not wait_s else left, now)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return wait_s
