"""An agent that serves another revision than its file says: because that one failed, or somebody took it back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from agentd.config.definition import AgentDefinition
from agentd.config.generation import Generation
from agentd.config.load import Loaded
from agentd.errors import Problem

REVISIONS_AT_MOST = 3
"""Of one agent alive at once: the one that serves, and those that calls still run by. Each has its providers and its
tools' processes in every worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`refused` is what the file says, `serving` what serves instead, until the file says something else again."""

    agent: str
    refused: str
    serving: str
    reason: Literal["quarantined", "rolled_back"]
    at: float  # unix time
    why: str

    @property
    def problem_of(self) -> Literal["error", "warning"]:
        """What an operator wanted so is no error."""
        return "error" if self.reason == "quarantined" else "warning"


def is_lifted(hold: Hold, loaded: Loaded) -> bool:
    """An edit lifts it. A file that is broken or away for a moment says nothing."""
    found = loaded.agents.get(hold.agent)
    return found is not None and found.digest != hold.refused


def must_wait(revision: str, in_use: Collection[str]) -> bool:
    """Whether an agent's new revision has to wait until the calls of an older one have ended. One that calls run by
    already adds none."""
    return len({*in_use, revision}) > REVISIONS_AT_MOST


def replaced(loaded: Loaded, others: Mapping[str, AgentDefinition], problems: Mapping[str, Problem]) -> Loaded:
    """What the files say, but with `others` in the place of the agents of their names, and these problems besides."""
    by_source = dict(loaded.problems_by_source)
    for name, problem in problems.items():
        source = loaded.agents[name].source
        by_source[source] = (*by_source.get(source, ()), problem)
    return replace(
        loaded,
        agents={**loaded.agents, **others},
        problems=(*loaded.problems, *problems.values()),
        problems_by_source=by_source,
    )


def put_in_place(current: Generation, definition: AgentDefinition, hold: Hold | None) -> Generation:
    """What serves, but with this revision of one of its agents, and with what is then to be said of its file. `hold`:
    why it is not the file's; None: it is."""
    name, source = definition.name, definition.source
    found = tuple(each for each in current.problems_by_source.get(source, ()) if each.code not in _HOLD_CODES)
    found = (*found, hold_problem(hold, source)) if hold is not None else found
    others = tuple(each for each in current.problems if not (each.file == source and each.code in _HOLD_CODES))
    return replace(
        current,
        number=current.number + (definition.digest != current.agents[name].digest),
        agents={**current.agents, name: definition},
        problems=(*others, hold_problem(hold, source)) if hold is not None else others,
        stale={stale: why for stale, why in current.stale.items() if stale != name},
        problems_by_source={**current.problems_by_source, source: found},
    )


_HOLD_CODES = ("quarantined", "rolled-back")


def hold_problem(hold: Hold, source: str) -> Problem:
    word = "is in quarantine" if hold.reason == "quarantined" else "was rolled back"
    return Problem(
        file=source,
        line=1,
        column=1,
        pointer="",
        code=hold.reason.replace("_", "-"),
        message=f'revision {hold.refused[:8]} of "{hold.agent}" {word}: {hold.why}',
        hint=f"revision {hold.serving[:8]} serves until the file is edited",
        severity=hold.problem_of,
    )


def wait_problem(name: str, source: str) -> Problem:
    return Problem(
        file=source,
        line=1,
        column=1,
        pointer="",
        code="revisions-in-use",
        message=f'the edit of "{name}" waits: calls still run by {REVISIONS_AT_MOST} revisions of it',
        hint="it applies by itself when the last call of one of them has ended; agentd get sessions lists them",
        severity="warning",
    )
