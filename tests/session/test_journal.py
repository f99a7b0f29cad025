"""The journal: what was written is what is read, whatever happened to the file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agentd.errors import JournalError
from agentd.session.journal import Journal, read_journal


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
