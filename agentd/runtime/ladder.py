"""Which steps an agent has taken because there are many calls, and which way in a new call has. Pure.

A step is taken at once when the load has reached it, and left when the load was clearly below it for a while, one after
the other: a load that swings about a threshold changes nothing. A place, by contrast, is given or not by the load of
that moment: it may not stand empty while somebody waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentd.config.busy import BusyStep, queue_of, refuses_from
from agentd.runtime.placement import Load, Reason

MARGIN = 0.1
"""How far below its threshold the load must be for a step to be left: one call of ten, at the usual ten a worker."""

CALM_S = 10.0
"""For how long: what follows upon a hang-up is often the next call."""

_WAITS_FOR: frozenset[Reason] = frozenset({"capacity", "concurrency"})
"""A call that ends makes such a place. An overloaded machine would have to hold the sound of those who wait as well,
while another daemon may have room."""

LAST_CHOICE = 0.999
"""What LiveKit is told of the load when a call could only wait here: it then draws another daemon, if one has room."""


def left_below(load: float) -> float:
    """From under which load on a step that begins at `load` may be left."""
    return load - min(MARGIN, load / 2)


class Ladder:
    """One agent's. `level`: how many of its steps, from the first on, are taken."""

    def __init__(self, loads: Sequence[float]) -> None:
        """`loads`: where the steps begin, in rising order."""
        self.loads = tuple(loads)
        self.level = 0
        self._calm_since: float | None = None

    def step(self, load: float, at: float) -> int:
        """The level under this load at this time (seconds)."""
        reached = sum(load >= begins - 1e-9 for begins in self.loads)
        if reached >= self.level:
            self.level = reached
        if self.level == 0 or load >= left_below(self.loads[self.level - 1]):
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = at
        elif at - self._calm_since >= CALM_S:
            self.level -= 1
            self._calm_since = at
        return self.level


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """What becomes of a call that comes now. `load`: why it has no place."""

    to: Literal["place", "queue", "nowhere"]
    load: Load

    @property
    def told(self) -> Load:
        """What LiveKit and others are told of the load."""
        if self.to == "queue":
            return Load(load=LAST_CHOICE, full=False, why=self.load.why, reason=self.load.reason)
        return self.load


def way_in(steps: Sequence[BusyStep], fraction: float, load: Load, waiting: int) -> WayIn:
    """`fraction`: how much of the capacity is used; `load`: whether there is a place; `waiting`: this agent's callers
    who could not be given one."""
    queue, refused = queue_of(steps), refuses_from(steps)
    if load.full and load.reason not in _WAITS_FOR:
        return WayIn(to="nowhere", load=load)
    if refused is not None and fraction >= refused - 1e-9:
        return WayIn(to="nowhere", load=_busy(f"{fraction:.0%} of the capacity is used"))
    if queue is None:
        return WayIn(to="nowhere" if load.full else "place", load=load)
    begins, options = queue
    if not load.full and fraction < begins - 1e-9 and not waiting:
        return WayIn(to="place", load=load)
    if waiting >= options.max:
        return WayIn(to="nowhere", load=_busy(f"{waiting} callers wait for a place"))
    why = load if load.full else _busy(f"{fraction:.0%} of the capacity is used")
    return WayIn(to="queue", load=why)


def _busy(why: str) -> Load:
    return Load(load=1.0, full=True, why=why, reason="busy")


def steps_at(steps: Sequence[BusyStep], level: int) -> tuple[bool, int | None]:
    """Whether answers may be begun early, and the number of the step whose model new calls have; None: the agent's."""
    taken = steps[:level]
    models = [number for number, step in enumerate(taken) if step.llm is not None]
    return all(step.preemptive is None for step in taken), (models[-1] if models else None)
