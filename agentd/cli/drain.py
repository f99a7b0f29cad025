"""`agentd drain`: a running daemon ends after its last call; with `--wait`, how that went."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from agentd.cli.remote import POLL_S, AdminClient, Unavailable, admin_options

EXIT_CALLS_CUT = 4
LOST_S = 5.0
"""A daemon that does not answer for as long is gone, or cannot be reached from here."""


@click.command()
@click.option("--wait", is_flag=True, help="Return when it has ended; exit 4 when calls were cut.")
@admin_options
def drain(client: AdminClient, wait: bool) -> None:
    """Let a running daemon end after its last call; it takes no new ones."""
    if wait:
        client.expect("GET", "/v1/drain")  # who has asked is waited for at the end
    sessions = client.expect("POST", "/v1/drain")["sessions"]
    click.echo(f"Draining: {_calls(sessions)} under way.")
    while wait:
        time.sleep(POLL_S)
        told = _how_it_goes(client, sessions)
        if told["state"] == "ended":
            break
        if told["sessions"] != sessions:
            sessions = told["sessions"]
            click.echo(f"{_calls(sessions)} under way.")
    else:
        return
    if told["cut"]:
        click.echo(f"It has ended, and cut {_calls(told['cut'])}.")
        sys.exit(EXIT_CALLS_CUT)
    click.echo("It has ended.")


def _how_it_goes(client: AdminClient, sessions: int) -> dict[str, Any]:
    """Raises Unavailable when the daemon is gone, and has not told how its drain ended."""
    unheard = f"{_calls(sessions)} under way when it last answered; its log says what became of them"
    give_up = time.monotonic() + LOST_S
    while True:
        try:
            told = client.expect("GET", "/v1/drain")
        except Unavailable as error:
            if time.monotonic() > give_up:
                raise Unavailable(f"{error.message}. How the drain ended is not known: {unheard}") from error
            time.sleep(POLL_S)
            continue
        if told["state"] == "none":
            raise Unavailable(f"another agentd has begun there, and that which drained has not told its end: {unheard}")
        return told


def _calls(number: int) -> str:
    return f"{number} call{'s' if number != 1 else ''}"
