"""What is given up when calls are many, and how callers wait for a place, as an agent's file says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentd.config.provider_choice import ProviderChoice
from agentd.providers.fields import Duration, setting

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyStep:
    """What is given up from some load on. The steps below it hold too."""

    load: float = setting(
        "From which share of the capacity on: of the agent's `limits.concurrency`, or of the daemon's places or "
        "processors, whichever is fuller. 1 is full.",
        default=1.0,
        minimum=0.05,
        maximum=1.0,
    )
    preemptive: Literal["off"] | None = setting(
        "No answers are begun early (`turn.preemptive`), from the next turn on of calls under way too.", default=None
    )
    llm: ProviderChoice | None = setting(
        "The language model of new calls, to their end: another provider, or only the settings that differ.",
        default=None,
    )
    queue: CallQueue | None = setting("New calls wait for a place instead of being refused.", default=None)
    refuse: bool = setting("New calls are refused, though there may be places.", default=False)


def queue_of(steps: Iterable[BusyStep]) -> tuple[float, CallQueue] | None:
    """From which load on new calls wait, and how; None: there is no queue."""
    return next(((step.load, step.queue) for step in steps if step.queue is not None), None)


def refuses_from(steps: Iterable[BusyStep]) -> float | None:
    return next((step.load for step in steps if step.refuse), None)
