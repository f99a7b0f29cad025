"""What a reload would do now: the files on disk against what serves, and which calls it touches. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.config.definition import AgentDefinition
from agentd.config.diff import Applied, Change, definition_changes
from agentd.config.generation import Generation, next_generation
from agentd.config.live_edit import edit_of
from agentd.config.load import Loaded
from agentd.errors import Problem
from agentd.runtime.holds import Hold, must_wait

Action = Literal["added", "updated", "removed", "broken", "held", "waits"]
"""broken: the file cannot be used, and the last good version serves if there is one; held: the file says what failed
or was taken back, and something else serves; waits: calls run by too many revisions of it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChange:
    """`effect`: when it applies, and to what, in words."""

    change: Change
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """`calls`: under way, by this agent; `touched`: those that would notice; `revisions`: how many run by which."""

    agent: str
    action: Action
    source: str
    calls: int
    touched: int
    revisions: Mapping[str, int]
    effect: str = ""
    changes: tuple[PlannedChange, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`daemon`: of agentd.yaml and of the code that runs; what of it is of class "next_session", a reload gives new
    workers."""

    generation: int
    same: bool
    valid: bool
    agents: tuple[AgentPlan, ...]
    daemon: tuple[Change, ...]


def plan(
    current: Generation | None,
    loaded: Loaded,
    *,
    holds: Mapping[str, Hold],
    calls: Callable[[str], Mapping[str, int]],
    reached: Callable[[str], int],
    daemon: tuple[Change, ...] = (),
    folder: str = "",
    tested: Callable[[AgentDefinition], str] = lambda definition: "",
) -> Plan:
    """`calls`: of an agent, how many run by which revision; `reached`: how many of these an edit reaches. `folder`: the
    agents' directory, as it is shown. `tested`: what the tests of a new revision mean for a reload, in words."""
    serving = current.agents if current else {}
    candidate, _ = next_generation(current, loaded)
    names = sorted({*serving, *candidate.agents, *candidate.rejected})
    found = [
        _agent(name, serving, candidate, loaded, holds.get(name), calls(name), reached(name), folder, tested)
        for name in names
    ]
    agents = tuple(one for one in found if one is not None)
    return Plan(
        generation=current.number if current else 0,
        same=not agents and not daemon,
        valid=not loaded.errors,
        agents=agents,
        daemon=daemon,
    )


def _agent(
    name: str,
    serving: Mapping[str, AgentDefinition],
    candidate: Generation,
    loaded: Loaded,
    hold: Hold | None,
    revisions: Mapping[str, int],
    reached: int,
    folder: str,
    tested: Callable[[AgentDefinition], str],
) -> AgentPlan | None:
    """None: nothing of it differs."""
    old, new = serving.get(name), loaded.agents.get(name)
    action = _action(name, old, new, candidate, hold, revisions)
    if action is None:
        return None
    changes: tuple[Change, ...] = ()
    what = Applied()
    if old is not None and new is not None:
        places = loaded.places.get(name, {})
        changes = definition_changes(old, new, places, folder=folder)
        what = edit_of(old, new, places, folder).what
    count = sum(revisions.values())
    problems = {**candidate.stale, **candidate.rejected}.get(name, ()) if action == "broken" else ()
    source = (new or old).source if new or old else problems[0].file if problems else name  # type: ignore[union-attr]
    tests = tested(new) if new is not None and action in ("added", "updated") else ""
    touched = reached if what.now and action == "updated" else 0
    return AgentPlan(
        agent=name,
        action=action,
        source=source,
        calls=count,
        touched=touched,
        revisions=revisions,
        effect="; ".join(filter(None, (tests, _effect(action, count, touched, hold)))),
        changes=tuple(
            PlannedChange(change=change, effect=_NOT_NOW.get(action) or _of_change(change, what, touched))
            for change in changes
        ),
        problems=tuple(problems),
    )


def _action(
    name: str,
    old: AgentDefinition | None,
    new: AgentDefinition | None,
    candidate: Generation,
    hold: Hold | None,
    revisions: Collection[str],
) -> Action | None:
    if new is None:
        return "broken" if name in candidate.stale or name in candidate.rejected else "removed"
    if old is None:
        return "added"
    if old.digest == new.digest:
        return None
    if hold is not None and hold.refused == new.digest:
        return "held"
    return "waits" if must_wait(new.digest, revisions) else "updated"


_LEFT_OVER = "what holds them takes no more calls and runs other code"

_NOT_NOW: Mapping[Action, str] = {"held": "not while it is held", "waits": "not while it waits"}


def _effect(action: Action, calls: int, touched: int, hold: Hold | None) -> str:
    under_way = f"{calls} call{'' if calls == 1 else 's'} under way"
    match action:
        case "added":
            return "registers with LiveKit"
        case "removed":
            return f"takes no more calls; {under_way} may go on to the end" if calls else "unregisters"
        case "broken":
            return f"the last good version serves on; {under_way}" if calls else "the last good version serves, if any"
        case "held":
            return f"{hold.reason.replace('_', ' ')}: {hold.why}" if hold else ""
        case "waits":
            return "until the calls of an older revision have ended"
        case "updated" if 0 < touched < calls:
            takes, left = "takes" if touched == 1 else "take", calls - touched
            keep = "keeps what it has" if left == 1 else "keep what they have"
            return f"{touched} of {under_way} {takes} it at the next turn's boundary; {left} {keep}: {_LEFT_OVER}"
        case "updated" if touched:
            return f"{under_way} {'takes' if calls == 1 else 'take'} it at the next turn's boundary"
        case "updated":
            return f"{under_way} {'keeps what it has' if calls == 1 else 'keep what they have'}" if calls else ""


def _of_change(change: Change, what: Applied, touched: int) -> str:
    if change in what.daemon:
        return "at once"
    if change in what.now:
        return f"next turn of {touched} call{'' if touched == 1 else 's'}" if touched else "next turn"
    if change in what.restart:
        return "restart"
    return next((f"next call: {why}" for waits, why in what.later if waits == change), "next call")
