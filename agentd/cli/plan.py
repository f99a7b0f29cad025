"""`agentd plan`: what a reload would do now, change by change, and which calls it touches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from agentd.cli.remote import AdminClient, admin_options, serialised
from agentd.config.reload_class import WORDS

EXIT_DIFFERS = 1
EXIT_ERROR = 2
WIDTH = 48  # characters of a value
_ORIGINS: Mapping[str, str] = {
    "file": "",
    "part": "part",
    "defaults": "defaults",
    "prompt": "prompt",
    "code": "tool code",
    "daemon": "agentd.yaml",
    "plugin": "plugin",
    "agentd": "agentd",
}


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@admin_options
def plan(client: AdminClient, output: str) -> None:
    """Compare the files on disk with what a running daemon serves.

    Tells every change with its place, its reload class and the calls that it touches; changes nothing. Exit 0: the
    same; 1: something differs; 2: a file cannot be used, or no daemon answers.
    """
    try:
        found = client.expect("GET", "/v1/plan")
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_ERROR)
    if output == "json":
        click.echo(serialised(found, "json"), nl=False)
    else:
        for line in lines(found):
            click.echo(line)
    sys.exit(EXIT_ERROR if not found["valid"] else 0 if found["same"] else EXIT_DIFFERS)


def lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """The plan for people."""
    if plan["same"]:
        yield f"Nothing differs from generation {plan['generation']}."
    for agent in plan["agents"]:
        effect = f": {agent['effect']}" if agent["effect"] else ""
        yield f"{agent['agent']} ({agent['source']}) {agent['action']}{effect}"
        for planned in agent["changes"]:
            yield from _change(planned["change"], planned["effect"])
        for problem in agent["problems"]:
            hint = f" ({problem['hint']})" if problem.get("hint") else ""
            yield (
                f"  {problem['file']}:{problem['line']}:{problem['column']}: {problem['severity']} {problem['code']}: "
                f"{problem['message']}{hint}"
            )
    yield from _outside_agents("the daemon: restart it", "restart", plan["daemon"])
    yield from _outside_agents("the workers: a reload replaces them", "next session", plan["daemon"])


def _outside_agents(heading: str, word: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Those of this reload class."""
    found = [change for change in changes if WORDS[change["reload"]] == word]
    if found:
        yield heading
    for change in found:
        yield from _change(change, word)


def _change(change: Mapping[str, Any], effect: str) -> Iterator[str]:
    origin = _ORIGINS[change["origin"]]
    yield f"  {change['place']}: {change['path']}{f' ({origin})' if origin else ''}"
    yield f"    {_shown(change['old'])} -> {_shown(change['new'])}"
    word = WORDS[change["reload"]]
    yield f"    {word}" if effect == word else f"    {word}; {effect}"


def _shown(value: Any) -> str:
    bare = isinstance(value, str) and value != ""
    text = "(none)" if value is None else value if bare else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
