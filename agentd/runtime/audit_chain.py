"""The audit log's records and the chain that holds them together. Pure.

A record is one line of JSON: `seq` (from 1), `prev` (the hash of the record before, zeros for the first), what was
done, and last its own `hash`: SHA-256 of the line up to there, or HMAC-SHA256 where there is a key. So no record can be
edited, taken out, put in or moved without breaking the chain behind it; and with a key nobody who has not that key can
make it whole again. The end of the chain is held by a head: the number and hash of a record that was there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING = "0" * 64
_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}')
TORN = "audit.torn"
"""Kind of the record that stands after bytes which no write finished: a power cut's, found by the next writer."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last record: its number and its hash."""

    seq: int = 0
    hash: str = NOTHING

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Raises ValueError."""
        match = re.fullmatch(r"([0-9]{1,19}):([0-9a-f]{64})", text.strip())
        if match is None:
            raise ValueError(f'"{text.strip()[:80]}" is no head: NUMBER:HASH, as agentd audit head prints it')
        return cls(int(match[1]), match[2])


def digest(data: bytes, key: bytes | None) -> str:
    return (hmac.new(key, data, hashlib.sha256) if key else hashlib.sha256(data)).hexdigest()


def sealed(body: Mapping[str, Any], after: Head, key: bytes | None) -> tuple[bytes, Head]:
    """The line of the record that follows, and the head that it becomes."""
    record = {"seq": after.seq + 1, "prev": after.hash, **body}
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":"), default=str).encode()
    opened = text.removesuffix(b"}")
    head = Head(after.seq + 1, digest(opened, key))
    return opened + f',"hash":"{head.hash}"}}\n'.encode(), head


@dataclass(frozen=True, slots=True)
class Broken:
    """`line` counts from 1 in the file; 0: it is about the file or the chain as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(slots=True)
class Verified:
    """`records`: all that are intact, in order. `broken`: everything that is wrong."""

    first: int = 0
    head: Head = field(default_factory=Head)
    records: list[dict[str, Any]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def verify(
    files: Iterable[tuple[str, bytes]],
    key: bytes | None = None,
    heads: Iterable[Head] = (),
    *,
    partial: bool = False,
) -> Verified:
    """Checks the files of one log, the oldest first, against heads that are known from elsewhere.

    `partial`: earlier files may have been taken away.
    """
    found = Verified()
    hashes: dict[int, str] = {}
    last = ""
    for name, data in files:
        last = name
        _read(name, data, key, found, hashes)
    if found.first > 1 and not partial:
        found.broken.append(Broken(last, 0, f"the records 1 to {found.first - 1} are not here"))
    for head in heads:
        if head.seq and (head.seq >= found.first or not partial) and hashes.get(head.seq) != head.hash:
            what = "is not as it was" if head.seq in hashes else "is gone: the log was cut"
            found.broken.append(Broken(last, 0, f"the record {head.seq}, which a head names, {what}"))
    return found


def _read(name: str, data: bytes, key: bytes | None, found: Verified, hashes: dict[int, str]) -> None:
    lines = data.split(b"\n")
    torn = b""
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            if line:
                found.broken.append(Broken(name, number, "the last record has no end"))
            return
        record = _record(line, key)
        if record is None:
            following = _record(lines[number], key) if number + 1 < len(lines) else None
            if following is not None and _is_torn(following[0], line):
                torn = line
                continue
            found.broken.append(Broken(name, number, _fault(line)))
            continue
        if record[0].get("kind") == TORN and not torn:
            found.broken.append(Broken(name, number, "what was torn before this record is not here"))
        torn = b""
        _link(Broken(name, number, ""), *record, found, hashes)


def _link(at: Broken, record: dict[str, Any], line_hash: str, found: Verified, hashes: dict[int, str]) -> None:
    seq, prev, head = record["seq"], record["prev"], found.head
    if not found.first:
        found.first = seq
        if seq == 1 and prev != NOTHING:
            found.broken.append(Broken(at.file, at.line, "the first record names one before it"))
    elif seq != head.seq + 1:
        what = f"record {seq} stands where {head.seq + 1} belongs: records were taken out, put in or moved"
        found.broken.append(Broken(at.file, at.line, what))
    elif prev != head.hash:
        found.broken.append(Broken(at.file, at.line, f"record {seq} does not follow the {head.seq} that stands here"))
    found.records.append(record)
    found.head = Head(seq, line_hash)
    hashes[seq] = line_hash


def _record(line: bytes, key: bytes | None) -> tuple[dict[str, Any], str] | None:
    """The record and its hash; None for a line whose hash is not its own."""
    match = _LINE.fullmatch(line)
    if match is None or not hmac.compare_digest(digest(match[1], key), match[2].decode()):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    good = isinstance(record, dict) and isinstance(record.get("seq"), int) and isinstance(record.get("prev"), str)
    return (record, match[2].decode()) if good else None


def _is_torn(following: Mapping[str, Any], line: bytes) -> bool:
    return following.get("kind") == TORN and following.get("torn") == hashlib.sha256(line).hexdigest()


def _fault(line: bytes) -> str:
    match = re.match(rb'\{"seq":([0-9]{1,19}),', line)
    named = f"record {match[1].decode()}" if match else "this line"
    return f"{named} is not as it was written (its hash is another, or the key is)"
