"""A supervisor dies; its workers' calls go on in them, and the next supervisor takes them over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agentd.config.load import Loaded
from agentd.ipc import FrameLink, LinkClosed, memory_links
from agentd.runtime.adoption import end_process
from agentd.runtime.door import Door, Found, door_key, doors, knock
from agentd.runtime.messages import DumpTasks, Presence, ToWorker
from agentd.runtime.supervisor import NoValidAgent
from agentd.runtime.tether import Tether
from agentd.runtime.worker_handle import WorkerHandle
from agentd.session.journal import read_journal
from agentd.tools.acts import SayText
from agentd.tools.spec import LateAnswer
from tests.runtime.daemon import Daemon, deserting_launch, running, until
from tests.runtime.parts import FakeRegistration, Files, definition

HERE = Presence(worker="worker-1", version="0", scratch="", sessions=())


@asynccontextmanager
async def left_alone(
    tmp_path: Path, files: Files, calls: int = 1
) -> AsyncIterator[tuple[Daemon, list[str], list[int]]]:
    """A dead daemon, the calls that it left, and their workers."""
    async with running(tmp_path, files, launch=deserting_launch, alone_s=20, workers=1) as first:
        made = [await first.call("desk") for _ in range(calls)]
        for call in made:
            await first.supervisor.control(call, SayText(text=f"I am {call}"))
        await until(lambda: all(each.turns == 1 for each in first.supervisor.sessions()))
        pids = [worker.pid for worker in first.supervisor.pool.workers.values()]
        await first.die()
        try:
            yield first, made, pids
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def kinds(journal: Path) -> list[str]:
    return [record.kind for record in read_journal(journal)]


async def test_the_next_supervisor_adopts_the_calls_which_notice_nothing(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with left_alone(tmp_path, files, calls=2) as (first, calls, pids):
        before = {each.id: each for each in first.supervisor.sessions()}
        async with running(tmp_path, files, workers=1) as second:
            after = {each.id: each for each in second.supervisor.sessions()}
            assert after.keys() == set(calls)
            for call in calls:
                assert (after[call].turns, after[call].caller, after[call].room, after[call].started_at) == (
                    1, before[call].caller, before[call].room, before[call].started_at,
                )  # fmt: skip
                assert after[call].worker == f"worker-1.{pids[0]}"
                assert "session.resumed" not in kinds(second.session(call).journal)  # type: ignore[union-attr]
                assert second.session(call).definition == files.agents["desk"]  # type: ignore[union-attr]
            await second.supervisor.control(calls[0], SayText(text="are you there"))
            journal = second.session(calls[0]).journal  # type: ignore[union-attr]
            await until(lambda: kinds(journal).count("turn.user") == 2)
            assert (
                await second.supervisor.deliver(
                    calls[0], "key", "right", LateAnswer(text="done", content_type="text/plain")
                )
                == "taken"
            )
            for call in calls:
                await second.hang_up(call)
            await until(lambda: len(second.supervisor.pool.workers) == 1)
            assert not Path(f"/proc/{pids[0]}").exists()
            assert doors(tmp_path / "state") == []


async def test_an_adopted_worker_takes_no_new_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with left_alone(tmp_path, files) as (_, [call], _), running(tmp_path, files, workers=1) as second:
        second.registrations["desk"].jobs_made = 10
        newer = await second.call("desk")
        assert second.session(newer).worker == "worker-1"  # type: ignore[union-attr]
        assert {each.id: each.state for each in second.supervisor.workers()} == {
            "worker-1": "ready",
            second.session(call).worker: "draining",  # type: ignore[union-attr]
        }


async def test_a_call_of_an_adopted_worker_that_dies_is_rescued_by_its_own_definition(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with left_alone(tmp_path, files) as (_, [call], [pid]), running(tmp_path, files, workers=1) as second:
        os.kill(pid, signal.SIGKILL)
        await until(lambda: second.session(call).incarnation == 2 and second.talks(call))  # type: ignore[union-attr]
        assert second.session(call).worker == "worker-1"  # type: ignore[union-attr]
        assert second.session(call).started_at > 0  # type: ignore[union-attr]


async def test_a_call_that_ended_without_a_supervisor_is_told_as_ended(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, launch=deserting_launch, alone_s=20, workers=1) as first:
        call, other = await first.call("desk"), await first.call("desk")
        await first.supervisor.control(call, SayText(text="end soon"))
        journal = first.session(call).journal  # type: ignore[union-attr]
        await until(lambda: "turn.user" in kinds(journal))
        await first.die()
        await until(lambda: "session.ended" in kinds(journal))
        async with running(tmp_path, files, workers=1) as second:
            await until(lambda: second.measures.of("sessions_total", reason="caller_left") == 1)
            assert [each.id for each in second.supervisor.sessions()] == [other]


async def test_a_worker_without_calls_ends_with_its_supervisor(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, launch=deserting_launch, alone_s=20, workers=2) as daemon:
        pids = [worker.pid for worker in daemon.supervisor.pool.workers.values()]
        await daemon.die()
        await asyncio.gather(*(until(lambda pid=pid: not runs(pid)) for pid in pids))
        assert doors(tmp_path / "state") == []


async def test_a_worker_that_no_supervisor_finds_in_time_ends_and_leaves_its_journals_open(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, launch=deserting_launch, alone_s=0.3, workers=1) as daemon:
        call = await daemon.call("desk")
        [pid] = [worker.pid for worker in daemon.supervisor.pool.workers.values()]
        journal = daemon.session(call).journal  # type: ignore[union-attr]
        await daemon.die()
        assert runs(pid)
        await until(lambda: not runs(pid))
        assert "session.ended" not in kinds(journal)


async def test_a_worker_that_does_not_answer_is_ended_before_its_calls_are_recovered(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    asked: list[str] = []

    async def room_exists(room: str) -> bool:
        asked.append(room)
        return True

    async with left_alone(tmp_path, files) as (first, [call], [pid]):
        room = first.session(call).room  # type: ignore[union-attr]
        os.kill(pid, signal.SIGSTOP)
        async with running(tmp_path, files, workers=1, room_exists=room_exists) as second:
            assert not runs(pid)
            await until(lambda: second.session(call) is not None and second.talks(call))
            assert second.session(call).incarnation == 2  # type: ignore[union-attr]
            assert asked == [room]


async def test_a_door_opens_only_to_whoever_knows_the_key(tmp_path: Path) -> None:
    key = door_key(tmp_path)
    door = Door(tmp_path / "workers", "worker-1", key)
    async with asyncio.TaskGroup() as group:
        opened = group.create_task(door.opened(lambda: HERE))
        assert await knock(door.path, "another") == os.getpid()
        found = await knock(door.path, key)
        assert isinstance(found, Found)
        assert found.presence == HERE
        (await opened).abort()
    found.link.abort()
    door.close()
    assert await knock(door.path, key) is None
    assert door_key(tmp_path) == key, "the key of a directory stays"
    assert (tmp_path / "workers" / "key").stat().st_mode & 0o777 == 0o600


async def test_a_door_may_be_deep_in_the_file_system(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    key = door_key(deep)
    door = Door(deep / "workers", "worker-1", key)
    async with asyncio.TaskGroup() as group:
        opened = group.create_task(door.opened(lambda: HERE))
        found = await knock(door.path, key)
        assert isinstance(found, Found)
        (await opened).abort()
    found.link.abort()
    door.close()


async def test_what_is_sent_while_there_is_no_supervisor_reaches_the_next() -> None:
    ours, theirs = memory_links()
    again, next_theirs = memory_links()
    found: asyncio.Future[FrameLink] = asyncio.get_running_loop().create_future()
    tether = Tether(ours, lambda: found)  # type: ignore[arg-type,return-value]
    async with asyncio.TaskGroup() as group:
        received = group.create_task(tether.receive())
        theirs.close()
        sent = [group.create_task(tether.send(word)) for word in (b"one", b"two")]
        await asyncio.sleep(0.01)
        assert not any(each.done() for each in sent)
        found.set_result(again)
        assert [await next_theirs.receive(), await next_theirs.receive()] == [b"one", b"two"]
        await next_theirs.send(b"hello")
        assert await received == b"hello"
    tether.close()


async def test_with_no_supervisor_to_come_a_tether_is_closed() -> None:
    ours, theirs = memory_links()

    async def nobody() -> None:
        return None

    tether = Tether(ours, nobody)
    theirs.close()
    with pytest.raises(LinkClosed):
        await tether.receive()
    with pytest.raises(LinkClosed):
        await tether.send(b"late")


async def test_a_process_that_is_no_child_is_ended_too() -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid, flush=True)"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    await parent.wait()
    async with asyncio.timeout(5):
        await end_process(pid)
    assert not runs(pid)


def runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


# A start that does not come to its end, under calls of an earlier daemon


async def test_a_drain_during_the_start_lets_adopted_calls_come_to_their_end(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with left_alone(tmp_path, files) as (_, [call], [pid]):
        blocked = Blocked(files)
        async with running(tmp_path, blocked, workers=1, wait=False) as second:
            await until(lambda: blocked.asked.is_set() and second.session(call) is not None)
            second.supervisor.stop_signal()
            blocked.go_on.set()
            await until(lambda: second.supervisor.rollout.number == 1)
            await spoken_to(second, call)
            assert "The daemon is draining." in second.supervisor.readiness().reasons
            assert second.registrations == {}, "it takes no calls, and does not offer to"
            await second.hang_up(call)
            assert second.run is not None
            assert await second.run
        assert not runs(pid)


async def test_a_second_signal_during_the_start_cuts_adopted_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with left_alone(tmp_path, files) as (_, [call], _):
        blocked = Blocked(files)
        async with running(tmp_path, blocked, workers=1, wait=False) as second:
            await until(lambda: blocked.asked.is_set() and second.session(call) is not None)
            second.supervisor.stop_signal()
            second.supervisor.stop_signal()
            blocked.go_on.set()
            assert second.run is not None
            assert not await second.run
            assert second.measures.of("sessions_total", reason="drain_deadline") == 1


async def spoken_to(daemon: Daemon, call: str) -> None:
    """For the second time."""
    await daemon.supervisor.control(call, SayText(text="are you there"))
    journal = daemon.session(call).journal  # type: ignore[union-attr]
    await until(lambda: kinds(journal).count("turn.user") == 2)


class Unheard(FakeRegistration):
    """LiveKit does not answer it."""

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_daemon_that_requires_livekit_goes_on_without_it_under_adopted_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with (
        left_alone(tmp_path, files) as (_, [call], [pid]),
        running(tmp_path, files, workers=1, wait=False, register=Unheard, require_livekit_s=0.05) as second,
    ):
        await until(lambda: second.supervisor.facts().state == "serving")
        assert runs(pid)
        await spoken_to(second, call)
        await second.hang_up(call)


async def test_without_a_valid_agent_adopted_calls_come_to_their_end_before_the_daemon_does(tmp_path: Path) -> None:
    async with (
        left_alone(tmp_path, Files({"desk": definition("desk")})) as (_, [call], _),
        running(tmp_path, Files({}), workers=1, wait=False) as second,
    ):
        await until(lambda: second.supervisor.parts.drain.asked)
        await spoken_to(second, call)
        await second.hang_up(call)
        assert second.run is not None
        with pytest.raises(NoValidAgent):
            await second.run


async def test_tasks_are_asked_of_every_worker_that_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, asked = Files({"desk": definition("desk")}), set()
    post = WorkerHandle.post

    def noted(worker: WorkerHandle, message: ToWorker) -> None:
        if isinstance(message, DumpTasks):
            asked.add(worker.state)
        post(worker, message)

    monkeypatch.setattr(WorkerHandle, "post", noted)
    async with left_alone(tmp_path, files), running(tmp_path, files, workers=1) as second:
        await second.supervisor.pool.stand_by()
        second.supervisor.dump()
    assert asked == {"ready", "draining", "standby"}


class Blocked(Files):
    """Not read before a test lets them be."""

    def __init__(self, files: Files) -> None:
        super().__init__(files.agents)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def load(self, serving: Mapping[str, str]) -> Loaded:
        self.asked.set()
        assert self.go_on.wait(30)
        return super().load(serving)
