"""`agentd schema`: JSON Schemas for editors, and the field reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from agentd.config.reference import reference
from agentd.config.schema import agent_schema, as_text, daemon_schema
from agentd.registry import Registry, installed

EXIT_STALE = 1


def generated(registry: Registry) -> Mapping[str, str]:
    """Path -> text of every generated file of the project."""
    return {
        "schemas/agent.schema.json": as_text(agent_schema(registry)),
        "schemas/daemon.schema.json": as_text(daemon_schema(registry)),
        "docs/agent-file.md": reference(registry),
    }


@click.command()
@click.argument("which", type=click.Choice(["agent", "daemon"]), default="agent")
@click.option("--docs", is_flag=True, help="Print the field reference instead.")
@click.option("--write", is_flag=True, help="Write schemas/ and docs/agent-file.md.")
@click.option("--check", is_flag=True, help="Exit with 1 when one of these is stale.")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where they are.")
@click.pass_context
def schema(ctx: click.Context, which: str, docs: bool, write: bool, check: bool, root: Path) -> None:
    """Print the JSON Schema (draft-07) of the agent file or of agentd.yaml, with the installed plugins' settings."""
    registry = installed()
    if write or check:
        stale = [path for path, text in generated(registry).items() if not _is_current(root / path, text)]
        if write:
            _write(root, stale, generated(registry))
        elif stale:
            click.echo(f"stale: {', '.join(stale)}; run: agentd schema --write", err=True)
            ctx.exit(EXIT_STALE)
        return
    if docs:
        click.echo(reference(registry), nl=False)
    else:
        click.echo(as_text(agent_schema(registry) if which == "agent" else daemon_schema(registry)), nl=False)


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _write(root: Path, stale: list[str], texts: Mapping[str, str]) -> None:
    for path in stale:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(texts[path], encoding="utf-8")
        click.echo(f"wrote {path}", err=True)
