"""Which worker takes a call, and how full the daemon is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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

    @property
    def free(self) -> int:
        return max(0, self.capacity - self.sessions)

    @property
    def overloaded(self) -> bool:
        return self.lag_s >= LAG_OVERLOAD_S and self.sessions > 0


def _emptiest(place: Place) -> tuple[float, float, str]:
    return (place.sessions / max(1, place.capacity), place.cpu, place.worker)


def choose(places: Iterable[Place]) -> str | None:
    """The worker for a new call: the emptiest with room and a punctual loop. None: refuse at once."""
    open_places = [place for place in places if place.free and not place.overloaded]
    return min(open_places, key=_emptiest).worker if open_places else None


def choose_for_rescue(places: Iterable[Place]) -> str | None:
    """The worker for a call that lost its own: the emptiest, over its capacity if it must be. None: none is ready."""
    return min(places, key=_emptiest, default=Place(worker="", sessions=0, capacity=0)).worker or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`load`: 0 to 1, as LiveKit weighs workers by. `full`: no call is taken now; `why` says it."""

    load: float
    full: bool
    why: str = ""


def load_of(places: Sequence[Place], *, cores: int, threshold: float) -> Load:
    """The daemon's load: the larger of its share of sessions and its workers' share of the machine.

    `threshold`: share of the processors from which calls are refused; 1 or more: never.
    """
    capacity = sum(place.capacity for place in places)
    if not capacity:
        return Load(load=1.0, full=True, why="no worker is ready")
    sessions = sum(place.sessions for place in places)
    busy = sum(place.cpu for place in places) / max(1, cores)
    load = min(1.0, max(sessions / capacity, busy))
    if sessions and busy >= threshold and threshold < 1:
        return Load(load=load, full=True, why=f"workers use {busy:.0%} of the processors")
    if choose(places) is None:
        return Load(load=load, full=True, why="every worker is full")
    return Load(load=load, full=False)
