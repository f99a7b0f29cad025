"""`agentd approve`: an operator's word on a call of a tool that waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from agentd.cli.remote import AdminClient, admin_options


@click.command()
@click.argument("session")
@click.argument("approval", required=False)
@click.option("--deny", is_flag=True, help="Decline it.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Of the list.")
@admin_options
def approve(client: AdminClient, session: str, approval: str | None, deny: bool, output: str) -> None:
    """Approve or decline a call that SESSION waits with (confirm: operator); without APPROVAL, list them."""
    path = f"/v1/sessions/{quote(session, safe='')}/approvals"
    if approval is not None:
        client.expect("POST", f"{path}/{quote(approval, safe='')}", {"approve": not deny})
        click.echo(f"{'Declined' if deny else 'Approved'} {approval}.")
        return
    if deny:
        raise click.UsageError("--deny needs the name of an APPROVAL")
    found = client.expect("GET", path)["approvals"]
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for each in found:
        click.echo(_line(each, time.time()))


def _line(approval: Mapping[str, Any], now: float) -> str:
    left = f"{max(0.0, approval['expires_at'] - now):.0f} s left" if approval["state"] == "open" else approval["state"]
    arguments = approval["arguments"] or "(told only with the admin token)"
    return f"{approval['id']}  {left}  {approval['tool']} {arguments}  for {approval['caller']}"
