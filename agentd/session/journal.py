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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.errors import JournalError
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
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
        payload = json.dumps([record.seq, record.at, kind, data], ensure_ascii=False, default=str).encode()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A conversation as its journal tells it.

    `unsaid`: sentences of the reply under way that the caller has not heard to their end.
    `caller_was_speaking`: words may have been lost with the process.
    `reply_owed`: the caller's last turn has no answer yet.
    """

    items: tuple[ChatItem, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    turns: int = 0
    replies: int = 0
    unsaid: tuple[str, ...] = ()
    caller_was_speaking: bool = False
    reply_owed: bool = False
    last_record_at: float = 0.0
    started_at: float = 0.0
    ended: bool = False


def restore(records: Iterable[Record]) -> Restored:
    """Rebuilds the conversation: only what was heard is in it, and every tool call has its result."""
    restoring = _Restoring()
    for record in records:
        restoring.take(record)
    return restoring.result()


@dataclass(slots=True)
class _Restoring:
    """The fold over the records: `pending` are the sentences of the current reply that are not yet heard;
    `mergeable`: the next words belong to the same message as the last."""

    items: list[ChatItem] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    open_calls: dict[str, str] = field(default_factory=dict)  # call id -> tool name
    pending: dict[int, str] = field(default_factory=dict)
    mergeable: bool = False
    turns: int = 0
    replies: int = 0
    speaking: bool = False
    owed: bool = False
    last_at: float = 0.0
    started_at: float = 0.0
    ended: bool = False

    def take(self, record: Record) -> None:
        self.last_at = record.at
        handler = getattr(self, "on_" + record.kind.replace(".", "_"), None)
        if handler is not None:
            handler(record.data)

    def on_session_started(self, data: Mapping[str, Any]) -> None:
        self.started_at = self.last_at
        self.variables.update(data.get("variables", {}))

    def on_session_ended(self, data: Mapping[str, Any]) -> None:
        self.ended = True

    def on_variables(self, data: Mapping[str, Any]) -> None:
        self.variables.update(data["values"])

    def on_speech_started(self, data: Mapping[str, Any]) -> None:
        self.speaking = True

    def on_turn_user(self, data: Mapping[str, Any]) -> None:
        self.speaking = False
        self.turns = data["turn"]
        self.items.append(Message(role="user", text=data["text"]))
        self.owed = True

    def on_reply_started(self, data: Mapping[str, Any]) -> None:
        self.replies = data["reply"]
        self.mergeable = False

    def on_segment_started(self, data: Mapping[str, Any]) -> None:
        self.pending[data["segment"]] = data["text"]

    def on_segment_heard(self, data: Mapping[str, Any]) -> None:
        self.pending.pop(data["segment"], None)
        self._say(data["text"], interrupted=data.get("interrupted", False))
        self.owed = False

    def on_turn_agent(self, data: Mapping[str, Any]) -> None:
        self.pending.clear()
        self.owed = False

    def on_tool_called(self, data: Mapping[str, Any]) -> None:
        self.mergeable = False
        self.items.append(ToolCall(id=data["id"], name=data["name"], arguments=data["arguments"]))
        self.open_calls[data["id"]] = data["name"]

    def on_tool_completed(self, data: Mapping[str, Any]) -> None:
        self.open_calls.pop(data["id"], None)
        self.items.append(
            ToolResult(call_id=data["id"], name=data["name"], content=data["content"], is_error=data["is_error"])
        )

    def _say(self, text: str, *, interrupted: bool) -> None:
        """Adds heard words, ahead of any call that still waits for its result: models want the two side by side."""
        waiting = (i for i, item in enumerate(self.items) if isinstance(item, ToolCall) and item.id in self.open_calls)
        at = next(waiting, len(self.items))
        before = self.items[at - 1] if at else None
        if self.mergeable and isinstance(before, Message) and before.role == "assistant":
            self.items[at - 1] = Message(role="assistant", text=f"{before.text} {text}", interrupted=interrupted)
        else:
            self.items.insert(at, Message(role="assistant", text=text, interrupted=interrupted))
        self.mergeable = True

    def result(self) -> Restored:
        for call_id, name in self.open_calls.items():
            lost = "The outcome of this call is unknown: the process that made it ended. Do not assume that it failed."
            self.items.append(ToolResult(call_id=call_id, name=name, content=lost, is_error=True))
        unsaid = tuple(text for _, text in sorted(self.pending.items()))
        return Restored(
            items=tuple(self.items),
            variables=self.variables,
            turns=self.turns,
            replies=self.replies,
            unsaid=unsaid,
            caller_was_speaking=self.speaking,
            reply_owed=self.owed and not unsaid,
            last_record_at=self.last_at,
            started_at=self.started_at,
            ended=self.ended,
        )
