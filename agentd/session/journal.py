"""The journal: one append-only file a session, each record with its length and checksum, mode 0600.

Layout: the line `agentd-journal 1\\n`, then records: length (u32, big endian), CRC-32 of the payload (u32),
payload (UTF-8 JSON array `[seq, at, kind, data]`). A record that is torn or damaged ends the journal, and so do any
bytes that are no record (a power cut can leave zeros): what stands before is intact and is used, what follows is not
trusted.

Written with one `write` a record and no `fsync`: the page cache survives the death of the process, which is
what a rescue needs. A power cut may lose the last records. A write that the disk cuts short is taken back, so that
the records that come when there is space again can be read.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentd.errors import JournalError
from agentd.session.records import Record

HEADER = b"agentd-journal 1\n"
_PREFIX = struct.Struct(">II")
LONGEST_RECORD_BYTES = 4 * 1024 * 1024
_END_BYTES = (4 * 1024, 64 * 1024)  # looked at in turn: little follows the last word of most calls


class Journal:
    """The open journal of a session that runs. One writer a file."""

    def __init__(self, path: Path, fd: int, next_seq: int, size: int) -> None:
        """`size`: bytes of the file's intact part, after which the next record is to stand."""
        self.path = path
        self._fd = fd
        self._next_seq = next_seq
        self._size = size
        self._torn = False  # behind the intact part there may be a piece of a record

    @classmethod
    def create(cls, path: Path) -> Journal:
        """Raises JournalError when the file exists or cannot be made."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot create {path}: {error.strerror}") from error
        journal = cls(path, fd, 0, 0)
        try:
            journal._write(HEADER)
        except JournalError:
            journal.close()
            with suppress(OSError):
                path.unlink()
            raise
        return journal

    @classmethod
    def reopen(cls, path: Path) -> tuple[Journal, list[Record]]:
        """Goes on with an earlier incarnation's journal: cuts a damaged end off. Raises JournalError."""
        records, intact_bytes = _scan(path)
        try:
            os.truncate(path, intact_bytes)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"cannot reopen {path}: {error.strerror}") from error
        journal = cls(path, fd, len(records), intact_bytes)
        if not intact_bytes:  # its process died before it had written the header
            try:
                journal._write(HEADER)
            except JournalError:
                journal.close()
                raise
        return journal, records

    def append(self, kind: str, data: Mapping[str, Any]) -> Record:
        """Raises JournalError when the record could not be written whole: then nothing of it stays in the file."""
        record = Record(seq=self._next_seq, at=time.time(), kind=kind, data=data)
        text = json.dumps([record.seq, record.at, kind, data], ensure_ascii=False, default=str)
        payload = text.encode(errors="backslashreplace")  # half a surrogate pair, as JSON writes it
        if len(payload) > LONGEST_RECORD_BYTES:
            raise JournalError(f"cannot write {self.path}: a record of {len(payload)} bytes is too long")
        self._write(_PREFIX.pack(len(payload), zlib.crc32(payload)) + payload)
        self._next_seq += 1
        return record

    def _write(self, entry: bytes) -> None:
        """All of it, or nothing. Raises JournalError."""
        try:
            if self._torn:
                self._take_back()
            self._torn = True
            written = os.write(self._fd, entry)
            if written != len(entry):
                self._take_back()
                raise JournalError(f"cannot write {self.path}: the disk took {written} of {len(entry)} bytes")
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}") from error
        self._torn = False
        self._size += len(entry)

    def _take_back(self) -> None:
        """What an interrupted write left behind the last whole record. Raises OSError; the next write tries again."""
        os.ftruncate(self._fd, self._size)
        self._torn = False

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
                data = file.read(2 * LONGEST_RECORD_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(f"cannot read {self.path}: {error.strerror}") from error
        at = 0
        if self._at == 0:
            at = _after_header(data, self.path)
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


def tells_at_its_end(path: Path, kind: str) -> bool:
    """Whether an intact record of this kind begins and ends in the last 64 KiB; nothing before them is read.

    It is found by its bytes: in JSON no text can hold its kind in quotes, and a list that does has no length and
    checksum before it. Raises JournalError when the file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            for length in _END_BYTES:
                file.seek(max(0, size - length))
                if _holds(file.read(length), kind):
                    return True
                if length >= size:
                    break
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    return False


def _holds(data: bytes, kind: str) -> bool:
    mark = f', "{kind}", '.encode()
    at = data.rfind(mark)
    while at >= 0:
        begin = data.rfind(b"[", 0, at)
        if begin >= _PREFIX.size:
            length, checksum = _PREFIX.unpack_from(data, begin - _PREFIX.size)
            payload = data[begin : begin + length]
            if begin + length > at and len(payload) == length and zlib.crc32(payload) == checksum:
                return True
        at = data.rfind(mark, 0, at)
    return False


def _scan(path: Path) -> tuple[list[Record], int]:
    """The intact records, and how many bytes of the file they take."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error.strerror}") from error
    records: list[Record] = []
    at = _after_header(data, path)
    while (record_and_end := _record_at(data, at, len(records))) is not None:
        record, at = record_and_end
        records.append(record)
    return records, at


def _after_header(data: bytes, path: Path) -> int:
    """Where the first record is to stand; 0 where the header is not whole yet. Raises JournalError for another file."""
    if data.startswith(HEADER):
        return len(HEADER)
    if HEADER.startswith(data):
        return 0
    raise JournalError(f"{path} is not a session journal of this version")


def _record_at(data: bytes, at: int, expected_seq: int) -> tuple[Record, int] | None:
    """The record and where it ends; None: there is none, or none that is whole."""
    if len(data) - at < _PREFIX.size:
        return None
    length, checksum = _PREFIX.unpack_from(data, at)
    begin, end = at + _PREFIX.size, at + _PREFIX.size + length
    if not 0 < length <= LONGEST_RECORD_BYTES or end > len(data) or zlib.crc32(data[begin:end]) != checksum:
        return None
    record = _record_of(data[begin:end])
    return (record, end) if record is not None and record.seq == expected_seq else None


def _record_of(payload: bytes) -> Record | None:
    """None: it is no record, though its checksum is right."""
    try:
        match json.loads(payload):
            case [int(seq), int() | float() as at, str(kind), dict(fields)]:
                return Record(seq=seq, at=at, kind=kind, data=fields)
    except (ValueError, RecursionError):
        pass
    return None
