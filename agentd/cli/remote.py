"""`agentd get` and `reload`, and how others ask: what is asked of a running daemon, over its admin API."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import click

EXIT_UNAVAILABLE = 69
EXIT_INVALID = 78
POLL_S = 0.25
DESCRIPTION_WIDTH = 72
TIMEOUT_S = 60.0
RELOAD_S = 900.0  # new code starts every worker anew, one after the other, and each loads its models
NOT_ANSWERED = (
    "agentd at {base} has been asked and did not answer within {timeout_s:.0f} s: it may still do it; "
    "`agentd get agents` tells what serves"
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "agents": ("name", "state", "registered", "sessions", "generation", "revision", "source"),
    "workers": ("id", "pool", "pid", "state", "sessions", "capacity", "load", "lag", "memory", "restarts"),
    "rollouts": ("agent", "of", "state", "share", "calls", "in_state", "why"),
    "tools": ("name", "agent", "type", "defined_at", "description"),
    "sinks": ("agent", "url", "state", "waiting", "delivered", "lost", "error"),
    "budgets": ("agent", "caller", "day", "tokens", "minutes", "cost", "used_up"),
    "sessions": ("id", "agent", "state", "caller", "turns", "age", "room", "worker"),
}
SEVERAL = frozenset({"tools", "sinks", "budgets"})
"""Kinds of which one name may have several."""

NAMED_BY: Mapping[str, str] = {
    "agents": "name",
    "workers": "id",
    "rollouts": "agent",
    "tools": "name",
    "sinks": "agent",
    "budgets": "agent",
    "sessions": "id",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminClient:
    """The admin API of the daemon at HOST:PORT, or at a URL."""

    addr: str
    token: str | None

    @property
    def base(self) -> str:
        return (self.addr if "://" in self.addr else f"http://{self.addr}").rstrip("/")

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Answer:
        """Raises click.ClickException with one line that says what to do."""
        base = self.base
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = None if body is None else json.dumps(body).encode()
        headers |= {} if data is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{base}{path}", method=method, headers=headers, data=data)
        try:
            with _opener().open(request, timeout=timeout_s) as reply:
                return Answer(reply.status, json.load(reply))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _problem_of(error))
        except TimeoutError as error:  # of the answer: a connection that is not made is a URLError
            raise Unavailable(NOT_ANSWERED.format(base=base, timeout_s=timeout_s)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"no agentd answers at {base} ({reason}): is it running? --admin-addr says where"
            ) from error

    def stream(self, path: str, last_id: str = "") -> Iterator[str]:
        """The lines of an event stream, until it ends. Raises click.ClickException."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= {"Last-Event-ID": last_id} if last_id else {}
        request = urllib.request.Request(f"{self.base}{path}", headers=headers)
        try:
            with _opener().open(request, timeout=TIMEOUT_S) as reply:
                for line in reply:
                    yield line.decode().rstrip("\n")
        except urllib.error.HTTPError as error:
            raise _refused(Answer(error.code, _problem_of(error))) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(f"no agentd answers at {self.base} ({reason}): is it running?") from error

    def expect(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        answer = self.call(method, path, body, timeout_s=timeout_s)
        if answer.status < 400:
            return answer.body
        raise _refused(answer)


class Unavailable(click.ClickException):
    exit_code = EXIT_UNAVAILABLE


class Missing(click.ClickException):
    """The daemon knows nothing of that name."""


def _opener() -> urllib.request.OpenerDirector:
    """Without the environment's proxies: the daemon is here, or at an address that was given."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _problem_of(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        body = json.load(error)
    except ValueError:
        return {"detail": error.reason}
    return body if isinstance(body, dict) else {"detail": str(body)}


def _refused(answer: Answer) -> click.ClickException:
    if answer.status == 403:
        return click.ClickException(f"the daemon does not let this token: {answer.body.get('detail', '')}")
    if answer.status == 401:
        return click.ClickException("the daemon wants its admin token: set AGENTD_ADMIN_TOKEN (or _FILE)")
    kind = Missing if answer.status == 404 else click.ClickException
    return kind(f"the daemon refused ({answer.status}): {answer.body.get('detail', '')}")


def admin_options(command: _Command) -> _Command:
    """--admin-addr; the command gets a `client`."""

    def client(context: click.Context, parameter: click.Parameter, addr: str) -> AdminClient:
        return AdminClient(addr=addr, token=given_token())

    return click.option(
        "--admin-addr",
        "client",
        envvar="AGENTD_ADMIN_ADDR",
        default="127.0.0.1:8081",
        show_default=True,
        callback=client,
        help="Where the daemon's admin API is; AGENTD_ADMIN_TOKEN holds its token.",
    )(command)


def given_token() -> str | None:
    """The admin token that the environment has."""
    if given := os.environ.get("AGENTD_ADMIN_TOKEN"):
        return given
    path = os.environ.get("AGENTD_ADMIN_TOKEN_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.UsageError(f"AGENTD_ADMIN_TOKEN_FILE: cannot read {path}: {error.strerror}") from error


def complete_name(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """What a shell offers for NAME."""
    from agentd.cli.completion import names

    kind = str(ctx.params.get("kind", ""))
    kind = kind if kind.endswith("s") else f"{kind}s"
    return names({"events": "sessions", "sinks": "agents", "budgets": "agents"}.get(kind, kind), ctx, incomplete)


@click.command()
@click.argument("kind", type=click.Choice([*COLUMNS, "events"]))
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml", "name"]), default="table")
@click.option("-w", "--watch", is_flag=True, help="Go on with what comes and what changes.")
@click.option("--type", "types", default="", help="Of events: only these types, with commas; * stands for anything.")
@admin_options
def get(client: AdminClient, kind: str, name: str | None, output: str, watch: bool, types: str) -> None:
    """List a running daemon's agents, workers, rollouts, sessions, tools, budgets, event sinks, or events.

    NAME picks one; of sinks and budgets an agent's, of tools those of that name, of events a session's.
    """
    if kind == "events":
        from agentd.cli.events import show_events

        show_events(client, session=name or "", types=types, output=output, watch=watch)
        return
    if types:
        raise click.UsageError("--type is for events")
    if watch:
        from agentd.cli.watching import watch as watch_list

        watch_list(client, kind, name, output)
        return
    entries = client.expect("GET", f"/v1/{kind}")[kind]
    key = NAMED_BY[kind]
    if name is not None:
        entries = [entry for entry in entries if entry[key] == name]
        if not entries:
            raise click.ClickException(f"there is no {kind[:-1]} {name}")
    if output == "name":
        click.echo("".join(f"{entry[key]}\n" for entry in entries), nl=False)
    elif output == "table":
        click.echo(table(kind, entries, now=time.time()), nl=False)
        _show_problems(problem for entry in entries for problem in entry.get("problems", ()))
    else:
        click.echo(serialised(entries if name is None or kind in SEVERAL else entries[0], output), nl=False)


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.option("--wait", is_flag=True, expose_value=False, help="Accepted; it always waits until the change serves.")
@admin_options
def reload(client: AdminClient, output: str) -> None:
    """Make a running daemon read its files again, and the code of its workers.

    Waits until every worker has the new version; new code of plugins, and of agentd where only workers run it, gets
    new workers. Exit 78 when a file or the code was refused: what served before goes on.
    """
    answer = client.call("POST", "/v1/reload", timeout_s=RELOAD_S)
    if answer.status not in (200, 422):
        raise _refused(answer)
    if output == "json":
        click.echo(serialised(answer.body, "json"), nl=False)
    else:
        _show_problems(answer.body.get("problems", ()))
        click.echo(outcome_line(answer.body))
    if answer.status == 422:
        sys.exit(EXIT_INVALID)


def outcome_line(outcome: Mapping[str, Any]) -> str:
    """What a reload did, in one line."""
    parts = _of_code(outcome.get("code"))
    parts += [f"{verb} {', '.join(outcome[verb])}" for verb in ("added", "updated", "removed") if outcome.get(verb)]
    if not outcome.get("applied"):
        return f"Refused: {outcome.get('detail', '')}." + (f" Applied: {'; '.join(parts)}." if parts else "")
    if not parts:
        return f"Nothing changed; generation {outcome['generation']}."
    return f"Generation {outcome['generation']} serves after {outcome['duration_s']:.2f} s: {'; '.join(parts)}."


def _of_code(code: Mapping[str, Any] | None) -> list[str]:
    """What else becomes of new code, the problems say."""
    if code is None or code["state"] != "replaced":
        return []
    files = f"{len(code['files'])} file{'s' if len(code['files']) != 1 else ''}"
    return [f"{', '.join(code['workers'])} take the calls with new code in {files}"]


def table(kind: str, entries: Sequence[Mapping[str, Any]], *, now: float) -> str:
    """Rows under the names of their columns."""
    header = [column.replace("_", " ").upper() for column in COLUMNS[kind]]
    return aligned([header, *(row(kind, entry, now=now) for entry in entries)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the last is not padded."""
    widths = widths_of(rows)
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def row(kind: str, entry: Mapping[str, Any], *, now: float) -> list[str]:
    """The cells of an entry."""
    return [_cell(column, entry, now) for column in COLUMNS[kind]]


def widths_of(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cells[index]) for cells in rows) for index in range(len(rows[0]))]


def _cell(column: str, entry: Mapping[str, Any], now: float) -> str:
    match column:
        case "lag":
            return f"{entry['loop_lag_s'] * 1_000:.0f} ms"
        case "memory":
            return f"{entry['memory_bytes'] / 2**20:.0f} MiB"
        case "description":
            return shorten(entry["description"], DESCRIPTION_WIDTH, placeholder=" …")
        case "error":
            return str(entry["last_error"]) or "-"
        case "age":
            return _age(now - entry["started_at"])
        case "in_state":
            return _age(now - entry["since"])
        case "share":
            return f"{entry['share']:.0%}"
        case "revision":
            return str(entry["revision"])[:8]
    value = entry[column]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _age(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def serialised(value: Any, style: str) -> str:
    if style == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def _show_problems(problems: Any) -> None:
    from agentd.errors import Problem

    for problem in problems:
        click.echo(str(Problem(**problem)), err=True)
