"""The outbox: events that are to be sent, on disk until they are, so that neither a restart nor a `kill -9` loses one.

SQLite, one file in the state directory, mode 0600, written by the supervisor alone. WAL with synchronous=NORMAL: a
commit is one write into the page cache, which outlives the process, as the sessions' journals do; a power cut may lose
the last ones, and never the file. What is held is bounded for each sink, by number and by size: the oldest go first.
Bodies hold what people said; no secret and no address of a sink is ever in it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.errors import AgentdError

logger = logging.getLogger(__name__)

EVENTS_KEPT = 10_000
BYTES_KEPT = 32 * 1024 * 1024
"""For each sink; one that is down for a day gets the newest of what it missed."""

_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=4194304")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, sink TEXT NOT NULL, type TEXT NOT NULL, trace TEXT NOT NULL,
    body BLOB NOT NULL, made_at REAL NOT NULL, attempts INTEGER NOT NULL, due_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (sink, due_at, number);
CREATE TABLE IF NOT EXISTS followed (session TEXT PRIMARY KEY, agent TEXT NOT NULL, told INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS told (what TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


class OutboxFailed(AgentdError):
    """The disk does not take it, or the file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one sink. `number`: its place, 0 for a new one; `attempts`: made so far; times are unix times."""

    id: str
    sink: str
    type: str
    trace: str
    body: bytes
    made_at: float
    due_at: float
    attempts: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A call whose events are being told. `told`: the last one's place in the call."""

    session: str
    agent: str
    told: int


@dataclass(slots=True)
class _Held:
    """What a sink has waiting."""

    events: int = 0
    size: int = 0


@dataclass(slots=True)
class Outbox:
    """Raises OutboxFailed from whatever writes; then nothing of that call was done."""

    path: Path
    events_kept: int = EVENTS_KEPT
    bytes_kept: int = BYTES_KEPT
    _database: sqlite3.Connection = field(init=False)
    _held: dict[str, _Held] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._database = self._found()
            rows = self._database.execute("SELECT sink, count(*), sum(length(body)) FROM delivery GROUP BY sink")
            self._held = {sink: _Held(events, size) for sink, events, size in rows}
        except (sqlite3.Error, OSError) as error:
            raise OutboxFailed(f"the outbox {self.path} cannot be opened: {error}") from error

    def _found(self) -> sqlite3.Connection:
        """The file's, or a new one's where it is damaged. Raises sqlite3.Error, OSError."""
        try:
            return _opened(self.path)
        except sqlite3.OperationalError:  # of the disk or of its permissions, not of what is in the file
            raise
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
            logger.error("outbox damaged", extra={"path": str(aside), "error": str(error)})  # noqa: TRY400 -- one line
            _move(self.path, aside)
            return _opened(self.path)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._database.close()

    # What is to be sent.

    def put(
        self, deliveries: Sequence[Delivery], *, session: str = "", told: int = 0, over: bool = False
    ) -> dict[str, int]:
        """Takes these, and that the session's events are told up to this one, together. `over`: it has no more.

        Answers how many of the oldest of a sink had to go to make room.
        """
        with self._writing():
            self._database.executemany(
                "INSERT INTO delivery (id, sink, type, trace, body, made_at, attempts, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(d.id, d.sink, d.type, d.trace, d.body, d.made_at, d.attempts, d.due_at) for d in deliveries],
            )
            if session and over:
                self._database.execute("DELETE FROM followed WHERE session = ?", (session,))
            elif session:
                self._database.execute("UPDATE followed SET told = ? WHERE session = ?", (told, session))
        for each in deliveries:
            held = self._held.setdefault(each.sink, _Held())
            held.events, held.size = held.events + 1, held.size + len(each.body)
        gone: dict[str, int] = {}
        for sink in {each.sink for each in deliveries}:
            with suppress(OutboxFailed):  # what was taken is taken; there will be room when the disk has some
                gone[sink] = self._make_room(sink)
        return {sink: number for sink, number in gone.items() if number}

    def _make_room(self, sink: str) -> int:
        held, going = self._held[sink], list[tuple[int, int]]()
        events, size = held.events, held.size
        if events <= self.events_kept and size <= self.bytes_kept:
            return 0
        oldest = self._database.execute(
            "SELECT number, length(body) FROM delivery WHERE sink = ? ORDER BY number", (sink,)
        )
        for number, length in oldest:
            if events <= self.events_kept and size <= self.bytes_kept:
                break
            going.append((number, length))
            events, size = events - 1, size - length
        oldest.close()
        self._remove(sink, going)
        return len(going)

    def due(self, sink: str, now: float, limit: int) -> list[Delivery]:
        """What may be sent now, the longest due first."""
        rows = self._read(
            "SELECT id, sink, type, trace, body, made_at, due_at, attempts, number FROM delivery"
            " WHERE sink = ? AND due_at <= ? ORDER BY due_at, number LIMIT ?",
            (sink, now, limit),
        )
        names = ("id", "sink", "type", "trace", "body", "made_at", "due_at", "attempts", "number")
        return [Delivery(**dict(zip(names, row, strict=True))) for row in rows]

    def next_due(self, sink: str) -> float | None:
        """When the next is due; None when none waits."""
        ((due,),) = self._read("SELECT min(due_at) FROM delivery WHERE sink = ?", (sink,))
        return None if due is None else float(due)

    def waiting(self, sink: str) -> int:
        return self._held[sink].events if sink in self._held else 0

    def sinks(self) -> tuple[str, ...]:
        """Those that something waits for."""
        return tuple(sink for sink, held in self._held.items() if held.events)

    def settle(self, delivery: Delivery) -> None:
        """It needs no more attempts, whatever came of them."""
        self._remove(delivery.sink, [(delivery.number, len(delivery.body))])

    def postpone(self, delivery: Delivery, due_at: float) -> None:
        """One more attempt was made, and another is to be."""
        with self._writing():
            self._database.execute(
                "UPDATE delivery SET attempts = attempts + 1, due_at = ? WHERE number = ?", (due_at, delivery.number)
            )

    def clear(self, sink: str) -> int:
        """Nothing of this sink's waits any more; how many did."""
        before = self.waiting(sink)
        with self._writing():
            self._database.execute("DELETE FROM delivery WHERE sink = ?", (sink,))
        self._held.pop(sink, None)
        return before

    def expire(self, made_before: float) -> dict[str, int]:
        """What is older goes; how many of each sink."""
        rows = self._read("SELECT sink, number, length(body) FROM delivery WHERE made_at < ?", (made_before,))
        gone: dict[str, list[tuple[int, int]]] = {}
        for sink, number, length in rows:
            gone.setdefault(sink, []).append((number, length))
        for sink, going in gone.items():
            self._remove(sink, going)
        return {sink: len(going) for sink, going in gone.items()}

    def _remove(self, sink: str, going: Iterable[tuple[int, int]]) -> None:
        removed: list[int] = []
        with self._writing():
            for number, length in going:
                found = self._database.execute("DELETE FROM delivery WHERE number = ?", (number,)).rowcount
                removed += [length] * found  # it may have gone meanwhile, to make room
        held = self._held.get(sink)
        if held is not None:
            held.events, held.size = held.events - len(removed), held.size - sum(removed)

    # Which calls are followed.

    def follow(self, session: str, agent: str) -> int:
        """Notes that this call's events are told; the place of the last one that was."""
        with self._writing():
            self._database.execute("INSERT OR IGNORE INTO followed VALUES (?, ?, 0)", (session, agent))
        ((told,),) = self._read("SELECT told FROM followed WHERE session = ?", (session,))
        return int(told)

    def forget(self, session: str) -> None:
        with self._writing():
            self._database.execute("DELETE FROM followed WHERE session = ?", (session,))

    def followed(self) -> tuple[Followed, ...]:
        rows = self._read("SELECT session, agent, told FROM followed", ())
        return tuple(Followed(session=session, agent=agent, told=told) for session, agent, told in rows)

    def count_up(self, what: str) -> int:
        """The next of these numbers, from 1, over all restarts."""
        with self._writing():
            self._database.execute(
                "INSERT INTO told VALUES (?, 1) ON CONFLICT (what) DO UPDATE SET number = number + 1", (what,)
            )
        ((number,),) = self._read("SELECT number FROM told WHERE what = ?", (what,))
        return int(number)

    def _read(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise OutboxFailed(f"the outbox {self.path} cannot be read: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._database:  # one transaction
                yield
        except sqlite3.Error as error:
            raise OutboxFailed(f"the outbox {self.path} cannot be written: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its WAL gets the same mode
    database = sqlite3.connect(path, timeout=1.0)
    try:
        for pragma in _PRAGMAS:
            database.execute(f"PRAGMA {pragma}").fetchall()
        database.executescript(_SCHEMA)
        ((sound,),) = database.execute("PRAGMA quick_check(1)")
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _move(path: Path, aside: Path) -> None:
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
