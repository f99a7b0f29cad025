"""`--watch` of `agentd get` and `describe`: what a daemon says, and then each entry that changes, comes or goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from agentd.cli.remote import COLUMNS, NAMED_BY, AdminClient, Missing, Unavailable, row, serialised, widths_of

POLL_S = 1.0
FLUCTUATING = frozenset({"loop_lag_s", "load", "memory_bytes", "latencies"})
"""Fields that change by themselves: they are shown, and are no reason to show."""

TOLD_APART_BY: Mapping[str, tuple[str, ...]] = {
    "sinks": ("agent", "url"),
    "budgets": ("agent", "caller"),
    "tools": ("agent", "name"),
}
"""Of kinds of which one agent has several; the others by their name alone."""

Entry = Mapping[str, Any]


def changed(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """Entries to show, each by its name: new or changed ones as they are, those that are gone with the state "gone".
    Pure."""
    for name, entry in after.items():
        if name not in before or steady(before[name]) != steady(entry):
            yield name, entry
    for name, entry in before.items():
        if name not in after:
            yield name, {**entry, "state": "gone"}


def steady(entry: Entry) -> dict[str, Any]:
    """Without what changes by itself."""
    return {name: value for name, value in entry.items() if name not in FLUCTUATING}


def watch(
    client: AdminClient, kind: str, name: str | None, output: str, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Until interrupted; over restarts of the daemon, once it has answered."""
    key, before = NAMED_BY[kind], None
    widths: Sequence[int] = ()
    try:
        while True:
            try:
                listed = client.expect("GET", f"/v1/{kind}")[kind]
            except Unavailable:
                if before is None:
                    raise
                sleep(POLL_S)
                continue
            after = by_identity(kind, [entry for entry in listed if name in (None, entry[key])])
            if before is None and output == "table":
                header = [column.replace("_", " ").upper() for column in COLUMNS[kind]]
                widths = widths_of([header, *(row(kind, entry, now=time.time()) for entry in after.values())])
                click.echo(_line(header, widths))
            for _, entry in changed(before or {}, after):
                click.echo(_shown(kind, entry, output, widths), nl=output != "yaml")
            before = after
            sleep(POLL_S)
    except KeyboardInterrupt:
        return


def watch_one(
    told: Callable[[], Entry], show: Callable[[Entry], None], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """The same for one entry. `told` asks for it, and raises Missing where there is none: one that is gone is shown
    once more, with the state "gone"."""
    before: Entry | None = None
    try:
        while True:
            try:
                after = told()
            except (Unavailable, Missing) as error:
                if before is None:
                    raise
                after = {**before, "state": "gone"} if isinstance(error, Missing) else before
            if before is None or steady(before) != steady(after):
                show(after)
            before = after
            sleep(POLL_S)
    except KeyboardInterrupt:
        return


def by_identity(kind: str, entries: Iterable[Entry]) -> dict[str, Entry]:
    """Each entry by what tells it from the others of its kind."""
    fields = TOLD_APART_BY.get(kind, (NAMED_BY[kind],))
    return {" ".join(str(entry[field]) for field in fields): entry for entry in entries}


def _shown(kind: str, entry: Entry, output: str, widths: Sequence[int]) -> str:
    match output:
        case "name":
            return str(entry[NAMED_BY[kind]])
        case "json":
            return json.dumps(entry, ensure_ascii=False)
        case "yaml":
            return serialised([entry], "yaml")
    return _line(row(kind, entry, now=time.time()), widths)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
