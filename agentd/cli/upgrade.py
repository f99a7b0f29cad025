"""`agentd upgrade`: what is installed now takes a running daemon's place, under its calls."""

from __future__ import annotations

import sys
import time

import click

from agentd.cli.remote import EXIT_UNAVAILABLE, POLL_S, AdminClient, Unavailable, admin_options
from agentd.cli.successor import CHECK_S

READY_S = 120.0


@click.command()
@admin_options
def upgrade(client: AdminClient) -> None:
    """Let what is installed now take a running daemon's place; its calls go on in their workers.

    Also what makes a change of agentd.yaml take effect. Refused when what is installed would not serve. Waits until it
    does.
    """
    before = client.expect("POST", "/v1/upgrade", timeout_s=2 * CHECK_S)  # the check comes before the answer
    began = time.monotonic()
    reasons: list[str] = ["it does not answer"]
    while time.monotonic() - began < READY_S:
        time.sleep(POLL_S)
        try:
            status = client.expect("GET", "/v1/status")
        except Unavailable:
            continue
        reasons = status["readiness"]["reasons"]
        if status["instance"] == before["instance"] and status["state"] == "draining":
            raise click.ClickException("it was told to drain meanwhile: the upgrade was abandoned")
        if status["instance"] != before["instance"] and status["readiness"]["ready"]:
            calls, seconds = before["sessions"], time.monotonic() - began
            versions = f"{before['version']} to {status['version']}"
            click.echo(f"Upgraded {versions} in {seconds:.1f} s under {calls} call{'s' if calls != 1 else ''}.")
            return
    click.echo(f"agentd: the new daemon is not ready after {READY_S:.0f} s: {'; '.join(reasons)}", err=True)
    sys.exit(EXIT_UNAVAILABLE)
