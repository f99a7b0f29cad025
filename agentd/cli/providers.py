"""`agentd providers`: what the installed plugins offer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from agentd.registry import Registry, installed

_COLUMNS = ("kind", "provider", "plugin", "default", "summary")


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def providers(output: str) -> None:
    """List the providers of the installed plugins, by kind."""
    registry = installed()
    rows = _rows(registry)
    if output == "json":
        named = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        click.echo(json.dumps({"providers": named, "broken": list(registry.broken)}, indent=2, ensure_ascii=False))
        return
    for line in _table([tuple(column.upper() for column in _COLUMNS), *rows]):
        click.echo(line)
    for problem in registry.broken:
        click.echo(f"Warning: {problem}", err=True)


def _rows(registry: Registry) -> list[tuple[str, ...]]:
    return sorted(
        (component.kind, component.provider, plugin.name, "yes" if component.default else "", component.summary)
        for plugin in registry.plugins
        for component in plugin.components
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
