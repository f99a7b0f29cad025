"""`agentd dispatch`: calls an agent into a room, through a running daemon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from agentd.cli.remote import AdminClient, admin_options


@click.command()
@click.argument("agent")
@click.option("--room", default="", help="The room, which is made if it is not there.  [default: a fresh one]")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the session; repeatable.")
@click.option("--metadata", default="", help="The dispatch's metadata, in the place of variables.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@admin_options
def dispatch(
    client: AdminClient, agent: str, room: str, variables: tuple[str, ...], metadata: str, output: str
) -> None:
    """Call AGENT into a room."""
    body: dict[str, Any] = {"agent": agent, "room": room, "metadata": metadata}
    if variables:
        body["variables"] = dict(_variable(each) for each in variables)
    told = client.expect("POST", "/v1/dispatches", body)
    if output == "json":
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{told['agent']} was called into the room {told['room']} ({told['dispatch']}).")


def metadata_with(variables: Sequence[str], metadata: str) -> str:
    """What a dispatch carries: variables, NAME=VALUE each, or the metadata. Raises click.UsageError."""
    if not variables:
        return metadata
    if metadata:
        raise click.UsageError("--var stands for --metadata: give one of them")
    return json.dumps({"variables": dict(_variable(each) for each in variables)}, ensure_ascii=False)


def _variable(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--var {written}: write NAME=VALUE")
    return name, value
