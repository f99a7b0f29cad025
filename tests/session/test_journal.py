"""The journal: what was written is what is read, whatever happened to the file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agentd.errors import JournalError
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.session.journal import Journal, read_journal, restore
from agentd.session.records import Record


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


def _records(*entries: tuple[str, dict[str, object]]) -> list[Record]:
    return [Record(seq=i, at=1000.0 + i, kind=kind, data=data) for i, (kind, data) in enumerate(entries)]


def _heard(segment: int, text: str, *, interrupted: bool = False) -> tuple[str, dict[str, object]]:
    return ("segment.heard", {"reply": 1, "segment": segment, "text": text, "interrupted": interrupted})


def _started(segment: int, text: str) -> tuple[str, dict[str, object]]:
    return ("segment.started", {"reply": 1, "segment": segment, "text": text})


USER = ("turn.user", {"turn": 1, "text": "Book a table."})
REPLY = ("reply.started", {"reply": 1, "turn": 1, "purpose": "answer"})


def test_only_what_was_heard_is_restored_and_the_rest_is_unsaid() -> None:
    restored = restore(
        _records(USER, REPLY, _started(0, "One."), _started(1, "Two."), _started(2, "Three."), _heard(0, "One."))
    )
    assert restored.items == (
        Message(role="user", text="Book a table."),
        Message(role="assistant", text="One."),
    )
    assert restored.unsaid == ("Two.", "Three.")
    assert not restored.reply_owed


def test_a_turn_without_answer_is_owed_one() -> None:
    assert restore(_records(USER, REPLY)).reply_owed
    done = ("turn.agent", {"reply": 1, "turn": 1, "text": "", "interrupted": True})
    assert not restore(_records(USER, REPLY, done)).reply_owed


def test_speech_that_was_never_committed_is_remembered_as_lost() -> None:
    restored = restore(_records(USER, ("speech.started", {"at_s": 3})))
    assert restored.caller_was_speaking


def test_words_heard_while_a_tool_ran_stand_before_its_call() -> None:
    restored = restore(
        _records(
            USER,
            REPLY,
            ("tool.called", {"id": "a", "name": "book", "arguments": "{}"}),
            _heard(0, "One moment."),
            ("tool.completed", {"id": "a", "name": "book", "content": "booked", "is_error": False}),
            _heard(1, "Done."),
        )
    )
    assert restored.items[1:] == (
        Message(role="assistant", text="One moment."),
        ToolCall(id="a", name="book", arguments="{}"),
        ToolResult(call_id="a", name="book", content="booked"),
        Message(role="assistant", text="Done."),
    )


def test_a_tool_that_was_running_is_not_forgotten() -> None:
    restored = restore(_records(USER, REPLY, ("tool.called", {"id": "a", "name": "book", "arguments": "{}"})))
    last = restored.items[-1]
    assert isinstance(last, ToolResult)
    assert last.call_id == "a"
    assert "unknown" in last.content


def test_variables_and_the_end_are_restored() -> None:
    restored = restore(
        _records(
            ("session.started", {"variables": {"a": 1, "b": 1}}),
            ("variables", {"values": {"b": 2}}),
            ("session.ended", {"reason": "caller_left"}),
        )
    )
    assert restored.variables == {"a": 1, "b": 2}
    assert restored.ended
    assert restored.started_at == 1000.0
