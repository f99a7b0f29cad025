"""How callers wait for a place, as an agent's file says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentd.providers.fields import Duration, setting

if TYPE_CHECKING:
    from agentd.config.definition import BusyStep

POSITION = "position"
"""The variable of `queue.say`: which the caller is in the queue, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQueue:
    """Callers who wait for a place."""

    max: int = setting("Callers who may wait at once; more are refused.", default=10, minimum=1, maximum=1000)
    timeout: Duration = setting(
        "How long each waits; then `apology` is said and the call ends.",
        default=Duration(120.0),
        minimum=5,
        maximum=3600,
    )
    say: str | None = setting(
        "Said first, and again after `every`; a Jinja2 template over the variables and `position`. A sentence of "
        "agentd's own by default.",
        default=None,
    )
    every: Duration = setting("Hold sound between two announcements.", default=Duration(20.0), minimum=2, maximum=600)
    audio: str | None = setting(
        "The hold sound: a WAV file of 16 bits in the agents' directory, of at most 8 MiB, repeated. A soft tone of "
        "agentd's own by default.",
        default=None,
        pattern=r"\.wav$",
        examples=("hold.wav",),
        interpolate=False,
    )
    apology: str | None = setting(
        "Said when the time is over; a Jinja2 template over the variables. A sentence of agentd's own by default.",
        default=None,
    )


def queue_of(steps: Iterable[BusyStep]) -> tuple[float, CallQueue] | None:
    """From which load on new calls wait, and how; None: there is no queue."""
    return next(((step.load, step.queue) for step in steps if step.queue is not None), None)


def refuses_from(steps: Iterable[BusyStep]) -> float | None:
    return next((step.load for step in steps if step.refuse), None)
