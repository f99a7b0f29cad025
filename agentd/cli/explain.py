"""`agentd explain SESSION [TURN]`: why a call went as it did, from its journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from agentd.cli.explained import text_of
from agentd.cli.remote import AdminClient, Unavailable, admin_options
from agentd.config.daemon import find_daemon_file, load_daemon, state_directory
from agentd.errors import JournalError
from agentd.runtime.journals import SUFFIX, journal_path, sessions_in
from agentd.session.explained_call import Explained
from agentd.session.explanation import document, explain
from agentd.session.journal import read_journal
from agentd.session.records import Record


@click.command(name="explain")
@click.argument("session")
@click.argument("turn", required=False, type=click.IntRange(min=1))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-c", "--config", type=click.Path(path_type=Path), help="The daemon's file: where its state is.")
@admin_options
def explain_session(client: AdminClient, session: str, turn: int | None, output: str, config: Path | None) -> None:
    """Tell why the call SESSION went as it did: what ended each turn, what cut each answer, where the time went.

    SESSION is an id, the beginning of one, or a journal's file. The journal is read from the state directory of this
    machine; where it is not there, a running daemon is asked for it.
    """
    daemon = load_daemon(config or find_daemon_file(), os.environ).config
    call = _explained(session, state_directory(daemon, os.environ), client)
    if turn is not None and turn not in {each.turn for each in call.turns}:
        known = f"it has turns 1 to {call.turns[-1].turn}" if call.turns else "it has no turns"
        raise click.ClickException(f"session {call.session} has no turn {turn}: {known}")
    if output == "json":
        click.echo(json.dumps(document(call, turn), indent=2, ensure_ascii=False))
    else:
        click.echo(text_of(call, turn), nl=False)


def _explained(session: str, state: Path, client: AdminClient) -> Explained:
    path = Path(session)
    if path.suffix == SUFFIX:
        return explain(path.stem, _read(path))
    here = sessions_in(state)
    name = _named(session, here)
    if name is not None:
        return explain(name, _read(journal_path(state, name)))
    try:
        answer = client.call("GET", f"/v1/sessions/{quote(session, safe='')}/journal")
    except Unavailable:
        raise _unknown(session, here, f"no journal in {state}, and no daemon answers at {client.addr}") from None
    if answer.status == 404:
        raise _unknown(session, [*here, *answer.body.get("near", ())], f"neither in {state} nor known to the daemon")
    if answer.status >= 400:
        raise click.ClickException(f"the daemon refused ({answer.status}): {answer.body.get('detail', '')}")
    return explain(answer.body["session"], map(_record, answer.body["records"]))


def _named(session: str, known: Iterable[str]) -> str | None:
    """The one session of this id, or whose id begins so."""
    beginning = [name for name in known if name.startswith(session)]
    if session in beginning or len(beginning) == 1:
        return session if session in beginning else beginning[0]
    if beginning:
        raise click.ClickException(f"several sessions begin with {session}: {', '.join(beginning[:5])}")
    return None


def _unknown(session: str, known: Iterable[str], why: str) -> click.ClickException:
    near = get_close_matches(session, list(dict.fromkeys(known)), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return click.ClickException(f"there is no session {session} ({why}){hint}")


def _read(path: Path) -> list[Record]:
    try:
        return read_journal(path)
    except JournalError as error:
        raise click.ClickException(str(error)) from error


def _record(told: Mapping[str, Any]) -> Record:
    return Record(seq=told["seq"], at=told["at"], kind=told["kind"], data=told["data"])
