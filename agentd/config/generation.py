"""Generations: numbered snapshots of all agents, and what changes from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded
from agentd.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What serves. `agents` holds, for a file that is broken now, its last good version.

    `stale`: those agents, with what is wrong with their file. `rejected`: sources or names with which nothing
    serves, and why. `problems`: everything found in the files, warnings too.
    """

    number: int
    agents: Mapping[str, AgentDefinition]
    problems: tuple[Problem, ...] = ()
    stale: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    rejected: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    problems_by_source: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Names of agents, by what their resolved definitions say."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)


def next_generation(previous: Generation | None, loaded: Loaded) -> tuple[Generation, Diff]:
    """The generation that follows `previous`. The number stays when nothing changed: a comment is no reload."""
    before = previous.agents if previous else {}
    kept = {name: agent for name, agent in before.items() if name not in loaded.agents and _is_broken(agent, loaded)}
    agents = dict(sorted({**kept, **loaded.agents}.items()))
    diff = difference(before, agents)
    serving = {agent.source for agent in agents.values()}
    stale = {name: _problems(agent.source, loaded) for name, agent in kept.items()}
    rejected = {
        (names[0] if names else source): _problems(source, loaded)
        for source, names in loaded.broken.items()
        if not any(_within(served, source) for served in serving)
    }
    number = (previous.number if previous else 0) + (1 if diff or previous is None else 0)
    generation = Generation(
        number=number,
        agents=agents,
        problems=loaded.problems,
        stale=stale,
        rejected=rejected,
        problems_by_source=loaded.problems_by_source,
    )
    return generation, diff


def difference(before: Mapping[str, AgentDefinition], after: Mapping[str, AgentDefinition]) -> Diff:
    return Diff(
        added=tuple(sorted(after.keys() - before.keys())),
        updated=tuple(
            sorted(name for name in after.keys() & before.keys() if after[name].digest != before[name].digest)
        ),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


def with_rejected(
    candidate: Generation, previous: Generation | None, refused: Mapping[str, tuple[Problem, ...]]
) -> tuple[Generation, Diff]:
    """`candidate` without the agents that a worker could not prepare: they keep what `previous` served, if anything."""
    before = previous.agents if previous else {}
    kept = {name: before[name] for name in refused if name in before}
    agents = {name: agent for name, agent in candidate.agents.items() if name not in refused} | kept
    generation = Generation(
        number=candidate.number,
        agents=dict(sorted(agents.items())),
        problems=candidate.problems,
        stale={**candidate.stale, **{name: refused[name] for name in kept}},
        rejected={**candidate.rejected, **{name: why for name, why in refused.items() if name not in kept}},
        problems_by_source=candidate.problems_by_source,
    )
    return generation, difference(before, generation.agents)


def _is_broken(agent: AgentDefinition, loaded: Loaded) -> bool:
    """Whether the agent is missing because its file is broken, rather than gone."""
    if not loaded.complete:
        return True
    return any(_within(agent.source, source) or agent.name in names for source, names in loaded.broken.items())


def _within(source: str, broken: str) -> bool:
    """Whether a document belongs to what is broken: a file that breaks off takes all its documents along."""
    return source == broken or source.startswith(f"{broken}#")


def _problems(source: str, loaded: Loaded) -> tuple[Problem, ...]:
    """A document's problems, and those of its file when it broke off."""
    file = source.partition("#")[0]
    sources = dict.fromkeys((source, file))
    found = [problem for one in sources if one in loaded.broken for problem in loaded.problems_by_source.get(one, ())]
    return tuple(found) or (loaded.problems if not loaded.complete else ())
