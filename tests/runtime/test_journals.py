"""The journals that calls have left: found among thousands that ended, read no further than need be, and kept as long
as they shall be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.runtime.cold import left_open
from agentd.runtime.journals import journal_files, journal_path, mark_ended, unfinished
from agentd.runtime.retention import Retention
from agentd.session.journal import Journal, read_journal

CALLS = 3_000
IO = Path("/proc/self/io")
DAY_S = 86_400.0


def written(path: Path, *, turns: int = 1, ended: bool = True) -> Path:
    journal = Journal.create(path)
    journal.append("session.started", {"agent": "desk", "room": "ward-7", "job_id": "J-1"})
    for turn in range(turns):
        journal.append("turn.user", {"turn": turn + 1, "text": "Is there a table for two on Friday? " * 4})
    journal.close()
    if ended:
        mark_ended(path, "caller_left")
    return path


def aged(path: Path, days: float) -> Path:
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))
    return path


def bytes_read() -> int:
    """By this process, of files and else, whatever made it read them."""
    return int(IO.read_text().splitlines()[0].removeprefix("rchar: "))


@pytest.mark.skipif(not IO.exists(), reason="only Linux counts what a process reads")
async def test_of_thousands_of_calls_that_ended_only_the_ends_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = written(journal_path(tmp_path, "s-0"), turns=100)
    for number in range(1, CALLS):
        os.link(one, journal_path(tmp_path, f"s-{number}"))
    open_turns = 7
    written(journal_path(tmp_path, "s-open"), turns=open_turns, ended=False)
    parsed: list[Any] = []
    loads = json.loads

    def counted(text: bytes) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr("agentd.session.journal.json.loads", counted)
    all_bytes, before = CALLS * one.stat().st_size, bytes_read()
    found = [each.session async for each in left_open([file.path for file in journal_files(tmp_path)])]
    assert found == ["s-open"]
    assert len(parsed) == 1 + open_turns
    assert bytes_read() - before < CALLS * 4096 + 1024 * 1024 < all_bytes / 3


def test_a_call_that_ended_long_before_its_last_record_has_ended(tmp_path: Path) -> None:
    path = written(journal_path(tmp_path, "s-1"))
    journal, _ = Journal.reopen(path)
    for _ in range(40):
        journal.append("hook", {"error": "x" * 4000})  # of hooks that take their time
    journal.close()
    assert unfinished(path) is None


def test_a_call_that_never_began_is_not_left_open(tmp_path: Path) -> None:
    Journal.create(journal_path(tmp_path, "s-1")).close()
    assert unfinished(journal_path(tmp_path, "s-1")) is None


def test_the_last_written_comes_first(tmp_path: Path) -> None:
    for name, days in (("s-b", 2.0), ("s-c", 3.0), ("s-a", 1.0)):
        aged(written(journal_path(tmp_path, name)), days)
    (tmp_path / "sessions" / "notes.txt").write_text("no journal")
    assert [each.path.stem for each in journal_files(tmp_path)] == ["s-a", "s-b", "s-c"]
    assert journal_files(tmp_path / "nowhere") == []


async def sweep(tmp_path: Path, in_use: Callable[[str], bool] = lambda session: False) -> set[str]:
    """What is left of them when journals are kept for 30 days."""
    await Retention(tmp_path, 30 * DAY_S, in_use).sweep()
    return {path.stem for path in (tmp_path / "sessions").iterdir()}


async def test_journals_of_calls_that_are_over_go_when_they_are_old_enough(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gone = aged(written(journal_path(tmp_path, "s-old")), 31)
    size = gone.stat().st_size
    aged(written(journal_path(tmp_path, "s-young")), 29)
    aged(written(journal_path(tmp_path, "s-open"), ended=False), 31)
    aged(written(journal_path(tmp_path, "s-told")), 31)
    other = journal_path(tmp_path, "s-other")
    other.write_bytes(b"agentd-journal 2\n")
    aged(other, 31)
    assert await sweep(tmp_path, lambda session: session == "s-told") == {"s-young", "s-open", "s-told", "s-other"}
    (line,) = [record for record in caplog.records if record.message == "journals deleted"]
    assert (line.journals, line.bytes, line.kept) == (1, size, 2)  # type: ignore[attr-defined]


async def test_many_go_in_steps_and_a_call_that_was_left_goes_after_it_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.runtime.retention.AT_ONCE", 10)
    monkeypatch.setattr("agentd.runtime.retention.PAUSE_S", 0.0)
    steps: list[str] = []
    for number in range(25):
        aged(written(journal_path(tmp_path, f"s-{number}")), 31)
    left = aged(written(journal_path(tmp_path, "s-open"), ended=False), 31)

    def unused(session: str) -> bool:
        steps.append(session)
        return False

    assert await sweep(tmp_path, unused) == {"s-open"}
    assert len(steps) == 26
    mark_ended(left, "daemon_lost")
    assert await sweep(tmp_path) == {"s-open"}  # it was written to a moment ago
    aged(left, 31)
    assert await sweep(tmp_path) == set()


async def test_a_directory_that_may_not_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        aged(written(journal_path(tmp_path, f"s-{number}")), 31)

    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    assert len(await sweep(tmp_path)) == 3
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["journals not deleted"]


def test_marking_an_end_leaves_a_journal_that_any_version_reads(tmp_path: Path) -> None:
    path = written(journal_path(tmp_path, "s-1"), ended=False)
    mark_ended(path, "daemon_lost")
    assert [record.kind for record in read_journal(path)] == ["session.started", "turn.user", "session.ended"]
