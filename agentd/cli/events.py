"""`agentd get events`: what happened in the calls, and with `--watch` what happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import click

from agentd.cli.remote import AdminClient, Unavailable

RETRY_S = 2.0
WIDTH = 100  # characters of an event's data in a line


@dataclass(frozen=True, slots=True)
class Message:
    """One of an event stream: `kind` "gap" tells how many were missed."""

    id: str
    kind: str
    data: Mapping[str, Any]


def show_events(client: AdminClient, *, session: str, types: str, output: str, watch: bool) -> None:
    """Until the daemon has told what it keeps; with `watch`, until interrupted, over restarts of the daemon."""
    path = f"/v1/events?session={quote(session)}&type={quote(types)}&follow={str(watch).lower()}"
    last_id = ""
    while True:
        try:
            for message in messages(client.stream(path, last_id)):
                last_id = message.id or last_id
                _show(message, output)
        except Unavailable:
            if not (watch and last_id):
                raise
        except KeyboardInterrupt:
            return
        if not watch:
            return
        time.sleep(RETRY_S)


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Server-sent events, of the lines that they are made of."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line:
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Message(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


def _show(message: Message, output: str) -> None:
    if message.kind == "gap":
        click.echo(f"{message.data['missed']} or more events were missed", err=True)
    elif output == "json":
        click.echo(json.dumps({"id": message.id, **message.data}, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump([{"id": message.id, **message.data}], sort_keys=False, allow_unicode=True), nl=False)
    elif output == "name":
        click.echo(message.kind)
    else:
        click.echo(line_of(message))


def line_of(message: Message) -> str:
    """When, where, what, and the beginning of the data."""
    told = message.data
    at = time.strftime("%H:%M:%S", time.localtime(told["at"])) + f".{int(told['at'] % 1 * 1000):03}"
    known = {name: value for name, value in told["data"].items() if value not in (None, "")}
    text = " ".join(f"{name}={_shown(value)}" for name, value in known.items())
    text = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
    return f"{at}   {told['session']}   {message.kind.ljust(26)}   {text}".rstrip()


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
