"""How many session workers a daemon keeps, and when they are replaced, as agentd.yaml says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentd.config.finding import Finding
from agentd.providers.fields import Duration, setting

MOST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSection:
    """How many session workers there are. With `min` below `max`, as many as the calls need."""

    max: int | None = setting(
        "The most; one a core by default (and no fewer than `min`). 0 runs the sessions in the daemon's own process.",
        default=None,
        minimum=0,
        maximum=MOST,
    )
    min: int | None = setting(
        "The fewest, kept ready when there is no call; as many as `max` by default.",
        default=None,
        minimum=1,
        maximum=MOST,
    )
    quiet: Duration = setting(
        "How long fewer workers must have sufficed before one is let go: it takes no more calls, and ends after its "
        "last.",
        default=Duration(300.0),
        minimum=1,
        maximum=86400,
    )

    def bounds(self, cores: int) -> tuple[int, int]:
        """The fewest and the most on a machine of so many cores; (0, 0): in the daemon's own process."""
        most = max(cores, self.min or 0) if self.max is None else self.max
        return (most if self.min is None else self.min), most


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleSection:
    """When workers are replaced."""

    after: Duration = setting(
        "Age of a worker; 0: never.", default=Duration(86400.0), minimum=0, maximum=30 * 86400, reload="restart"
    )
    memory_mib: int = setting(
        "Resident memory of a worker that is ten minutes old or more; 0: never.",
        default=0,
        minimum=0,
        maximum=1048576,
        reload="restart",
    )
    growth_mib: int = setting(
        "How much its resident memory may grow after its first ten minutes; 0: without a limit.",
        default=512,
        minimum=0,
        maximum=1048576,
        reload="restart",
    )


def findings(section: WorkersSection) -> Iterable[Finding]:
    if section.min is not None and section.max is not None and section.min > section.max:
        message = f'"min" ({section.min}) is more than "max" ({section.max})'
        hint = "leave min out with max: 0, which has no workers" if section.max == 0 else ""
        yield Finding("min", "conflict", message, hint)
