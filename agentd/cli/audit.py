"""`agentd audit`: whether the log of calls of tools and of operators is as it was written, and what it says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agentd.runtime.audit_chain import Head, Verified
from agentd.runtime.audit_chain import verify as verify_chain
from agentd.runtime.audit_log import files_of, stored_head

EXIT_BROKEN = 1
EXIT_NOT_THERE = 66

_FILE = click.argument("file", required=False, type=click.Path(path_type=Path))
_CONFIG = click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The daemon's agentd.yaml.")


@click.group()
def audit() -> None:
    """Verify and read the audit log: which tools were called, with whose consent; what operators did."""


@audit.command()
@_FILE
@_CONFIG
@click.option("--head", "given", help="NUMBER:HASH of a record that was there, as `agentd audit head` printed it.")
@click.option("--partial", is_flag=True, help="Earlier files were taken away.")
def verify(file: Path | None, config: Path | None, given: str | None, partial: bool) -> None:
    """Find any record that was edited, taken out, put in, moved or cut off.

    Exit 0: all is as it was written. 1: it is not, with the place of each fault. 66: there is no log.
    """
    try:
        heads = [Head.parse(given)] if given else []
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    found = _verified(*_log(file, config), heads, partial=partial)
    for fault in found.broken:
        click.echo(str(fault), err=True)
    if found.broken:
        sys.exit(EXIT_BROKEN)
    click.echo(f"{len(found.records)} records are as they were written; head {found.head}")


@audit.command()
@_FILE
@_CONFIG
def head(file: Path | None, config: Path | None) -> None:
    """Print the number and hash of the last record: kept elsewhere, it shows later that nothing before it changed."""
    click.echo(str(_verified(*_log(file, config), [], partial=True).head))


@audit.command()
@_FILE
@_CONFIG
@click.option("--session", help="Of this call.")
@click.option("--agent", help="Of this agent.")
@click.option("--tool", help="Of this tool.")
@click.option("--caller", help="For this participant.")
@click.option("--operator", help="By the holder of this admin token.")
@click.option("--deed", help="Of operators: token, session.say, agent.write ...; session.* stands for all.")
@click.option("--kind", help="Of this kind: tool.called, operator, agent.served ...; consent.* stands for all.")
@click.option("--since", help="From this time on (RFC 3339, or the beginning of one).")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def show(file: Path | None, config: Path | None, since: str | None, output: str, **wanted: str | None) -> None:
    """Print records; what is broken is told by `verify`."""
    for record in _verified(*_log(file, config), [], partial=True).records:
        if not _fits(record, wanted) or (since and record.get("at", "") < since):
            continue
        click.echo(json.dumps(record, ensure_ascii=False) if output == "json" else _line(record))


_TOLD = (
    *("operator", "address", "deed", "status", "to", "what", "variables", "approval", "approve", "edit"),
    *("room", "identity", "agents", "dispatch", "revision", "previous", "generation", "source", "state", "reason"),
    *("why", "calls", "version", "tool", "call", "caller", "by", "consent", "outcome", "rule", "duration_s", "key"),
    "arguments",
)


def _fits(record: Mapping[str, Any], wanted: Mapping[str, str | None]) -> bool:
    from fnmatch import fnmatchcase

    return all(value is None or fnmatchcase(str(record.get(name, "")), value) for name, value in wanted.items())


def _line(record: Mapping[str, Any]) -> str:
    told = [str(record.get(name, "")) for name in ("seq", "at", "kind", "agent", "session")]
    told += [f"{name}={_shown(record[name])}" for name in _TOLD if record.get(name) not in (None, "")]
    return "  ".join(told)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _verified(path: Path, key: bytes | None, heads: list[Head], *, partial: bool) -> Verified:
    files = files_of(path)
    try:
        read = [(str(each), each.read_bytes()) for each in files]
    except OSError as error:
        click.echo(f"there is no audit log at {path} ({error.strerror})", err=True)
        sys.exit(EXIT_NOT_THERE)
    stored = stored_head(path)
    return verify_chain(read, key, [*heads, *([stored] if stored else [])], partial=partial)


def _log(file: Path | None, config: Path | None) -> tuple[Path, bytes | None]:
    """The log's path and its key, as agentd.yaml has them; `file` goes before the path."""
    from agentd.config.daemon import audit_path, find_daemon_file, load_daemon
    from agentd.providers.fields import SecretMissing

    loaded = load_daemon(config or find_daemon_file(), os.environ)
    if not loaded.valid:
        raise click.ClickException("; ".join(map(str, loaded.problems)))
    try:
        key = loaded.config.audit.key.reveal().encode() if loaded.config.audit.key else None
    except SecretMissing as error:
        raise click.ClickException(f"the key of the audit log: {error}") from error
    return file or audit_path(loaded.config, os.environ), key
