"""How the conversations of an agent's tests went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`place`: file:line of what was expected."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """How one conversation went. `lines`: what was said and called, for whoever reads of a failure."""

    agent: str
    scenario: str
    place: str
    failures: tuple[Failure, ...] = ()
    lines: tuple[str, ...] = ()
    duration_s: float = 0.0  # of the conversation
