"""The state directory: its lock, and the sessions' journals in it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import AgentdError, JournalError
from agentd.session.journal import Journal, read_journal, tells_at_its_end
from agentd.session.records import Record
from agentd.session.restore import Restored, restore

SUFFIX = ".journal"
ENDED = "session.ended"


class StateDirectoryBusy(AgentdError):
    """Another daemon holds the state directory."""


@contextmanager
def locked(directory: Path, handed: int | None = None) -> Iterator[int]:
    """Holds the state directory for this process. The lock ends with the process, however it ends.

    Gives the descriptor that holds it. `handed`: the one that this process held before it was upgraded.

    Raises StateDirectoryBusy with the holder's pid, OSError when the directory cannot be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if handed is not None and os.path.sameopenfile(fd, handed):
        os.close(fd)
        fd = handed
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            raise StateDirectoryBusy(
                f"another agentd (pid {holder}) holds {directory}: stop it, or set another directory in `store`"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield fd
    finally:
        os.close(fd)


def journal_path(directory: Path, session: str) -> Path:
    return directory / "sessions" / f"{session}{SUFFIX}"


def session_of(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def sessions_in(directory: Path) -> list[str]:
    """The ids of all journals, ended ones too; none where there is no such directory or it may not be read."""
    return sorted(session_of(path) for path in (directory / "sessions").glob(f"*{SUFFIX}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFile:
    """`written_at`: unix time of the last record; `size`: in bytes."""

    path: Path
    written_at: float
    size: int


def journal_files(directory: Path) -> list[JournalFile]:
    """All journals, ended ones too, the last written first. None of them is opened."""
    found = []
    with suppress(FileNotFoundError, PermissionError), os.scandir(directory / "sessions") as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with suppress(FileNotFoundError):  # somebody removes old ones meanwhile
                    stat = entry.stat()
                    found.append(JournalFile(path=Path(entry.path), written_at=stat.st_mtime, size=stat.st_size))
    return sorted(found, key=lambda each: each.written_at, reverse=True)


def open_journal(path: Path) -> tuple[Journal, Restored | None]:
    """A new journal; or an earlier incarnation's, and what it tells if there is anything in it. Raises JournalError."""
    if not path.exists():
        return Journal.create(path), None
    journal, records = Journal.reopen(path)
    return journal, restore(records) if records else None


def mark_ended(path: Path, reason: str) -> None:
    """Closes the journal of a session that ended without writing so itself. Best effort: the call is over anyway."""
    with suppress(JournalError):
        journal, records = Journal.reopen(path)
        try:
            if not any(record.kind == ENDED for record in records):
                began = records[0].at if records else time.time()
                journal.append(ENDED, {"reason": reason, "duration_s": round(time.time() - began, 3)})
        finally:
            journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A session that a journal leaves open: its process died, or the whole daemon did."""

    session: str
    path: Path
    started: Record
    requested: Record | None
    last_at: float  # unix time
    incarnations: int


def unfinished(path: Path) -> Unfinished | None:
    """The call that a journal leaves open; None: it has ended, or has never begun. Of one that has ended only the end
    is read. Raises JournalError."""
    if tells_at_its_end(path, ENDED):
        return None
    records = read_journal(path)
    started = next((record for record in records if record.kind == "session.started"), None)
    if started is None or any(record.kind == ENDED for record in records):
        return None
    resumed = sum(record.kind == "session.resumed" for record in records)
    return Unfinished(
        session=session_of(path),
        path=path,
        started=started,
        requested=next((record for record in records if record.kind == "session.requested"), None),
        last_at=records[-1].at,
        incarnations=1 + resumed,
    )
