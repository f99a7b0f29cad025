"""The audit log's file: one chain a daemon, to which every process of it appends what it does.

Each worker writes its own calls, before and after they are made, under a lock on a file beside the log: what was done
is on record when the process that did it dies, and there is one order of all. A record is one `write`; the page cache
outlives the process, as the journals' does. The lock is held for a read of the last record, when another process wrote
it, and for two writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentd.errors import JournalError
from agentd.runtime.audit_chain import TORN, Head, sealed
from agentd.runtime.messages import AuditSettings

_TAIL_BYTES = 4096


class AuditLog:
    """One process' hand on the log. Raises JournalError from `append` when it cannot be written."""

    def __init__(self, path: Path, *, key: bytes | None = None, max_bytes: int = 0) -> None:
        """`max_bytes`: a larger file is put aside before the next record; 0: never."""
        self._path = path
        self._key = key
        self._max_bytes = max_bytes
        self._known: tuple[int, int, Head] | None = None  # inode and size after what was written here, and the head

    def append(self, body: Mapping[str, Any]) -> Head:
        try:
            with self._locked():
                return self._append(body)
        except OSError as error:
            raise JournalError(f"cannot write {self._path}: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(lock_of(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _append(self, body: Mapping[str, Any]) -> Head:
        head, torn = self._read_head()
        if self._max_bytes and self._size() >= self._max_bytes and not torn:
            self._put_aside()
        data = b""
        if torn:
            data, head = sealed({"kind": TORN, "torn": hashlib.sha256(torn).hexdigest()}, head, self._key)
            data = b"\n" + data
        line, head = sealed(body, head, self._key)
        self._write(data + line)
        self._write_head(head)
        return head

    def _write(self, data: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, "the disk did not take all of it")
            found = os.fstat(fd)
        finally:
            os.close(fd)
        self._known = (found.st_ino, found.st_size, Head())

    def _write_head(self, head: Head) -> None:
        assert self._known is not None
        self._known = (*self._known[:2], head)
        fd = os.open(head_of(self._path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, f"{head.seq:019}:{head.hash}\n".encode(), 0)
        finally:
            os.close(fd)

    def _read_head(self) -> tuple[Head, bytes]:
        """The last record, and bytes after it that are none."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return self._head_elsewhere(), b""
        if self._known is not None and self._known[:2] == (found.st_ino, found.st_size):
            return self._known[2], b""
        head, torn = _head_in(self._path)
        return (head if head.seq else self._head_elsewhere()), torn

    def _head_elsewhere(self) -> Head:
        """Where the file does not tell: a log whose end was taken away does not begin anew."""
        return stored_head(self._path) or _last_aside(self._path)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _put_aside(self) -> None:
        head, _ = _head_in(self._path)
        os.rename(self._path, self._path.with_name(f"{self._path.stem}-{head.seq:020}{self._path.suffix}"))
        self._known = None


def log_of(settings: AuditSettings) -> AuditLog:
    return AuditLog(settings.path, key=settings.key.encode() or None, max_bytes=settings.max_bytes)


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def head_of(path: Path) -> Path:
    """The file that holds the number and hash of the last record."""
    return path.with_name(f"{path.name}.head")


def stored_head(path: Path) -> Head | None:
    """The last record as the file beside the log has it. None without one."""
    try:
        return Head.parse(head_of(path).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def files_of(path: Path) -> list[Path]:
    """Those that were put aside, by the numbers of their last records, then the one that is written."""
    aside = sorted(path.parent.glob(f"{path.stem}-{'[0-9]' * 20}{path.suffix}"))
    return [*aside, path] if path.exists() or not aside else aside


def _last_aside(path: Path) -> Head:
    aside = [each for each in files_of(path) if each != path]
    return _head_in(aside[-1])[0] if aside else Head()


def _head_in(path: Path) -> tuple[Head, bytes]:
    """Read from the file's end; a line that is no record is not gone on from."""
    data, size = b"", path.stat().st_size
    with path.open("rb") as file:
        while len(data) < size:
            step = min(size - len(data), max(_TAIL_BYTES, len(data)))
            file.seek(size - len(data) - step)
            data = file.read(step) + data
            whole, _, torn = data.rpartition(b"\n")
            line = whole.rpartition(b"\n")[2]
            if whole and (b"\n" in whole or len(data) == size):
                try:
                    record = json.loads(line)
                    return Head(int(record["seq"]), str(record["hash"])), torn
                except (ValueError, KeyError, TypeError):
                    break
    return Head(), data.rpartition(b"\n")[2]
