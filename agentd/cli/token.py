"""`agentd token`: a caller's token, for trying an agent with LiveKit's own front ends."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import click

from agentd.admin.guards import is_loopback
from agentd.admin.settings import DEFAULT_ADDR
from agentd.cli.files import daemon_of
from agentd.cli.remote import AdminClient, Unavailable, given_token
from agentd.config.daemon import LiveKitSettings
from agentd.providers.fields import SecretMissing
from agentd.transport.tokens import AgentToDispatch, LiveKitCredentials, as_websocket, caller_token


@click.command()
@click.option("--agent", help="The agent to call; it is sent into the room when the room is created.")
@click.option("--room", help="The room.  [default: a fresh one]")
@click.option("--identity", help="The caller's identity.  [default: a fresh one]")
@click.option("--name", default="", help="The caller's name.")
@click.option("--metadata", default="", help="Given to the agent with the call.")
@click.option(
    "--ttl", type=click.FloatRange(min=1), default=900.0, show_default=True, help="Seconds that it is good for."
)
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="The daemon's file.  [default: agentd.yaml, if there]"
)
@click.option("--dev", is_flag=True, help="For the server of `agentd serve --dev`, with its well-known key.")
@click.option("--json", "as_json", is_flag=True, help="With the server's address, as the token endpoint answers.")
def token(
    agent: str | None,
    room: str | None,
    identity: str | None,
    name: str,
    metadata: str,
    ttl: float,
    config: Path | None,
    dev: bool,
    as_json: bool,
) -> None:
    """Mint a caller's token, signed with LIVEKIT_API_KEY and LIVEKIT_API_SECRET."""
    if metadata and not agent:
        raise click.UsageError("--metadata goes to the agent that --agent names")
    credentials, livekit = given_settings(config, dev)
    public_url = "" if dev else livekit.public_url
    nonce = secrets.token_hex(4)
    minted = caller_token(
        credentials,
        room=room or f"call-{nonce}",
        identity=identity or f"caller-{nonce}",
        name=name,
        agents=[AgentToDispatch(agent_name=agent, metadata=metadata)] if agent else [],
        ttl_s=ttl,
    )
    answer = {"server_url": as_websocket(public_url or credentials.url), "participant_token": minted}
    click.echo(json.dumps(answer, indent=2) if as_json else minted)


def given_settings(config: Path | None, dev: bool) -> tuple[LiveKitCredentials, LiveKitSettings]:
    """LiveKit's server and key, and all that the file says of it. Raises click.UsageError."""
    livekit = daemon_of(config, os.environ)[0].config.livekit
    if dev:
        return _dev_credentials(), livekit
    if not livekit.url:
        raise click.UsageError("set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or give --dev")
    return credentials_in(livekit), livekit


def credentials_in(livekit: LiveKitSettings) -> LiveKitCredentials:
    """Those of agentd.yaml and the environment. Raises click.UsageError."""
    try:
        key, secret = livekit.api_key.reveal(), livekit.api_secret.reveal()
    except SecretMissing as error:
        raise click.UsageError(str(error)) from error
    return LiveKitCredentials(url=livekit.url, api_key=key, api_secret=secret)


def _dev_credentials() -> LiveKitCredentials:
    from agentd.cli.devserver import DEV_KEY, DEV_PORT, DEV_SECRET

    url = _told_by_the_daemon() or f"ws://127.0.0.1:{DEV_PORT}"
    return LiveKitCredentials(url=url, api_key=DEV_KEY, api_secret=DEV_SECRET)


def _told_by_the_daemon() -> str:
    """Where the LiveKit server of a running `serve --dev` is, which takes another port when LiveKit's own is busy; "":
    no daemon answers."""
    addr = os.environ.get("AGENTD_ADMIN_ADDR") or DEFAULT_ADDR
    try:
        answer = AdminClient(addr=addr, token=given_token()).call("GET", "/v1/status", timeout_s=1.0)
    except Unavailable:
        return ""
    url = str(answer.body.get("livekit_url", "")) if answer.status == 200 else ""
    return url if is_loopback(urlsplit(url).hostname or "") else ""
