"""The journal: one append-only file a session, each record with its length and checksum, mode 0600.

Layout: the line `agentd-journal 1\\n`, then records: length (u32, big endian), CRC-32 of the payload (u32),
payload (UTF-8 JSON array `[seq, at, kind, data]`). A record that is torn or damaged ends the journal: what
stands before it is intact and is used, what follows is not trusted.

Written with one `write` a record and no `fsync`: the page cache survives the death of the process, which is
what a rescue needs. A power cut may lose the last records.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentd.errors import JournalError
from agentd.session.records import Record

HEADER = b"agentd-journal 1\n"
_PREFIX = struct.Struct(">II")
_LONGEST_RECORD_BYTES = 4 * 1024 * 1024


class Journal:
    """The open journal of a session that runs. One writer a file."""

    def __init__(self, path: Path, fd: int, next_seq: int) -> None:
        self.path = path
        self._fd = fd
        self._next_seq = next_seq

    @classmethod
    def create(cls, path: Path) -> Journal:
        """Raises JournalError when the file exists or cannot be made."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(fd, HEADER)
        except OSError as error:
            raise JournalError(f"cannot create {path}: {error.strerror}") from error
        return cls(path, fd, 0)

    @classmethod
    def reopen(cls, path: Path) -> tuple[Journal, list[Record]]:
        """Goes on with an earlier incarnation's journal: cuts a damaged end off. Raises JournalError."""
        records, intact_bytes = _scan(path)
        try:
            os.truncate(path, intact_bytes)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"cannot reopen {path}: {error.strerror}") from error
        return cls(path, fd, records[-1].seq + 1 if records else 0), records

    def append(self, kind: str, data: Mapping[str, Any]) -> Record:
        """Raises JournalError when the record could not be written whole."""
        record = Record(seq=self._next_seq, at=time.time(), kind=kind, data=data)
        text = json.dumps([record.seq, record.at, kind, data], ensure_ascii=False, default=str)
        payload = text.encode(errors="backslashreplace")  # half a surrogate pair, as JSON writes it
        entry = _PREFIX.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            written = os.write(self._fd, entry)
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}") from error
        if written != len(entry):
            raise JournalError(f"cannot write {self.path}: the disk took {written} of {len(entry)} bytes")
        self._next_seq += 1
        return record

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class JournalTail:
    """Reads a journal that another process writes: each time what has come since the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._next_seq = 0

    def read(self) -> list[Record]:
        """At most some MiB of it: whoever wants all reads until there is nothing. A record that is not whole yet comes
        the next time; there is nothing while there is no file. Raises JournalError."""
        try:
            if self.path.stat().st_size <= self._at:
                return []
            with self.path.open("rb") as file:
                file.seek(self._at)
                data = file.read(2 * _LONGEST_RECORD_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"cannot read {self.path}: {error.strerror}") from error
        at = 0
        if self._at == 0:
            if len(data) >= len(HEADER) and not data.startswith(HEADER):
                raise JournalError(f"{self.path} is not a session journal of this version")
            at = len(HEADER)
        records: list[Record] = []
        while (record_and_end := _record_at(data, at, self._next_seq)) is not None:
            record, at = record_and_end
            records.append(record)
            self._next_seq += 1
        if records:
            self._at += at
        return records


def read_journal(path: Path) -> list[Record]:
    """Every intact record. Raises JournalError when it is no journal or cannot be read."""
    return _scan(path)[0]


def _scan(path: Path) -> tuple[list[Record], int]:
    """The intact records, and how many bytes of the file they take."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    if not data.startswith(HEADER):
        raise JournalError(f"{path} is not a session journal of this version")
    records: list[Record] = []
    at = len(HEADER)
    while (record_and_end := _record_at(data, at, len(records))) is not None:
        record, at = record_and_end
        records.append(record)
    return records, at


def _record_at(data: bytes, at: int, expected_seq: int) -> tuple[Record, int] | None:
    if len(data) - at < _PREFIX.size:
        return None
    length, checksum = _PREFIX.unpack_from(data, at)
    begin, end = at + _PREFIX.size, at + _PREFIX.size + length
    if length > _LONGEST_RECORD_BYTES or end > len(data) or zlib.crc32(data[begin:end]) != checksum:
        return None
    seq, unix_time, kind, fields = json.loads(data[begin:end])
    if seq != expected_seq:
        return None
    return Record(seq=seq, at=unix_time, kind=kind, data=fields), end
