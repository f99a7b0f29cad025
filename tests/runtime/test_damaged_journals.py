"""Whatever has become of a journal's file, nobody who reads it fails: what is intact is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentd.errors import JournalError
from agentd.runtime.cold import left_open
from agentd.runtime.journals import journal_files, journal_path, mark_ended, open_journal, unfinished
from agentd.session.journal import Journal, JournalTail, read_journal

Damage = Callable[[bytes], bytes]


def _cut(whole: bytes, at: int) -> bytes:
    return whole[: at % (len(whole) + 1)]


def _patched(whole: bytes, at: int, patch: bytes) -> bytes:
    at %= len(whole) + 1
    return whole[:at] + patch + whole[at + len(patch) :]


places = st.integers(min_value=0, max_value=100_000)
damages = st.one_of(
    st.builds(lambda at: lambda whole: _cut(whole, at), places),
    st.builds(lambda at, zeros: lambda whole: _cut(whole, at) + bytes(zeros), places, st.integers(1, 5_000)),
    st.builds(lambda at, patch: lambda whole: _patched(whole, at, patch), places, st.binary(min_size=1, max_size=64)),
    st.builds(lambda more: lambda whole: whole + more, st.binary(max_size=64)),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "a.journal"
    journal = Journal.create(path)
    journal.append("session.started", {"agent": "lena", "revision": "r1", "variables": {}})
    for number in range(3):
        journal.append("turn.user", {"turn": number + 1, "text": f"text {number} é"})
    journal.close()
    return path.read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(damage=st.lists(damages, min_size=1, max_size=3))
def test_f34_no_reader_fails_at_a_damaged_journal(tmp_path: Path, whole: bytes, damage: list[Damage]) -> None:
    content = whole
    for each in damage:
        content = each(content)
    path = journal_path(tmp_path, "s-1")
    path.parent.mkdir(exist_ok=True)

    def again() -> None:
        path.write_bytes(content)

    again()
    try:
        intact = read_journal(path)
    except JournalError:  # its header is another one
        with pytest.raises(JournalError):
            unfinished(path)
        mark_ended(path, "lost")
        assert path.read_bytes() == content
        return
    assert JournalTail(path).read() == intact
    found = unfinished(path)
    assert [found.started if found else None] == (intact[:1] or [None])
    journal, restored = open_journal(path)
    journal.close()
    assert (restored is not None) == bool(intact)
    again()
    mark_ended(path, "lost")
    assert [record.kind for record in read_journal(path)] == [*(record.kind for record in intact), "session.ended"]


async def test_f34_zeros_at_the_end_of_one_journal_keep_no_daemon_from_starting(tmp_path: Path, whole: bytes) -> None:
    """What a power cut can leave: a file that has its length already, and not its content."""
    for name in ("s-1", "s-2"):
        path = journal_path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole + bytes(512 if name == "s-1" else 0))
    files = await asyncio.to_thread(journal_files, tmp_path)
    assert {call.session async for call in left_open([each.path for each in files])} == {"s-1", "s-2"}
