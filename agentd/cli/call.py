"""`agentd call`: an agent calls a telephone, over LiveKit's SIP service."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path

import click

from agentd.cli.dispatch import metadata_with
from agentd.cli.remote import EXIT_UNAVAILABLE
from agentd.cli.token import given_settings
from agentd.errors import TransportError
from agentd.session.room import Number
from agentd.transport.outbound import NotConnected, OutboundCall, call_out, hung_up
from agentd.transport.tokens import LiveKitCredentials

EXIT_BUSY = 5
EXIT_NO_ANSWER = 6
EXIT_REJECTED = 7
_EXITS = {
    "busy": EXIT_BUSY,
    "no_answer": EXIT_NO_ANSWER,
    "rejected": EXIT_REJECTED,
    "unavailable": EXIT_UNAVAILABLE,
}


@click.command()
@click.argument("number")
@click.option("--agent", required=True, help="Who calls.")
@click.option(
    "--trunk",
    default="",
    help="LiveKit's name of the outbound trunk.  [default: LIVEKIT_OUTBOUND_TRUNK, or livekit.outbound_trunk]",
)
@click.option("--from", "from_number", default="", help="The number that is shown.  [default: the trunk's]")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the session; repeatable.")
@click.option("--metadata", default="", help="The dispatch's metadata, in the place of variables.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1, max=120),
    default=30.0,
    show_default=True,
    help="Seconds that it may ring.",
)
@click.option("--wait", is_flag=True, help="Return when they have hung up.")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="The daemon's file.  [default: agentd.yaml, if there]"
)
@click.option("--dev", is_flag=True, help="For the server of `agentd serve --dev`, with its well-known key.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def call(
    number: str,
    agent: str,
    trunk: str,
    from_number: str,
    variables: tuple[str, ...],
    metadata: str,
    timeout: float,
    wait: bool,
    config: Path | None,
    dev: bool,
    output: str,
) -> None:
    """Call NUMBER: an agent talks with whoever answers.

    NUMBER is +442071234567, sip:desk@example.com, or what the trunk takes. Returns when somebody has answered; exit 5
    when the line is busy, 6 when nobody answers, 7 when the call is rejected, 69 when the agent, LiveKit or its SIP
    service is not there. Ctrl-C before that hangs up.
    """
    credentials, livekit = given_settings(config, dev)
    if not (trunk or livekit.outbound_trunk):
        raise click.UsageError(
            "name the outbound trunk: --trunk, LIVEKIT_OUTBOUND_TRUNK, or livekit.outbound_trunk in agentd.yaml"
        )
    wanted = OutboundCall(
        agent=agent,
        room=f"call-{secrets.token_hex(8)}",
        number=Number(to=number, trunk=trunk or livekit.outbound_trunk, ringing_s=timeout),
        metadata=metadata_with(variables, metadata),
        from_number=from_number,
    )
    try:
        asyncio.run(_hold(credentials, wanted, wait, output))
    except NotConnected as error:
        refusal = error.refusal
        _tell(wanted, output, refusal.outcome, f"{number}: {error}", refusal.detail)
        sys.exit(_EXITS[refusal.outcome])
    except TransportError as error:
        _tell(wanted, output, "unavailable", f"{number}: {error}", str(error))
        sys.exit(EXIT_UNAVAILABLE)


async def _hold(credentials: LiveKitCredentials, wanted: OutboundCall, wait: bool, output: str) -> None:
    number, room = wanted.number.to, wanted.room
    await call_out(credentials, wanted, lambda: click.echo(f"Ringing {number} for {wanted.agent} ...", err=True))
    _tell(wanted, output, "answered", f"{number} has answered, and {wanted.agent} is in the room {room}.")
    if wait:
        await hung_up(credentials, room)
        click.echo(f"{number} has hung up.", err=True)


def _tell(wanted: OutboundCall, output: str, outcome: str, sentence: str, detail: str = "") -> None:
    if output == "json":
        told = {"to": wanted.number.to, "agent": wanted.agent, "room": wanted.room, "outcome": outcome}
        click.echo(json.dumps({**told, "detail": detail}, indent=2))
    else:
        click.echo(sentence, err=outcome != "answered")
