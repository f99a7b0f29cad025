"""`agentd render NAME`: an agent as it is resolved, secrets masked."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from agentd.cli.files import agent_named, config_options
from agentd.config.render import rendered


@click.command()
@click.argument("name")
@config_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.pass_context
def render(
    ctx: click.Context, name: str, directory: Path | None, config: Path | None, env_file: Path | None, output: str
) -> None:
    """Show the agent NAME with its parts, defaults and variables resolved, and its secrets masked."""
    definition, _ = agent_named(ctx, name, directory, config, env_file)
    shown = rendered(definition)
    text = json.dumps(shown, indent=2, ensure_ascii=False) if output == "json" else _yaml(shown)
    click.echo(text.rstrip())


def _yaml(shown: object) -> str:
    text: str = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110)
    return text
