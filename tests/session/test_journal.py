"""The journal: what was written is what is read, whatever happened to the file."""

from __future__ import annotations

import json
import resource
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentd.errors import JournalError
from agentd.session.journal import (
    HEADER,
    LONGEST_RECORD_BYTES,
    Journal,
    JournalTail,
    read_journal,
    tells_at_its_end,
)


def _write(path: Path, count: int) -> None:
    journal = Journal.create(path)
    for number in range(count):
        journal.append("turn.user", {"turn": number + 1, "text": f"text {number} é"})
    journal.close()


def test_records_come_back_in_order_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.journal"
    _write(path, 3)
    assert [(r.seq, r.data["text"]) for r in read_journal(path)] == [(n, f"text {n} é") for n in range(3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_is_never_overwritten(tmp_path: Path) -> None:
    _write(tmp_path / "a.journal", 1)
    with pytest.raises(JournalError, match="File exists"):
        Journal.create(tmp_path / "a.journal")


def test_truncation_at_every_byte_loses_only_what_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    _write(path, 4)
    whole = path.read_bytes()
    ends = _ends(whole)
    for length in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:length])
        assert len(read_journal(path)) == sum(1 for end in ends[1:] if end <= length)


def test_a_flipped_bit_anywhere_never_yields_a_false_record(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    _write(path, 4)
    whole = path.read_bytes()
    originals = read_journal(path)
    ends = _ends(whole)
    for at in range(ends[0], len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(bytes(damaged))
        intact = sum(1 for end in ends[1:] if end <= at)
        assert read_journal(path) == originals[:intact]


def _ends(whole: bytes) -> list[int]:
    """Where the header and each record end."""
    ends = [whole.index(b"\n") + 1]
    while ends[-1] < len(whole):
        ends.append(ends[-1] + 8 + int.from_bytes(whole[ends[-1] : ends[-1] + 4], "big"))
    return ends


def test_reopening_goes_on_after_the_last_intact_record(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    _write(path, 2)
    with path.open("ab") as file:
        file.write(b"\0\0\0\x50torn")
    journal, records = Journal.reopen(path)
    journal.append("turn.user", {"turn": 3, "text": "third"})
    journal.close()
    assert [r.seq for r in records] == [0, 1]
    assert [r.seq for r in read_journal(path)] == [0, 1, 2]


def test_another_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    (tmp_path / "a.journal").write_text("hello")
    with pytest.raises(JournalError, match="not a session journal"):
        read_journal(tmp_path / "a.journal")


def test_half_of_a_surrogate_pair_is_written_and_read(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "s.journal")
    journal.append("turn.user", {"text": "a\ud800b"})
    assert read_journal(tmp_path / "s.journal")[0].data["text"] == "a\ud800b"


def _entry(payload: bytes) -> bytes:
    """With its true length and checksum."""
    return struct.pack(">II", len(payload), zlib.crc32(payload)) + payload


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(bytes(8), id="zeros"),
        pytest.param(bytes(4096), id="a page of zeros"),
        pytest.param(_entry(b""), id="empty"),
        pytest.param(_entry(b"not json"), id="no json"),
        pytest.param(_entry(b"\xff\xfe"), id="no text"),
        pytest.param(_entry(b"[" * 100_000), id="too deep"),
        pytest.param(_entry(b"9" * 5_000), id="a number without end"),
        pytest.param(_entry(b"{}"), id="an object"),
        pytest.param(_entry(b"[2, 0.5]"), id="too few"),
        pytest.param(_entry(b'["2", 0.5, "turn.user", {}]'), id="a number that is text"),
        pytest.param(_entry(b'[2, null, "turn.user", {}]'), id="no time"),
        pytest.param(_entry(b'[2, 0.5, "turn.user", []]'), id="fields that are none"),
    ],
)
def test_a_journal_ends_at_bytes_that_are_no_record(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.journal"
    _write(path, 2)
    with path.open("ab") as file:
        file.write(end + _entry(json.dumps([2, 0.5, "turn.user", {}]).encode()))
    assert [record.seq for record in read_journal(path)] == [0, 1]
    assert [record.seq for record in JournalTail(path).read()] == [0, 1]
    journal, records = Journal.reopen(path)
    journal.append("turn.user", {"turn": 3})
    journal.close()
    assert len(records) == 2
    assert [record.seq for record in read_journal(path)] == [0, 1, 2]


@pytest.mark.parametrize("length", range(len(HEADER)))
def test_a_process_that_died_before_the_header_was_whole_leaves_an_empty_journal(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(HEADER[:length])
    assert read_journal(path) == JournalTail(path).read() == []
    journal, _ = Journal.reopen(path)
    journal.append("turn.user", {"turn": 1})
    journal.close()
    assert [record.seq for record in read_journal(path)] == [0]


@contextmanager
def _disk_full(path: Path, more_bytes: int) -> Iterator[None]:
    """The file takes this many more bytes and then none: the kernel cuts the write that goes beyond them short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((path.stat().st_size if path.exists() else 0) + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("takes", [0, 1, 7, 8, 30])
def test_f33_what_a_full_disk_cut_short_is_taken_back_and_the_journal_goes_on(tmp_path: Path, takes: int) -> None:
    path = tmp_path / "a.journal"
    journal = Journal.create(path)
    journal.append("turn.user", {"text": "before"})
    tail = JournalTail(path)
    tail.read()
    for _ in range(2):
        with _disk_full(path, takes), pytest.raises(JournalError):
            journal.append("turn.user", {"text": "this is longer than what the disk takes"})
        assert [record.data["text"] for record in read_journal(path)] == ["before"]
    journal.append("turn.user", {"text": "after"})
    journal.close()
    assert [(record.seq, record.data["text"]) for record in read_journal(path)] == [(0, "before"), (1, "after")]
    assert [record.data["text"] for record in tail.read()] == ["after"]


def test_f33_what_could_not_be_taken_back_at_once_is_before_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.journal"
    journal = Journal.create(path)

    def fail(fd: int, length: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("agentd.session.journal.os.ftruncate", fail)
        with _disk_full(path, 9), pytest.raises(JournalError, match="Input/output"):
            journal.append("turn.user", {"text": "torn"})
        with pytest.raises(JournalError, match="Input/output"):
            journal.append("turn.user", {"text": "not behind torn bytes"})
    journal.append("turn.user", {"text": "after"})
    journal.close()
    assert [record.data["text"] for record in read_journal(path)] == ["after"]


def test_a_record_that_is_too_long_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal.create(path)
    with pytest.raises(JournalError, match="too long"):
        journal.append("turn.user", {"text": "x" * LONGEST_RECORD_BYTES})
    assert path.read_bytes() == HEADER
    journal.append("turn.user", {"text": "after"})
    assert [record.data["text"] for record in read_journal(path)] == ["after"]


def test_a_journal_that_a_full_disk_does_not_let_begin_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with _disk_full(path, 5), pytest.raises(JournalError):
        Journal.create(path)
    assert not path.exists()


def _ended(path: Path) -> Path:
    _write(path, 3)
    journal, _ = Journal.reopen(path)
    journal.append("session.ended", {"reason": "caller_left", "duration_s": 1.5})
    journal.close()
    return path


def test_the_end_tells_whether_the_call_is_over(tmp_path: Path) -> None:
    ended = _ended(tmp_path / "a.journal")
    assert tells_at_its_end(ended, "session.ended")
    journal, _ = Journal.reopen(ended)
    journal.append("hook", {"text": "é" * 4000})  # what still went on then
    journal.close()
    assert tells_at_its_end(ended, "session.ended")
    _write(tmp_path / "b.journal", 3)
    assert not tells_at_its_end(tmp_path / "b.journal", "session.ended")
    with pytest.raises(JournalError, match="cannot read"):
        tells_at_its_end(tmp_path / "none.journal", "session.ended")


def test_what_somebody_says_of_an_end_is_none(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "a.journal")
    said = '[9, 1.5, "session.ended", {"reason": "caller_left"}]'
    journal.append("turn.user", {"text": said, "raw": [9, 1.5, "session.ended", {"reason": said}]})
    journal.close()
    assert not tells_at_its_end(tmp_path / "a.journal", "session.ended")


def test_an_end_that_is_torn_or_damaged_is_none(tmp_path: Path) -> None:
    path = _ended(tmp_path / "a.journal")
    whole = path.read_bytes()
    last = _ends(whole)[-2]
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        assert not tells_at_its_end(path, "session.ended")
    for at in range(last, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(bytes(damaged))
        assert not tells_at_its_end(path, "session.ended")
