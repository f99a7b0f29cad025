"""What was used in a day, on disk: budgets hold over restarts.

SQLite in the state directory, mode 0600, written by the supervisor alone; see `agentd.runtime.outbox` for the pragmas.
It holds callers' identities, which may be phone numbers, and forgets them after `DAYS_KEPT`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from agentd.errors import AgentdError

DAYS_KEPT = 7
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    day TEXT NOT NULL, agent TEXT NOT NULL, caller TEXT NOT NULL,
    tokens INTEGER NOT NULL, seconds REAL NOT NULL, cost REAL NOT NULL, PRIMARY KEY (day, agent, caller)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            tokens=self.tokens + other.tokens, seconds=self.seconds + other.seconds, cost=self.cost + other.cost
        )


Account = tuple[str, str]
"""(agent, identity of the caller); "" for all callers together."""


class LedgerFailed(AgentdError):
    """The disk does not take it, or the file cannot be used."""


class Ledger:
    """Raises LedgerFailed, from every method. Nothing is opened before the first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def read(self, day: str) -> Mapping[Account, Spent]:
        """Of a day that was never written to: nothing."""
        if self._connection is None and not self._path.exists():
            return {}
        try:
            rows = self._opened().execute(
                "SELECT agent, caller, tokens, seconds, cost FROM spent WHERE day = ?", (day,)
            )
            return {(row[0], row[1]): Spent(tokens=row[2], seconds=row[3], cost=row[4]) for row in rows}
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def write(self, day: str, accounts: Iterable[tuple[Account, Spent]]) -> None:
        rows = [(day, *account, spent.tokens, spent.seconds, spent.cost) for account, spent in accounts]
        oldest = (date.fromisoformat(day) - timedelta(days=DAYS_KEPT)).isoformat()
        try:
            with self._opened() as connection:
                connection.executemany("INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?, ?, ?)", rows)
                connection.execute("DELETE FROM spent WHERE day < ?", (oldest,))
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self._path)
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "journal_size_limit=4194304"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection

    def _failure(self, error: Exception) -> LedgerFailed:
        return LedgerFailed(f"{self._path} cannot be used: {error}")
