"""`agentd validate`: every problem of agent files, as file:line:column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@config_options
@click.option("--format", "style", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Exit with 3 when there are warnings.")
@click.pass_context
def validate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    style: str,
    strict: bool,
) -> None:
    """Report every problem in agent files, or in directories of them, and in agentd.yaml.

    Exits with 0 when all is well, 78 when there are errors, and 3 with --strict when there are warnings.
    """
    environment = environment_with(env_file)
    daemon, registry = daemon_of(config, environment)
    loaded = [_load(path, daemon.config, registry, environment) for path in paths or (directory or DEFAULT_DIRECTORY,)]
    problems = list(dict.fromkeys([*daemon.problems, *(problem for one in loaded for problem in one.problems)]))
    show_problems(problems, style, [name for one in loaded for name in one.agents])
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(EXIT_INVALID)
    if problems and strict:
        ctx.exit(EXIT_WARNINGS)


def _load(path: Path, daemon: DaemonConfig, registry: Registry, environment: Mapping[str, str]) -> Loaded:
    if path.is_dir():
        return load(path, daemon, registry, environment)
    if not path.exists():
        raise click.UsageError(f"there is no file or directory {path}")
    return load(path.parent, daemon, registry, environment, only=(path.name,))
