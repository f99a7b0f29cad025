"""A canary: an agent that takes a share of another's calls until it is promoted or taken back. Pure.

running      takes its share of the calls
promoted     met its objectives: takes all calls of the other, until the other's file is edited
rolled_back  missed them, failed in its first calls, or somebody took it back: takes none until its file is edited
superseded   was promoted, and the other's file has been edited since: takes none until its own is
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from agentd.config.definition import AgentDefinition
from agentd.config.rollout import Objectives, Rollout
from agentd.config.values import digest
from agentd.runtime.objectives import NO_FIGURES, Figures, assess
from agentd.transport.protocol import Job

State = Literal["running", "promoted", "rolled_back", "superseded"]
FIRST_CREDIT = 0.5
"""So that a canary of one tenth has the fifth call, and not the first or the tenth."""

MOST_BEHIND = 10.0
"""Calls that a canary makes up for after it had no room for them. One that was full for a day is not to have every
call of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout has come. `written`: what the canary's file says; `subject`: the same without what is said of
    the rollout itself; `base`: what the other's file says. `baseline`: of the calls that the other kept. `credit`: by
    how much of a call the canary is behind its share."""

    agent: str
    of: str
    written: str
    subject: str
    base: str
    since: float  # unix time of the state
    began: float  # unix time
    state: State = "running"
    why: str = ""
    figures: Figures = NO_FIGURES
    baseline: Figures = NO_FIGURES
    credit: float = FIRST_CREDIT


def subject_of(definition: AgentDefinition) -> str:
    """Equal for versions that behave the same, whatever their share."""
    return digest([replace(definition, rollout=None, description="", metadata={}), definition.code])


def seen(
    before: Progress | None, definition: AgentDefinition, rollout: Rollout, written: str, base: str, now: float
) -> Progress:
    """The rollout after the files were read: begun, gone on with, or ended by an edit. `written`, `base`: what the two
    files say."""
    subject = subject_of(definition)
    fresh = Progress(
        agent=definition.name, of=rollout.of, written=written, subject=subject, base=base, since=now, began=now
    )
    if before is None or before.of != rollout.of:
        return fresh
    if before.written != written:
        goes_on = before.state == "running" and before.subject == subject
        return replace(before, written=written, base=base) if goes_on else fresh
    if before.state == "promoted" and before.base != base:
        return replace(before, state="superseded", since=now, base=base, why=f"the file of {rollout.of} was edited")
    return before if before.state == "promoted" else replace(before, base=base)


def judged(progress: Progress, objectives: Objectives | None, now: float) -> Progress:
    """The rollout after a look at its figures."""
    if progress.state != "running" or objectives is None:
        return progress
    found = assess(progress.figures, objectives)
    if found.decision == "roll_back":
        return replace(progress, state="rolled_back", since=now, why=found.why)
    if found.decision == "promote" and now - progress.began >= (objectives.min_time or 0.0):
        return replace(progress, state="promoted", since=now, why=found.why)
    return progress


def decided(progress: Progress, state: Literal["promoted", "rolled_back"], why: str, now: float) -> Progress:
    """Somebody decided, or it failed outright."""
    return replace(progress, state=state, since=now, why=why)


def is_due(progress: Progress, rollout: Rollout, job: Job) -> bool:
    """Whether the canary is to take this call, if it has room."""
    if progress.state != "running":
        return progress.state == "promoted"
    return matches(rollout, job) and progress.credit + share_of(rollout) >= 1 - 1e-9


def counted(progress: Progress, rollout: Rollout, job: Job, *, taken: bool) -> Progress:
    """The rollout after this call, which the canary has taken or not: its share is exact to one call."""
    if progress.state != "running" or not matches(rollout, job):
        return progress
    return replace(progress, credit=min(MOST_BEHIND, progress.credit + share_of(rollout) - taken))


def share_of(rollout: Rollout) -> float:
    """Of the calls that match."""
    return (100.0 if rollout.percent is None else rollout.percent) / 100


def matches(rollout: Rollout, job: Job) -> bool:
    if not rollout.match:
        return True
    told = attributes_of(job)
    return all(told.get(name) == value for name, value in rollout.match.items())


def attributes_of(job: Job) -> Mapping[str, str]:
    """What a dispatch says of a call: its metadata where that is a JSON object, its attributes, those of the
    participant that it is about; the later goes before the earlier."""
    return {**_metadata(job.metadata), **job.attributes, **job.participant_attributes}


def _metadata(text: str) -> Mapping[str, str]:
    try:
        said = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    inner = said.get("attributes")
    return {**_scalars(said), **(_scalars(inner) if isinstance(inner, dict) else {})}


def _scalars(said: Mapping[str, Any]) -> Mapping[str, str]:
    return {
        name: json.dumps(value) if isinstance(value, bool) else str(value)
        for name, value in said.items()
        if isinstance(value, str | int | float)
    }
