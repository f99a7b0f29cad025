"""Which worker is replaced because it is old, or has grown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GROWN_FROM_S = 600.0
"""A worker that is large at once is so by what it has loaded: its successor would be as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleLimits:
    """0: never."""

    after_s: float = 0.0
    memory_bytes: int = 0
    growth_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """A ready worker. `settled_bytes`: its memory when it was `GROWN_FROM_S` old; 0: it is younger."""

    worker: str
    age_s: float
    memory_bytes: int
    settled_bytes: int = 0

    @property
    def growth_bytes(self) -> int:
        return self.memory_bytes - self.settled_bytes if self.settled_bytes else 0


def due(workers: Iterable[Aged], limits: RecycleLimits) -> tuple[str, str] | None:
    """The worker to replace next, and why: the largest of those that grew too large, else the oldest."""
    known = list(workers)
    large = [
        each
        for each in known
        if limits.memory_bytes and each.memory_bytes >= limits.memory_bytes and each.age_s >= GROWN_FROM_S
    ]
    if large:
        largest = max(large, key=lambda each: each.memory_bytes)
        return largest.worker, f"it uses {largest.memory_bytes / 2**20:.0f} MiB"
    grown = [each for each in known if limits.growth_bytes and each.growth_bytes >= limits.growth_bytes]
    if grown:
        most = max(grown, key=lambda each: each.growth_bytes)
        return most.worker, f"it has grown by {most.growth_bytes / 2**20:.0f} MiB"
    old = [each for each in known if limits.after_s and each.age_s >= limits.after_s]
    if old:
        oldest = max(old, key=lambda each: each.age_s)
        return oldest.worker, f"it is {oldest.age_s / 3600:.1f} h old"
    return None
