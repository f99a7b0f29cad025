"""The outbox on disk: what was taken is there after a restart and a kill, within its bounds, and never half."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agentd.runtime.outbox import Delivery, Outbox, OutboxFailed
from tests.documents import ROOT

SINK = "desk:0123456789abcdef"
T0 = 1_800_000_000.0


def event(number: int, *, sink: str = SINK, size: int = 10, at: float = T0) -> Delivery:
    body = f"{number}".encode().ljust(size)
    return Delivery(id=f"ev_{number}", sink=sink, type="turn.user", trace="t", body=body, made_at=at, due_at=at)


def ids(outbox: Outbox, sink: str = SINK, now: float = T0 + 1e6) -> list[str]:
    return [each.id for each in outbox.due(sink, now, 100_000)]


def test_what_waits_is_there_after_a_restart_and_what_was_settled_is_not(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "state" / "outbox.db")
    outbox.put([event(1), event(2), event(3, sink="shop:1")])
    outbox.settle(outbox.due(SINK, T0, 10)[0])
    outbox.postpone(outbox.due(SINK, T0, 10)[0], T0 + 30)
    outbox.close()
    again = Outbox(tmp_path / "state" / "outbox.db")
    assert again.due(SINK, T0 + 29, 10) == []
    (waiting,) = again.due(SINK, T0 + 30, 10)
    assert (waiting.id, waiting.attempts, waiting.body) == ("ev_2", 1, b"2".ljust(10))
    assert (again.waiting(SINK), again.waiting("shop:1"), again.next_due("shop:1")) == (1, 1, T0)
    assert set(again.sinks()) == {SINK, "shop:1"}


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put([event(1)])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_sink_that_takes_nothing_keeps_the_newest_by_number_and_by_size(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", events_kept=5, bytes_kept=1000)
    outbox.put([event(0, sink="other:1")])
    assert [outbox.put([event(n)]) for n in range(1, 8)] == [{}] * 5 + [{SINK: 1}] * 2
    assert ids(outbox) == [f"ev_{n}" for n in range(3, 8)]
    assert outbox.put([event(8, size=980)]) == {SINK: 3}
    assert ids(outbox) == ["ev_6", "ev_7", "ev_8"]
    assert ids(outbox, "other:1") == ["ev_0"]


def test_its_file_does_not_grow_beyond_what_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", events_kept=50)
    for n in range(1, 3001):
        outbox.put([event(n, size=4000)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50 * 4000 * 3 + 8 * 2**20


def test_a_call_is_followed_until_it_is_over_and_how_far_it_was_told_goes_with_the_events(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    assert outbox.follow("s-1", "desk") == 0
    outbox.put([event(1)], session="s-1", told=4)
    assert outbox.follow("s-1", "desk") == 4
    outbox.put([], session="s-1", told=9, over=True)
    assert outbox.followed() == ()
    assert [outbox.count_up("x"), outbox.count_up("x")] == [1, 2]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put([event(1, at=T0), event(2, at=T0 + 50), event(3, sink="b:1", at=T0)])
    assert outbox.expire(T0 + 10) == {SINK: 1, "b:1": 1}
    assert (ids(outbox), outbox.waiting(SINK), outbox.waiting("b:1")) == (["ev_2"], 1, 0)


def test_a_full_disk_takes_all_of_a_step_or_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.follow("s-1", "desk")
    (pages,) = outbox._database.execute("PRAGMA page_count").fetchone()
    outbox._database.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(OutboxFailed, match="full"):
        outbox.put([event(n, size=4000) for n in range(20)], session="s-1", told=20)
    assert (ids(outbox), outbox.waiting(SINK), outbox.follow("s-1", "desk")) == ([], 0, 0)
    outbox._database.execute("PRAGMA max_page_count = 100000")
    outbox.put([event(1)], session="s-1", told=1)
    assert ids(outbox) == ["ev_1"]


@pytest.mark.parametrize("damage", [b"this is no database" * 300, None])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    outbox.put([event(n, size=3000) for n in range(100)])
    outbox.close()
    data = path.read_bytes()
    path.write_bytes(damage or data[:8192] + b"\xa5" * (len(data) - 8192))
    again = Outbox(path)
    assert ids(again) == []
    again.put([event(1)])
    assert [each.name.partition("-")[0] for each in tmp_path.glob("*damaged*")] == ["outbox.db.damaged"]


def test_a_directory_that_takes_no_file_is_a_failure_of_the_outbox(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with pytest.raises(OutboxFailed, match="cannot be opened"):
        Outbox(tmp_path / "state" / "outbox.db")
    (tmp_path / "outbox.db").mkdir()
    with pytest.raises(OutboxFailed, match="cannot be opened"):
        Outbox(tmp_path / "outbox.db")


WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from agentd.runtime.outbox import Delivery, Outbox
outbox = Outbox(Path(sys.argv[1]))
outbox.follow("s-1", "desk")
for n in range(1, 1_000_000):
    each = Delivery(id=f"ev_{n}", sink="desk:1", type="t", trace="t", body=b"x" * 500, made_at=0.0, due_at=0.0)
    outbox.put([each], session="s-1", told=n)
    print(n, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 60, 400])
def test_a_killed_writer_has_kept_all_that_it_said_it_kept(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "outbox.db"
    command, environment = [sys.executable, "-c", WRITER, str(path)], {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(lines)]
        process.kill()
        said += [int(line) for line in process.stdout if line.endswith("\n")]
    outbox = Outbox(path)
    kept = [int(each.removeprefix("ev_")) for each in ids(outbox, "desk:1")]
    assert kept == list(range(1, len(kept) + 1))
    assert said[-1] <= len(kept) <= said[-1] + 1
    assert outbox.follow("s-1", "desk") == len(kept)
    outbox.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
