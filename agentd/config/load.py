"""A directory of agent files -> the agents that may run, and every problem of those that may not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path, PurePath

from agentd.config.budget import Price, unpriced
from agentd.config.build import Built, Surroundings, build
from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.folder import FileRefused, Folder
from agentd.config.handoff_lint import doubtful_between, refused_between
from agentd.config.named_agents import NamedAgent, named_agents
from agentd.config.places import mark_at
from agentd.config.rollout_lint import rollout_findings
from agentd.config.source import Mark, parse
from agentd.errors import Problem
from agentd.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the files say now.

    `agents`: the valid ones, by name. `broken`: the sources that cannot run, with the names that they would hold
    as far as those are known (none for a file that cannot be parsed). `complete` False: the directory itself could
    not be read, so that an agent's absence means nothing. `places`: by agent and setting, the file:line of all that is
    written. `texts`: of the files that were read, by their paths in the directory.
    """

    agents: Mapping[str, AgentDefinition]
    problems: tuple[Problem, ...]
    broken: Mapping[str, tuple[str, ...]]
    problems_by_source: Mapping[str, tuple[Problem, ...]]
    complete: bool = True
    places: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def load(
    directory: Path,
    daemon: DaemonConfig,
    registry: Registry,
    environment: Mapping[str, str],
    *,
    only: Collection[str] | None = None,
    home: Path | None = None,
    drafts: Mapping[str, str] | None = None,
    serving: Mapping[str, str] | None = None,
) -> Loaded:
    """Reads every agent file of `directory`, or those in `only`. Runs no user code. Blocks: call it in a thread.

    `home`: the agents' directory, where `directory` is a copy of what was in it; `drafts`: texts that stand for the
    files of their names. `serving`: the source of each agent that serves, by name; it keeps its name.
    """
    folder = Folder(directory, home, drafts)
    try:
        names = folder.agent_files() if only is None else sorted(only)
    except OSError as error:
        problem = Mark(str(directory), 1, 1).problem("", "directory", f"cannot be read: {error.strerror}")
        return Loaded(agents={}, problems=(problem,), broken={}, problems_by_source={}, complete=False)
    around = Surroundings(
        folder=folder, registry=registry, environment=environment, tools_allow=daemon.tools_allow,
        defaults=daemon.defaults_node,
    )  # fmt: skip
    built = [one for name in names for one in _file(name, around)]
    return replace(_collect(_unique(built, serving or {}), daemon.prices), texts=folder.texts)


def _file(name: str, around: Surroundings) -> list[Built]:
    """Every document of one file; a file that went away while it was looked for holds none."""
    shown = around.folder.shown(name)
    start = Mark(shown, 1, 1)
    try:
        text = around.folder.read(name)
    except FileRefused as refused:
        if refused.code == "file-not-found":
            return []
        problem = start.problem("", refused.code, refused.message, refused.hint)
        return [Built(source=shown, name="", mark=start, definition=None, problems=(problem,))]
    parsed = parse(text, shown)
    built = [build(document, around) for document in parsed.documents]
    if parsed.problem:
        built = [_spoilt(one) for one in built]
        built.append(Built(source=shown, name="", mark=start, definition=None, problems=(parsed.problem,)))
    elif not parsed.documents:
        problem = start.problem("", "empty-file", "the file holds no agent", "a part's name begins with _")
        built.append(Built(source=shown, name="", mark=start, definition=None, problems=(problem,)))
    return built


def _spoilt(built: Built) -> Built:
    """A document before the place where its file breaks off: it may be cut short, so it does not count."""
    return Built(source=built.source, name=built.name, mark=built.mark, definition=None, problems=built.problems)


def _unique(built: list[Built], serving: Mapping[str, str]) -> list[Built]:
    """Of several agents of one name one stays, whether it is valid or not; the others are refused."""
    holders = _holders(built, serving)
    kept = []
    for one in built:
        holder = holders.get(one.name, one)
        if holder is one:
            kept.append(one)
            continue
        message = f'a second agent is named "{one.name}"'
        hint = f"the name belongs to the one at {holder.mark.file}:{holder.mark.line}:{holder.mark.column}"
        problem = one.mark.problem("/name", "duplicate-name", message, hint)
        kept.append(
            Built(source=one.source, name="", mark=one.mark, definition=None, problems=(*one.problems, problem))
        )
    return kept


def _holders(built: list[Built], serving: Mapping[str, str]) -> dict[str, Built]:
    """Whose each name is: whoever serves under it, even if the file cannot be parsed now; else the file that is named
    after it, so that a copy of a file takes nothing from it; else whoever comes first."""
    by_source: dict[str, list[Built]] = {}
    for one in built:
        by_source.setdefault(one.source, []).append(one)
    holders = {}
    for name, source in serving.items():
        there = (*by_source.get(source, ()), *by_source.get(source.partition("#")[0], ()))
        if holder := next((one for one in there if one.name in ("", name)), None):
            holders[name] = holder
    settled = set(holders)
    for one in built:
        if one.name and one.name not in settled:
            first = holders.setdefault(one.name, one)
            if _is_named_after(one) and not _is_named_after(first):
                holders[one.name] = one
    return holders


def _is_named_after(one: Built) -> bool:
    return PurePath(one.mark.file).stem == one.name


def _collect(built: list[Built], prices: Mapping[str, Price]) -> Loaded:
    by_source: dict[str, list[Problem]] = {}
    broken: dict[str, tuple[str, ...]] = {}
    for one in built:
        by_source.setdefault(one.source, []).extend(one.problems)
        if one.definition is None:
            broken[one.source] = (*broken.get(one.source, ()), *([one.name] if one.name else []))
    agents = {one.definition.name: one.definition for one in built if one.definition is not None}
    places = {one.definition.name: one.places for one in built if one.definition is not None}
    for agent, problem in list(refused_between(agents, places)):
        by_source[agent.source].append(problem)
        broken[agent.source] = tuple(dict.fromkeys((*broken.get(agent.source, ()), agent.name)))
        agents.pop(agent.name, None)
    for agent, problem in doubtful_between(agents, places):
        by_source[agent.source].append(problem)
    for source, problem in _without_prices(built, prices):
        by_source[source].append(problem)
    unknown = _unknown_agents(built, set(agents) | {name for names in broken.values() for name in names})
    for source, problem in (*unknown, *_rollouts(built)):
        by_source[source].append(problem)
    problems = {problem for found in by_source.values() for problem in found}
    return Loaded(
        agents=agents,
        problems=tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column, p.code, p.message))),
        broken=broken,
        problems_by_source={source: tuple(dict.fromkeys(found)) for source, found in by_source.items() if found},
        places=places,
    )


def _rollouts(built: list[Built]) -> Iterator[tuple[str, Problem]]:
    """What is wrong between canaries and the agents whose calls they share."""
    marks = {one.source: one.mark for one in built}
    for source, found in rollout_findings(one.definition for one in built if one.definition is not None):
        yield source, marks[source].problem("", found.code, found.message, found.hint, warning=found.warning)


def _unknown_agents(built: list[Built], known: set[str]) -> list[tuple[str, Problem]]:
    """Agents that others name, but that are nowhere: a warning, as the file may be still to come."""
    found = []
    for one in built:
        definition = one.definition
        if definition is None:
            continue
        named = {each.agent: each for each in reversed([*named_agents(definition)])}  # each once, where it comes first
        if definition.rollout:
            named.setdefault(definition.rollout.of, NamedAgent(definition.rollout.of, "rollout"))
        for name, each in named.items():
            if name not in known or name == definition.name:
                message = f'"{name}" is this agent itself' if name in known else f'there is no agent "{name}"'
                near = "" if name in known else _near(name, known)
                mark = mark_at(one.places.get(f"{each.setting}.agent", "")) or one.mark
                found.append((one.source, mark.problem(each.pointer, "unknown-agent", message, near, warning=True)))
    return found


def _without_prices(built: list[Built], prices: Mapping[str, Price]) -> list[tuple[str, Problem]]:
    """Agents with a budget of money that nothing is counted against."""
    found = []
    for one in built:
        if one.definition is not None and (names := unpriced(one.definition, prices)):
            message = f'"limits.budget.cost_per_day" is never used up: no price is known of {", ".join(names)}'
            hint = "`prices` of agentd.yaml has them, by PROVIDER or PROVIDER/MODEL"
            mark = mark_at(one.definition.places.get("limits.budget", "")) or one.mark
            found.append((one.source, mark.problem("/limits/budget", "no-price", message, hint, warning=True)))
    return found


def _near(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, sorted(known), 1)
    return f'did you mean "{close[0]}"?' if close else ""
