"""What a supervisor is told when it is made: numbers, paths, and what each of its workers is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentd.config.budget import Price
from agentd.config.events import EventSink
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.placement import LAG_OVERLOAD_S
from agentd.runtime.recycling import RecycleLimits
from agentd.runtime.scaling import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """`workers` 0: one inside this process; else the fewest. `worker`: what all are told; the name is filled in."""

    state_dir: Path
    worker: WorkerSettings
    workers: int = 2
    workers_most: int | None = None  # None: as many as `workers`
    quiet_s: float = 300.0  # how long fewer workers must have sufficed before one is let go
    cores: int = 1
    sessions_per_worker: int = 10
    load_threshold: float = 0.7
    memory_threshold: float = 1.0
    recycle: RecycleLimits = field(default_factory=RecycleLimits)
    lag_threshold_s: float = LAG_OVERLOAD_S
    drain_timeout_s: float = 3600.0
    livekit_url: str = ""
    prices: Mapping[str, Price] = field(default_factory=dict)
    probe_s: float | None = None  # how often registrations are probed; None: never
    events: tuple[EventSink, ...] = ()  # the daemon's own; http.allow is the workers'
    keep_journals_s: float = 0.0  # after the last record of a call that is over; 0: for ever
    agents_shown: str = ""  # the agents' directory as it was given
    require_livekit_s: float | None = None  # how long to wait for a registration before giving up; None: for ever

    def bounds(self) -> Bounds:
        fewest = max(1, self.workers)
        return Bounds(fewest=fewest, most=max(fewest, self.workers_most or 0), quiet_s=self.quiet_s)
