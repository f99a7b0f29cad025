"""`agentd validate`: every problem of agent files, as file:line:column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentd.cli.files import (
    DEFAULT_DIRECTORY,
    EXIT_INVALID,
    EXIT_WARNINGS,
    config_options,
    daemon_of,
    environment_with,
    show_problems,
)
from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.registry import Registry

if TYPE_CHECKING:
    from agentd.cli.probing import Placed


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@config_options
@click.option("--format", "style", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Exit with 3 when there are warnings.")
@click.option("--probe", is_flag=True, help="Then connect to each provider that a valid agent names.")
@click.pass_context
def validate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    style: str,
    strict: bool,
    probe: bool,
) -> None:
    """Report every problem in agent files, or in directories of them, and in agentd.yaml.

    With --probe each provider is also made and asked once, as a worker would do it: models are loaded, and a
    synthesiser may be asked for a word. One that does not serve is an error at the line that names it.

    Exits with 0 when all is well, 78 when there are errors, and 3 with --strict when there are warnings.
    """
    environment = environment_with(env_file)
    daemon, registry = daemon_of(config, environment)
    loaded = [_load(path, daemon.config, registry, environment) for path in paths or (directory or DEFAULT_DIRECTORY,)]
    problems = list(dict.fromkeys([*daemon.problems, *(problem for one in loaded for problem in one.problems)]))
    placed = _probed(registry, loaded, environment) if probe else []
    problems += dict.fromkeys(each.problem for each in placed if each.problem is not None)
    more = {"probes": [each.told() for each in placed]} if probe else {}
    show_problems(problems, style, [name for one in loaded for name in one.agents], more)
    if style == "text":
        for line in dict.fromkeys(each.line for each in placed if each.problem is None):
            click.echo(line)
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(EXIT_INVALID)
    if problems and strict:
        ctx.exit(EXIT_WARNINGS)


def _probed(registry: Registry, loaded: Sequence[Loaded], environment: Mapping[str, str]) -> list[Placed]:
    """Imported only where it is wanted: it takes what a worker does."""
    from agentd.cli.probing import probe_files

    return probe_files(registry, loaded, environment)


def _load(path: Path, daemon: DaemonConfig, registry: Registry, environment: Mapping[str, str]) -> Loaded:
    if path.is_dir():
        return load(path, daemon, registry, environment)
    if not path.exists():
        raise click.UsageError(f"there is no file or directory {path}")
    return load(path.parent, daemon, registry, environment, only=(path.name,))
