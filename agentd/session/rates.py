"""How often something was done lately, for limits that go beyond one session. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

KEYS = 10_000  # counted at once; what was not done for longest is forgotten first


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` in any `per_s` seconds of what has this key."""

    key: Hashable
    calls: int
    per_s: float


class Rates:
    """The counters of one worker, shared by its sessions; they end with it."""

    def __init__(self) -> None:
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def take(self, limits: Sequence[Limit], now_s: float) -> Limit | None:
        """Counts one more under every limit, or under none: then the answer is a limit that is reached."""
        for limit in limits:
            times = self._times.get((limit.key, limit.calls, limit.per_s))
            if times and len(times) >= limit.calls and times[0] > now_s - limit.per_s:
                return limit
        for limit in limits:
            key = (limit.key, limit.calls, limit.per_s)
            self._times.setdefault(key, deque(maxlen=limit.calls)).append(now_s)
            self._times.move_to_end(key)
        while len(self._times) > KEYS:
            self._times.popitem(last=False)
        return None
