"""What the verbs that read configuration share: options, the environment, and how problems are shown."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from agentd.config.daemon import DaemonConfig, LoadedDaemon, find_daemon_file, load_daemon, select_plugins
from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded, load
from agentd.errors import Problem
from agentd.registry import Registry, installed

EXIT_INVALID = 78
EXIT_WARNINGS = 3
DEFAULT_DIRECTORY = Path("agents.d")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_options(command: _Command) -> _Command:
    """-d, -c and --env-file."""
    path = click.Path(path_type=Path)
    for decorate in (
        click.option("-d", "--directory", type=path, help="The agents' directory.  [default: agents.d]"),
        click.option("-c", "--config", type=path, help="The daemon's file.  [default: agentd.yaml, if there]"),
        click.option("--env-file", type=path, help="Variables, KEY=VALUE a line; the environment goes before it."),
    ):
        command = decorate(command)
    return command


def environment_with(env_file: Path | None) -> dict[str, str]:
    """The process's environment over the file's variables. Raises click.UsageError."""
    return {**(_read_env_file(env_file) if env_file else {}), **os.environ}


def daemon_of(config: Path | None, environment: Mapping[str, str]) -> tuple[LoadedDaemon, Registry]:
    """agentd.yaml and the plugins that it leaves; what is wrong with it is in `problems`."""
    loaded = load_daemon(config or find_daemon_file(), environment)
    registry, problems = select_plugins(installed(), loaded.config)
    return LoadedDaemon(config=loaded.config, problems=(*loaded.problems, *problems)), registry


def agent_named(
    ctx: click.Context, name: str, directory: Path | None, config: Path | None, env_file: Path | None
) -> tuple[AgentDefinition, DaemonConfig]:
    """The valid agent of this name, and the daemon's settings; without it the verb ends, with the reason told."""
    environment = environment_with(env_file)
    daemon, registry = daemon_of(config, environment)
    loaded = load(directory or DEFAULT_DIRECTORY, daemon.config, registry, environment)
    definition = loaded.agents.get(name)
    if definition is None:
        _tell_missing(name, loaded)
        ctx.exit(EXIT_INVALID)
    return definition, daemon.config


def this_program() -> str:
    """How agentd is called from here, for advice: its name where PATH has it, else where it is."""
    called = Path(sys.argv[0])
    if called.name != "agentd":
        return "python -m agentd"
    on_path = shutil.which("agentd")
    return "agentd" if on_path and called.samefile(on_path) else os.path.relpath(called)


def show_problems(
    problems: Sequence[Problem], style: str, agents: Iterable[str], more: Mapping[str, Any] | None = None
) -> None:
    """Problems on standard output, one a line; the count on standard error. `more`: what else JSON tells."""
    if style == "json":
        valid = not any(problem.severity == "error" for problem in problems)
        answer = {"valid": valid, "agents": sorted(agents), "problems": [asdict(problem) for problem in problems]}
        answer |= more or {}
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for problem in problems:
        click.echo(github_line(problem) if style == "github" else str(problem))
    click.echo(_summary(problems, list(agents)), err=True)


def _tell_missing(name: str, loaded: Loaded) -> None:
    """Why there is no valid agent of this name, on standard error."""
    for source, names in loaded.broken.items():
        if name in names:
            for problem in loaded.problems_by_source.get(source, ()):
                click.echo(str(problem), err=True)
            return
    near = get_close_matches(name, sorted(loaded.agents), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(sorted(loaded.agents)) or 'none'}"
    click.echo(f'Error: no agent "{name}" ({hint})', err=True)


def github_line(problem: Problem) -> str:
    """A workflow command that GitHub shows at the line."""
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column},title={_property(problem.code)}"
    return f"::{problem.severity} {place}::{_escaped(message)}"


def _summary(problems: Sequence[Problem], agents: list[str]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    counts = [_count(len(agents), "valid agent"), _count(errors, "error"), _count(warnings, "warning")]
    return ", ".join(counts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {path}: {error}") from error
    variables = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise click.UsageError(f"{path}:{number}: expected KEY=VALUE")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value
