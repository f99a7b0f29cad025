"""`agentd test`: an agent's own tests, as text conversations in virtual time, with no LiveKit server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from xml.etree import ElementTree

import click

from agentd import logs
from agentd.cli.files import (
    DEFAULT_DIRECTORY,
    EXIT_INVALID,
    config_options,
    daemon_of,
    environment_with,
)
from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded, load
from agentd.errors import Problem
from agentd.registry import Registry

if TYPE_CHECKING:
    from agentd.runtime.rehearsal_results import ScenarioResult

EXIT_FAILED = 1


@click.command()
@click.argument("targets", nargs=-1, metavar="[AGENT|PATH]...")
@config_options
@click.option("-k", "pattern", default="", help="Only scenarios in whose names this is.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--junit", type=click.Path(path_type=Path), help="Write the results to this file as JUnit XML too.")
def test(
    targets: tuple[str, ...],
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    pattern: str,
    output: str,
    junit: Path | None,
) -> None:
    """Hold the conversations of agents' `tests` and tell what is not as expected.

    Of the agents named, of files, of directories, or of all in the agents' directory. Exit 0: all is as expected; 1:
    something is not; 78: a file cannot be used.
    """
    logs.configure("text", "CRITICAL")
    environment = environment_with(env_file)
    daemon, registry = daemon_of(config, environment)
    if not daemon.valid:
        _refuse(daemon.problems)
    chosen = [
        _Chosen.of(target, directory or DEFAULT_DIRECTORY, daemon.config, registry, environment)
        for target in targets or (str(directory or DEFAULT_DIRECTORY),)
    ]
    if errors := [problem for each in chosen for problem in each.errors]:
        _refuse(errors)
    results: list[ScenarioResult] = []
    for each in chosen:
        for result in each.run(daemon.config, registry, pattern):
            results.append(result)
            if output == "text":
                _tell(result)
    if junit is not None:
        junit.write_text(junit_xml(results), encoding="utf-8")
    failed = sum(bool(result.failures) for result in results)
    click.echo(document(results) if output == "json" else _summary(len(results), failed))
    sys.exit(EXIT_FAILED if failed else 0)


class _Chosen:
    """What one of the command's arguments names."""

    def __init__(self, loaded: Loaded, folder: Path, agents: Sequence[AgentDefinition], errors: Sequence[Problem]):
        self._loaded = loaded
        self._folder = folder
        self._agents = agents
        self.errors = errors

    @classmethod
    def of(
        cls, target: str, directory: Path, daemon: DaemonConfig, registry: Registry, environment: Mapping[str, str]
    ) -> _Chosen:
        path = Path(target)
        is_path = path.exists() or path.suffix in (".yaml", ".yml")
        folder = directory if not is_path else path if path.is_dir() else path.parent
        if is_path and not path.exists():
            raise click.UsageError(f"there is no file or directory {path}")
        loaded = load(folder, daemon, registry, environment)
        if is_path and path.is_dir():
            return cls(loaded, folder, list(loaded.agents.values()), loaded.errors)
        sources = {str(path)} if is_path else _sources_of(target, loaded)
        if not sources:
            raise click.UsageError(f'no agent "{target}" in {folder}: there are {", ".join(sorted(loaded.agents))}')
        agents = [each for each in loaded.agents.values() if _file(each.source) in sources]
        if not is_path:
            agents = [each for each in agents if each.name == target]
        errors = [problem for problem in loaded.errors if problem.file in sources and not agents]
        return cls(loaded, folder, agents, errors)

    def run(self, daemon: DaemonConfig, registry: Registry, pattern: str) -> Iterator[ScenarioResult]:
        from agentd.runtime.messages import WorkerSettings
        from agentd.runtime.rehearsing import Rehearse, rehearsed

        settings = WorkerSettings(
            worker="test",
            agents_dir=self._folder.absolute(),
            tools_allow=daemon.tools_allow,
            tool_process=daemon.tool_process,
            http_allow=daemon.http.allow,
        )
        for agent in self._agents:
            others = tuple(each for each in self._loaded.agents.values() if each.name != agent.name)
            places = self._loaded.places.get(agent.name, {})
            asked = Rehearse(settings=settings, definition=agent, others=others, places=places)
            yield from rehearsed(asked, registry, lambda name: pattern in name)


def _sources_of(name: str, loaded: Loaded) -> set[str]:
    if name in loaded.agents:
        return {_file(loaded.agents[name].source)}
    return {_file(source) for source, names in loaded.broken.items() if name in names}


def _file(source: str) -> str:
    return source.partition("#")[0]


def _refuse(problems: Sequence[Problem]) -> NoReturn:
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(EXIT_INVALID)


def _tell(result: ScenarioResult) -> None:
    what = f"{result.agent}: {result.scenario}"
    if not result.failures:
        click.echo(f"ok    {what} ({result.duration_s:.1f} s)")
        return
    click.echo(f"FAIL  {what}")
    for failure in result.failures:
        click.echo(f"  {failure}")
    for line in result.lines:
        click.echo(f"    {line}")


def _summary(number: int, failed: int) -> str:
    if not number:
        return "There are no tests."
    return f"{number - failed} of {number} scenarios are as expected."


def document(results: Sequence[ScenarioResult]) -> str:
    failed = sum(bool(result.failures) for result in results)
    told = [{**asdict(result), "passed": not result.failures} for result in results]
    return json.dumps(
        {"version": 1, "passed": len(results) - failed, "failed": failed, "scenarios": told},
        indent=2,
        ensure_ascii=False,
    )


def junit_xml(results: Sequence[ScenarioResult]) -> str:
    failed = sum(bool(result.failures) for result in results)
    suite = ElementTree.Element("testsuite", name="agentd", tests=str(len(results)), failures=str(failed))
    for result in results:
        file, _, line = result.place.rpartition(":")
        about = {"classname": result.agent, "name": result.scenario, "file": file, "line": line}
        case = ElementTree.SubElement(suite, "testcase", {**about, "time": f"{result.duration_s:.3f}"})
        if result.failures:
            failure = ElementTree.SubElement(case, "failure", message=result.failures[0].message)
            failure.text = "\n".join([*map(str, result.failures), *result.lines])
    return ElementTree.tostring(suite, encoding="unicode") + "\n"
