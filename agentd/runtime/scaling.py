"""How many workers there are: more before the pool is full, fewer after a quiet while, always within their bounds.

One more is started as soon as the load is above `FULL_ABOVE` of what is there; one is let go when, for `quiet_s`, the
load was never above `FEW_BELOW` of what would be left. Between the two lies a gap that no steady load crosses, and
letting go is slow where starting is fast: whatever the load does, no two workers are let go within `quiet_s`, and none
within `quiet_s` of a start.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentd.aio import now
from agentd.runtime.placement import Place
from agentd.runtime.pool import Pool
from agentd.runtime.status import Measure, MeasureSink

logger = logging.getLogger(__name__)

FULL_ABOVE = 0.75
"""Starting a worker takes seconds: what is left must last for as long as calls come in at their usual pace."""

STEADY_READINGS = 5
"""Of the processor, one a second: a model that works for a moment is no load that a worker more would take away."""

FEW_BELOW = 0.5
"""Well below, so that the workers that are left are not at once too few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The fewest and the most workers; `quiet_s`: how long fewer must have sufficed before one is let go."""

    fewest: int
    most: int
    quiet_s: float = 300.0


def demand(places: Sequence[Place], waiting: int = 0) -> float:
    """How many workers' worth of load there is: each worker's share of its sessions or, where it holds some and that
    is more, of a core, which is all that a process can use. `waiting`: callers without a place."""
    held = sum(
        max(place.sessions / max(1, place.capacity), min(1.0, place.cpu) if place.sessions else 0.0) for place in places
    )
    capacity = max((place.capacity for place in places), default=1)
    return held + waiting / max(1, capacity)


def needed(load: float, share: float) -> int:
    """The fewest workers of which this load, in workers, is no more than this share."""
    return math.ceil(load / share - 1e-9)


class Sizing:
    """Decides, and remembers since when fewer workers would suffice. Pure: the times are given."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._quiet_since: float | None = None

    def step(self, load: float, workers: int, at: float) -> int:
        """How many workers to start, or -1 to let one go. `workers`: those that take calls or will; `at`: seconds."""
        wanted = min(self._bounds.most, max(self._bounds.fewest, needed(load, FULL_ABOVE)))
        fewer = max(self._bounds.fewest, needed(load, FEW_BELOW))
        if workers < wanted:
            self._quiet_since = None
            return wanted - workers
        if workers <= fewer:
            self._quiet_since = None
            return 0
        if self._quiet_since is None:
            self._quiet_since = at
        if at - self._quiet_since < self._bounds.quiet_s:
            return 0
        self._quiet_since = at  # the next one after as long again
        return -1


class Scaling:
    """Has the pool follow the load. `places`: the ready workers; `waiting`: callers without a place."""

    def __init__(
        self,
        pool: Pool,
        bounds: Bounds,
        *,
        places: Callable[[], Sequence[Place]],
        waiting: Callable[[], int],
        measures: MeasureSink,
    ) -> None:
        self._pool = pool
        self._sizing = Sizing(bounds)
        self._fixed = bounds.fewest == bounds.most
        self._places = places
        self._waiting = waiting
        self._measures = measures
        self._readings: dict[str, deque[float]] = {}

    def tick(self) -> None:
        """To be called about once a second."""
        if self._fixed:
            return
        places = self._steady(self._places())
        load, workers = demand(places, self._waiting()), self._pool.staying
        change = self._sizing.step(load, workers, now())
        for _ in range(change):
            self._told("worker added", self._pool.add(), load, workers, "up")
        emptiest = min(places, key=lambda place: (place.sessions, place.cpu), default=None)
        if change < 0 and emptiest is not None and self._pool.let_go(emptiest.worker):
            self._told("worker let go", emptiest.worker, load, workers, "down")

    def _steady(self, places: Sequence[Place]) -> list[Place]:
        """With what each has used of the processor all the time lately."""
        known = {place.worker for place in places}
        self._readings = {worker: read for worker, read in self._readings.items() if worker in known}
        for place in places:
            self._readings.setdefault(place.worker, deque(maxlen=STEADY_READINGS)).append(place.cpu)
        steady = {w: min(read) if len(read) == STEADY_READINGS else 0.0 for w, read in self._readings.items()}
        return [replace(place, cpu=steady[place.worker]) for place in places]

    def _told(self, what: str, worker: str, load: float, workers: int, direction: str) -> None:
        logger.info(what, extra={"worker": worker, "load": round(load, 2), "workers": workers})
        self._measures.apply(Measure(name="worker_scalings_total", labels={"direction": direction}))
