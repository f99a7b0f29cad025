"""`agentd describe`: all that a running daemon says of one agent, rollout, call or worker, for people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

from agentd.cli.remote import NAMED_BY, AdminClient, Missing, admin_options, complete_name, serialised
from agentd.cli.revisions import rollout_lines
from agentd.errors import Problem

WIDTH = 14
BETWEEN: Mapping[str, str] = {"text": "\n", "yaml": "---\n"}
"""What stands between two states of a thing that is watched."""

SINGULAR: Mapping[str, str] = {
    "agent": "agents",
    "rollout": "rollouts",
    "session": "sessions",
    "worker": "workers",
}


@click.command()
@click.argument("kind", type=click.Choice([*SINGULAR, *SINGULAR.values()]))
@click.argument("name", shell_complete=complete_name)
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml", "name"]), default="text")
@click.option("-w", "--watch", is_flag=True, help="Go on with what changes; of json an object a line.")
@admin_options
def describe(client: AdminClient, kind: str, name: str, output: str, watch: bool) -> None:
    """Tell all of one agent, rollout, session or worker of a running daemon."""
    kind = SINGULAR.get(kind, kind)
    if not watch:
        click.echo(_shown_as(output, kind, _told(client, kind, name)), nl=False)
        return
    from agentd.cli.watching import watch_one

    before = iter([""])  # nothing stands before the first

    def show(told: Mapping[str, Any]) -> None:
        text = json.dumps(told, ensure_ascii=False) + "\n" if output == "json" else _shown_as(output, kind, told)
        click.echo(next(before, BETWEEN.get(output, "")) + text, nl=False)

    watch_one(lambda: _told(client, kind, name), show)


def _shown_as(output: str, kind: str, told: Mapping[str, Any]) -> str:
    if output in ("json", "yaml"):
        return serialised(told, output)
    if output == "name":
        return f"{told[NAMED_BY[kind]]}\n"
    shown = rollout_lines(told) if kind == "rollouts" else lines(told)
    return "".join(f"{line}\n" for line in shown)


def _told(client: AdminClient, kind: str, name: str) -> dict[str, Any]:
    """Raises click.ClickException."""
    if kind == "workers":
        workers = client.expect("GET", "/v1/workers")["workers"]
        found = next((each for each in workers if each["id"] == name), None)
        if found is None:
            raise Missing(f"there is no worker {name}")
        return dict(found)
    told = client.expect("GET", f"/v1/{kind}/{quote(name, safe='')}")
    if kind == "agents":
        calls = client.expect("GET", "/v1/sessions")["sessions"]
        return {**told, "calls": [each[NAMED_BY["sessions"]] for each in calls if each["agent"] == name]}
    if kind == "rollouts":
        return told
    speeches = client.expect("GET", f"/v1/sessions/{quote(name, safe='')}/speeches")["speeches"]
    return {**told, "speeches": [f"{each['id']} {each['state']}" for each in speeches]}


def lines(told: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """A field a line, what is within fields below them; what is empty is left out."""
    indent = "  " * depth
    for name, value in told.items():
        title = f"{indent}{name.replace('_', ' ') if not depth else name}:"
        if value in (None, "", [], {}, ()):
            continue
        if name == "problems":
            yield title
            yield from (f"{indent}  {Problem(**each)}" for each in value)
        elif isinstance(value, Mapping):
            yield title
            yield from lines(value, depth + 1)
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield title
            yield from _items(value, depth + 1)
        elif isinstance(value, str) and "\n" in value:
            yield title
            yield from (f"{indent}  {line}" for line in value.splitlines())
        else:
            yield f"{title.ljust(WIDTH + 2 * depth)} {_shown(name, value)}"


def _items(values: Sequence[Any], depth: int) -> Iterator[str]:
    for value in values:
        inner = list(lines(value, depth + 1)) if isinstance(value, Mapping) else [f"{'  ' * depth}  {value}"]
        if inner:
            yield f"{'  ' * depth}- {inner[0].strip()}"
            yield from inner[1:]


def _shown(name: str, value: Any) -> str:
    if name == "started_at":
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
