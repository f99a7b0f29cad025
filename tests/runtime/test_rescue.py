"""A killed worker's calls go on in other workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.runtime.jobs import Session
from agentd.runtime.journals import Unfinished, unfinished
from agentd.runtime.placement import Place
from agentd.runtime.recovery import RESCUES_AT_MOST, lost, plan
from agentd.session.journal import Journal, read_journal
from agentd.tools.acts import SayText
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSession, Files, definition, revised


def session(name: str, **values: object) -> Session:
    fixed = Session(
        id=name, job=f"J-{name}", agent="desk", definition=definition("desk"), generation=1, room="r",
        url="u", identity="agent-J", journal=Path("x"), worker="", started_at=0.0,
    )  # fmt: skip
    return replace(fixed, **values)


def place(worker: str, sessions: int, capacity: int = 10) -> Place:
    return Place(worker=worker, sessions=sessions, capacity=capacity)


def test_lost_calls_are_spread_over_the_workers() -> None:
    stranded = [session(f"s{n}", lost_at=0.0) for n in range(6)]
    placed = plan(stranded, [place("a", 0), place("b", 2)], now=0.0).placed
    workers = [worker for _, worker in placed]
    assert (workers.count("a"), workers.count("b")) == (4, 2)


def test_a_rescue_goes_over_capacity_before_it_gives_a_call_up() -> None:
    rescue = plan([session("s", lost_at=0.0)], [place("a", 10)], now=0.0)
    assert [worker for _, worker in rescue.placed] == ["a"]


def test_with_no_worker_a_call_waits_and_is_given_up_after_half_a_minute() -> None:
    assert [each.id for each in plan([session("s", lost_at=0.0)], [], now=29.0).waiting] == ["s"]
    assert [each.id for each in plan([session("s", lost_at=0.0)], [], now=31.0).given_up] == ["s"]


def test_a_call_that_takes_worker_after_worker_down_is_given_up() -> None:
    poison = session("s")
    for number in range(RESCUES_AT_MOST):
        poison = replace(lost(poison, now=float(number)), lost_at=float(number))
        assert plan([poison], [place("a", 0)], now=float(number)).placed
    poison = replace(lost(poison, now=9.0), lost_at=9.0)
    assert [each.id for each in plan([poison], [place("a", 0)], now=9.0).given_up] == ["s"]


def test_rescues_long_ago_do_not_count() -> None:
    tried = session("s", rescues=(0.0, 1.0, 2.0))
    assert lost(tried, now=100.0).rescues == (100.0,)


async def test_calls_of_a_dead_worker_go_on_in_the_other_with_what_was_said(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        calls = [await daemon.call("desk", metadata="ticket 7") for _ in range(4)]
        for call in calls:
            await daemon.supervisor.control(call, SayText(text=f"my name is {call}"))
        await until(lambda: all(each.turns == 1 for each in daemon.supervisor.sessions()))
        stranded = [each.id for each in daemon.supervisor.sessions() if each.worker == "worker-1"]
        daemon.kill("worker-1")
        await until(lambda: all(daemon.session(each).worker == "worker-2" for each in stranded))  # type: ignore[union-attr]
        await until(lambda: all(daemon.talks(each) for each in calls))
        for call in stranded:
            restored = FakeSession.running[call].setup.restored
            assert restored is not None
            assert FakeSession.running[call].setup.metadata == "ticket 7"
            assert [item.text for item in restored.items] == [f"my name is {call}"]  # type: ignore[union-attr]
            assert daemon.session(call).incarnation == 2  # type: ignore[union-attr]
            assert "session.resumed" in {record.kind for record in read_journal(daemon.session(call).journal)}  # type: ignore[union-attr]
        assert len(stranded) == 2
        assert daemon.measures.of("sessions_resumed_total", agent="desk") == 2
        assert daemon.measures.of("worker_restarts_total") == 1


async def test_with_a_single_worker_its_replacement_takes_the_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1) as daemon:
        call = await daemon.call("desk")
        daemon.kill("worker-1")
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        assert daemon.supervisor.workers()[0].restarts == 1


async def test_a_rescued_call_keeps_the_definition_that_it_began_with(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        call = await daemon.call("desk")
        revised(files, "desk", "2", instructions="You are new.")
        await daemon.supervisor.reload()
        daemon.kill(daemon.session(call).worker)  # type: ignore[union-attr]
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        assert FakeSession.running[call].setup.definition.instructions == "You are desk."
        newer = await daemon.call("desk")
        assert FakeSession.running[newer].setup.definition.instructions == "You are new."


async def test_a_termination_of_the_dead_incarnation_is_ignored(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        call = await daemon.call("desk")
        job = daemon.session(call).job  # type: ignore[union-attr]
        daemon.kill(daemon.session(call).worker)  # type: ignore[union-attr]
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        daemon.supervisor.calls.terminated(job)
        await daemon.supervisor.control(call, SayText(text="still here"))
        await until(lambda: daemon.supervisor.sessions()[0].turns == 1)


async def test_calls_that_an_earlier_daemon_left_are_taken_up_where_their_room_stands(tmp_path: Path) -> None:
    for name, room in (("s-stands", "stands"), ("s-gone", "gone")):
        journal = Journal.create(tmp_path / "state" / "sessions" / f"{name}.journal")
        started = {"agent": "desk", "room": room, "job_id": f"J-{room}", "metadata": "ticket 7", "variables": {}}
        journal.append("session.started", started)
        journal.append("turn.user", {"turn": 1, "text": "hello"})
        journal.close()

    async def room_exists(room: str) -> bool:
        return room == "stands"

    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, room_exists=room_exists) as daemon:
        await until(lambda: daemon.talks("s-stands"))
        found = daemon.session("s-stands")
        assert found is not None
        assert (found.incarnation, found.identity) == (2, "agent-J-stands")
        assert FakeSession.running["s-stands"].setup.metadata == "ticket 7"
        assert daemon.session("s-gone") is None
    assert read_journal(tmp_path / "state" / "sessions" / "s-gone.journal")[-1].data["reason"] == "daemon_lost"


async def test_a_daemon_serves_while_it_still_reads_what_an_earlier_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = threading.Event()

    def slowly(path: Path) -> Unfinished | None:
        assert reads.wait(15)
        return unfinished(path)

    monkeypatch.setattr("agentd.runtime.cold.unfinished", slowly)
    journal = Journal.create(tmp_path / "state" / "sessions" / "s-left.journal")
    journal.append("session.started", {"agent": "desk", "room": "stands", "job_id": "J-1"})
    journal.close()

    async def room_exists(room: str) -> bool:
        return True

    try:
        async with running(tmp_path, Files({"desk": definition("desk")}), room_exists=room_exists) as daemon:
            assert daemon.talks(await daemon.call("desk"))
            assert not daemon.talks("s-left")
            reads.set()
            await until(lambda: daemon.talks("s-left"))
    finally:
        reads.set()


async def test_old_journals_are_deleted_where_the_operator_wants_it(tmp_path: Path) -> None:
    paths = [tmp_path / "state" / "sessions" / f"{name}.journal" for name in ("s-over", "s-left")]
    for path in paths:
        journal = Journal.create(path)
        journal.append("session.started", {"agent": "desk", "room": "stands", "job_id": "J-1"})
        if path.stem == "s-over":
            journal.append("session.ended", {"reason": "caller_left", "duration_s": 1.0})
        journal.close()
        os.utime(path, (1e9, 1e9))

    async def room_exists(room: str) -> bool:
        return True

    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, room_exists=room_exists, keep_journals_s=3600.0) as daemon:
        await until(lambda: daemon.talks("s-left") and not paths[0].exists())
        assert paths[1].exists()


async def test_kill_9_of_a_process_with_calls_moves_them_within_a_second(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, processes=True) as daemon:
        calls = [await daemon.call("desk") for _ in range(6)]
        victim = daemon.session(calls[0]).worker  # type: ignore[union-attr]
        began = time.monotonic()
        daemon.kill(victim)
        await until(lambda: all(daemon.session(each).worker != victim and daemon.talks(each) for each in calls))  # type: ignore[union-attr]
        assert time.monotonic() - began < 1.0
        await until(lambda: len(daemon.supervisor.pool.ready) == 2, within_s=15)


async def test_a_stopped_process_is_found_killed_and_its_calls_go_on(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, processes=True) as daemon:
        call = await daemon.call("desk")
        pid = daemon.supervisor.pool.workers[daemon.session(call).worker].pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call), within_s=9)  # type: ignore[union-attr]
        assert not Path(f"/proc/{pid}").exists()


async def test_a_call_that_kills_every_worker_is_given_up_and_the_daemon_lives(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, processes=True) as daemon:
        call = await daemon.call("desk")
        for incarnation in range(1, RESCUES_AT_MOST + 2):
            await until(lambda: daemon.session(call).incarnation == incarnation and daemon.talks(call))  # type: ignore[union-attr]  # noqa: B023
            await daemon.supervisor.control(call, SayText(text="die"))
        await until(lambda: daemon.session(call) is None)
        assert daemon.measures.of("sessions_total", reason="rescue_failed") == 1
        assert daemon.registrations["desk"].registered
