"""`agentd history`, `rollback` and `promote`: what served, going back, canaries; a canary for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import click

from agentd.cli.remote import RELOAD_S, AdminClient, admin_options, aligned, serialised

HISTORY = ("REVISION", "STATE", "FIRST SERVED", "LAST SERVED", "GOOD", "FAILED", "CALLS", "TESTS")


@click.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@admin_options
def history(client: AdminClient, name: str, output: str) -> None:
    """List the revisions of an agent that a running daemon has served and keeps, newest first."""
    found = client.expect("GET", f"/v1/agents/{quote(name, safe='')}/revisions")["revisions"]
    if output == "json":
        click.echo(serialised(found, "json"), nl=False)
        return
    rows = [
        [
            one["revision"][:8],
            one["state"],
            _time(one["first_at"]),
            _time(one["last_at"]),
            str(one["trial"]["good"]),
            str(one["trial"]["failed"]),
            str(one["calls"]),
            _tests(one["tests"]),
        ]
        for one in found
    ]
    click.echo(aligned([list(HISTORY), *rows]), nl=False)


def _tests(tests: Mapping[str, Any] | None) -> str:
    return f"{tests['passed']} of {tests['passed'] + tests['failed']}" if tests else ""


@click.command()
@click.argument("name")
@click.option("--to", default=None, help="How a revision of `agentd history` begins; by default the one before.")
@admin_options
def rollback(client: AdminClient, name: str, to: str | None) -> None:
    """Serve an earlier revision of an agent until its file is edited; calls under way keep theirs.

    A canary without --to is taken out of its rollout. The revision that the file says lifts what holds the agent.
    """
    body = {"to": to} if to else {}
    done = client.expect("POST", f"/v1/agents/{quote(name, safe='')}/rollback", body, timeout_s=RELOAD_S)
    click.echo(f"{name} serves revision {done['revision'][:8]}.")


@click.command()
@click.argument("name")
@admin_options
def promote(client: AdminClient, name: str) -> None:
    """Give a canary all calls of the agent that it is a canary of, until that one's file is edited."""
    done = client.expect("POST", f"/v1/rollouts/{quote(name, safe='')}/promote", {})
    click.echo(f"{name} takes every call of {done['of']}.")


def rollout_lines(rollout: Mapping[str, Any]) -> Iterator[str]:
    """A canary for people: where it stands, and each figure with its interval beside that of the other's calls."""
    yield f"{rollout['agent']}, canary of {rollout['of']}: {rollout['state'].replace('_', ' ')}"
    which = ", ".join(f"{name} = {value}" for name, value in rollout["match"].items())
    yield f"  takes     {rollout['share']:.0%} of its calls{f' with {which}' if which else ''}"
    yield f"  revision  {rollout['revision'][:8]}"
    yield f"  began     {_time(rollout['began'])}, {rollout['state'].replace('_', ' ')} since {_time(rollout['since'])}"
    yield f"  calls     {rollout['calls']}, and {rollout['baseline_calls']} that {rollout['of']} kept"
    if rollout["why"]:
        yield f"  why       {rollout['why']}"
    rows = [["", "VALUE", "INTERVAL", "LIMIT", "STATE", "COUNT", rollout["of"].upper()]]
    for one, other in zip(rollout["objectives"], rollout["baseline"], strict=True):
        name = one["name"]
        state = "" if one["state"] == "unasked" else one["state"]
        limit = _figure(name, one["limit"]) if one["limit"] is not None else ""
        high = "?" if one["high"] is None else _figure(name, one["high"])
        interval = f"{_figure(name, one['low'])} to {high}" if one["low"] is not None else ""
        rows.append(
            [
                name,
                _figure(name, one["value"]),
                interval,
                limit,
                state,
                str(one["count"]),
                _figure(name, other["value"]),
            ]
        )
    yield from (f"  {line}" for line in aligned(rows).splitlines())


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if name == "gap_p95" else f"{value:.1%}"


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
