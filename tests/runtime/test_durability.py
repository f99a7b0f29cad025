"""A disk that takes no journals: the daemon says so, takes no calls, blames no definition, and recovers by itself."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from agentd.runtime.durability import PROBE, TRIED_BYTES, why_not
from agentd.runtime.outcome import NOT_JOURNALED, SessionOutcome, verdict
from agentd.transport.protocol import Accept, Decline
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSession, Files, definition


def test_the_probe_leaves_nothing_behind_and_tells_what_the_system_says(tmp_path: Path) -> None:
    assert why_not(tmp_path / "sessions") == ""
    assert list((tmp_path / "sessions").iterdir()) == []
    (tmp_path / "file").touch()
    assert why_not(tmp_path / "file") == "File exists"
    if Path("/dev/full").exists():
        (tmp_path / PROBE).symlink_to("/dev/full")
        assert why_not(tmp_path) == "No space left on device"


def test_a_disk_that_takes_a_part_of_the_probe_is_full(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (TRIED_BYTES // 2, hard))
    try:
        assert why_not(tmp_path) == "No space left on device"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


async def test_f33_a_daemon_whose_disk_is_full_takes_no_calls_until_there_is_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.runtime.durability.LOOK_EVERY_S", 0.05)
    sessions, aside = tmp_path / "state" / "sessions", tmp_path / "aside"
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        supervisor, link = daemon.supervisor, daemon.registrations["desk"]
        under_way = await daemon.call("desk")
        assert daemon.measures.last("journal_ok") == 1.0
        sessions.rename(aside)
        sessions.touch()  # no journal can be made below a file
        await until(lambda: not supervisor.readiness().ready)
        assert supervisor.readiness().reasons == ("Journals of calls cannot be written: File exists.",)
        assert link.load().full
        assert link.load().load == 1.0
        assert isinstance(await link.offer(link.job()), Decline)
        assert supervisor.refusal("desk") == "journals cannot be written: File exists"
        assert daemon.measures.of("jobs_declined_total", agent="desk", reason="not_durable") == 1
        assert daemon.measures.last("journal_ok") == 0.0
        assert under_way in FakeSession.running, "it goes on"
        sessions.unlink()
        aside.rename(sessions)
        await until(lambda: supervisor.readiness().ready)
        assert daemon.measures.last("journal_ok") == 1.0
        assert isinstance(await link.offer(link.job()), Accept)


async def test_f33_a_call_that_fails_at_its_journal_has_the_disk_looked_at_and_its_definition_is_not_blamed(
    tmp_path: Path,
) -> None:
    sessions = tmp_path / "state" / "sessions"
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        link = daemon.registrations["desk"]
        sessions.rmdir()
        sessions.touch()
        await link.dispatch()
        await until(lambda: not daemon.supervisor.readiness().ready, within_s=3)
        assert daemon.measures.of("sessions_total", agent="desk", reason=NOT_JOURNALED) == 1


def test_f33_what_failed_at_the_journal_says_nothing_of_the_definition() -> None:
    assert verdict(SessionOutcome(), NOT_JOURNALED, failed=True).result == "neutral"
