"""Which worker takes a call, and how full the daemon is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

LAG_OVERLOAD_S = 0.25
"""A loop that was this late in the last second cannot hold one more call: past 80 % of a machine everything
fails at once (measured: 30 calls had a p99 lag of 300 ms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A ready worker: `sessions` counts calls that run and those reserved for it."""

    worker: str
    sessions: int
    capacity: int
    lag_s: float = 0.0
    cpu: float = 0.0  # cores in use
    lag_limit_s: float = LAG_OVERLOAD_S

    @property
    def free(self) -> int:
        return max(0, self.capacity - self.sessions)

    @property
    def overloaded(self) -> bool:
        return self.lag_s >= self.lag_limit_s and self.sessions > 0


def _emptiest(place: Place) -> tuple[float, float, str]:
    return (place.sessions / max(1, place.capacity), place.cpu, place.worker)


def choose(places: Iterable[Place]) -> str | None:
    """The worker for a new call: the emptiest with room and a punctual loop. None: refuse at once."""
    open_places = [place for place in places if place.free and not place.overloaded]
    return min(open_places, key=_emptiest).worker if open_places else None


def choose_to_wait(held: Mapping[str, int]) -> str | None:
    """The worker for a call that waits for a place: the one that holds the fewest. None: none is ready."""
    return min(held, key=lambda worker: (held[worker], worker), default=None)


def choose_for_rescue(places: Iterable[Place]) -> str | None:
    """The worker for a call that lost its own: the emptiest, over its capacity if it must be. None: none is ready."""
    return min(places, key=_emptiest, default=Place(worker="", sessions=0, capacity=0)).worker or None


Reason = Literal[
    "",
    "capacity",
    "cpu",
    "memory",
    "lag",
    "concurrency",
    "busy",
    "budget",
    "no_worker",
    "not_durable",
    "draining",
    "removed",
]
"""Why no call is taken, for figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`load`: 0 to 1, as LiveKit weighs workers by, and 1 where no call is taken. `full`: none is taken now; `why` says
    it."""

    load: float
    full: bool
    why: str = ""
    reason: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where no more calls are taken: shares of the processors and of the memory (1: never), lateness of loops."""

    cpu: float = 0.7
    memory: float = 0.9
    lag_s: float = LAG_OVERLOAD_S


def load_of(places: Sequence[Place], *, cores: int, thresholds: Thresholds, memory: float = 0.0) -> Load:
    """The daemon's load: the larger of its share of sessions and its workers' share of the machine; 1 when it takes no
    call for whatever reason.

    `memory`: share of it that is in use.
    """
    capacity = sum(place.capacity for place in places)
    if not capacity:
        return _full("no worker is ready", "no_worker")
    sessions = sum(place.sessions for place in places)
    busy = sum(place.cpu for place in places) / max(1, cores)
    if sessions and busy >= thresholds.cpu and thresholds.cpu < 1:
        return _full(f"workers use {busy:.0%} of the processors", "cpu")
    if sessions and memory >= thresholds.memory and thresholds.memory < 1:
        return _full(f"{memory:.0%} of the memory is in use", "memory")
    if not any(place.free for place in places):
        return _full("every worker is full", "capacity")
    if choose(places) is None:
        late_s = max(place.lag_s for place in places)
        return _full(f"workers are late by {late_s * 1000:.0f} ms", "lag")
    return Load(load=min(1.0, max(sessions / capacity, busy)), full=False)


def _full(why: str, reason: Reason) -> Load:
    return Load(load=1.0, full=True, why=why, reason=reason)


def fraction_of(places: Sequence[Place], *, capacity: int, cores: int, thresholds: Thresholds) -> float:
    """How much of what the daemon can hold is used, 0 to 1: of `capacity`, the places of all workers that it may have,
    or of the share of the processors that it may use, whichever is more."""
    sessions = sum(place.sessions for place in places)
    busy = sum(place.cpu for place in places) / max(1, cores)
    of_processors = busy / thresholds.cpu if sessions else 0.0
    late = any(place.overloaded for place in places) and choose(places) is None
    return 1.0 if late else min(1.0, max(sessions / max(1, capacity), of_processors))
