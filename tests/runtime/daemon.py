"""A whole daemon for tests: a supervisor with fake registrations, and workers inside or as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.aio import cancel_and_wait
from agentd.errors import AgentdError
from agentd.ipc import Child, LinkClosed, MemoryLink, memory_links, receive_object, spawn_child
from agentd.runtime.door import DIRECTORY, door_key
from agentd.runtime.jobs import Session
from agentd.runtime.launch import Launched
from agentd.runtime.messages import AuditSettings, DoorSettings, WorkerSettings
from agentd.runtime.supervisor import Supervisor
from agentd.runtime.supervisor_settings import SupervisorSettings
from agentd.runtime.surroundings import Surroundings
from agentd.runtime.worker import Worker
from agentd.tools.acts import EndSession
from tests.runtime.parts import Counted, FakeRegistration, FakeSession, Files, fake_agents, fake_rooms

ROOT = Path(__file__).resolve().parents[2]
DESERTED: list[Child] = []


@dataclass
class Daemon:
    """The supervisor under test and what stands around it."""

    supervisor: Supervisor
    files: Files
    registrations: dict[str, FakeRegistration]
    measures: Counted
    links: dict[str, MemoryLink]
    every_registration: list[FakeRegistration] = field(default_factory=list)
    run: asyncio.Future[bool] | None = None
    task: asyncio.Task[None] | None = None

    def session(self, session_id: str) -> Session | None:
        return self.supervisor.calls.table.get(session_id)

    async def call(self, agent: str, **values: Any) -> str:
        """A call that talks: its session's id."""
        session_id = await self.registrations[agent].dispatch(**values)
        assert session_id is not None, "declined"
        await until(lambda: self.talks(session_id))
        return session_id

    def talks(self, session_id: str) -> bool:
        session = self.session(session_id)
        return session is not None and session.state == "listening" and session.lost_at is None

    async def hang_up(self, session_id: str) -> None:
        self.supervisor.calls.control(session_id, EndSession(reason="caller_left"))
        await until(lambda: self.session(session_id) is None)

    async def die(self) -> None:
        """The supervisor's end, as sudden as it can be had inside a process that goes on."""
        await cancel_and_wait(self.task)

    def kill(self, worker: str) -> None:
        """kill -9; of a worker inside this process, the end of its link."""
        if worker in self.links:
            self.links[worker].close()
        else:
            os.kill(self.supervisor.pool.workers[worker].pid, signal.SIGKILL)


async def _settle(outcome: asyncio.Future[bool], supervisor: Supervisor) -> None:
    try:
        outcome.set_result(await supervisor.run())
    except AgentdError as error:
        outcome.set_exception(error)


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def deserting_launch(name: str) -> AsyncIterator[Launched]:
    """The process is left alone at the end, as by a supervisor that is killed."""
    # Nobody closes its transport, which would kill it; collected, it would warn of that in some other test.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = await spawn_child([sys.executable, "-m", "tests.runtime.fake_worker"], env=environment, cwd=ROOT)
    DESERTED.append(child)
    try:
        yield Launched(link=child.link, pid=child.process.pid)
    finally:
        child.link.abort()
        await child.link.wait_closed()


@asynccontextmanager
async def process_launch(name: str) -> AsyncIterator[Launched]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = await spawn_child([sys.executable, "-m", "tests.runtime.fake_worker"], env=environment, cwd=ROOT)
    try:
        yield Launched(link=child.link, pid=child.process.pid)
    finally:
        child.link.abort()
        await child.process.stop(grace_s=0)
        await child.link.wait_closed()


def inside_launch(links: dict[str, MemoryLink]) -> Callable[[str], Any]:
    @asynccontextmanager
    async def launch(name: str) -> AsyncIterator[Launched]:
        ours, theirs = memory_links()
        links[name] = ours

        async def work() -> None:
            with suppress(LinkClosed):
                settings: WorkerSettings = await receive_object(theirs)
                assert settings.worker == name
                try:
                    await Worker(theirs, fake_agents(), fake_rooms, FakeSession).run()
                except* LinkClosed:
                    pass

        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            try:
                yield Launched(link=ours, pid=os.getpid())
            finally:
                ours.close()
                task.cancel()

    return launch


@asynccontextmanager
async def running(
    tmp_path: Path,
    files: Files,
    *,
    processes: bool = False,
    alone_s: float = 0.0,
    workers: int = 2,
    wait: bool = True,
    changes: Any = None,
    room_exists: Any = None,
    launch: Any = None,
    outside: Any = lambda: (),
    audit: AuditSettings | None = None,
    code: Any = None,
    successor: Any = None,
    register: Any = None,
    **settings: Any,
) -> AsyncIterator[Daemon]:
    """A daemon that serves; drained and gone at the end."""
    links: dict[str, MemoryLink] = {}
    registrations: dict[str, FakeRegistration] = {}
    ever: list[FakeRegistration] = []
    measures = Counted()

    def registered(name: str, calls: Any, changed: Callable[[bool], None], failed: object) -> FakeRegistration:
        registrations[name] = (register or FakeRegistration)(name, calls, changed)
        ever.append(registrations[name])
        return registrations[name]

    door = None
    if alone_s:
        key = door_key(tmp_path / "state")
        door = DoorSettings(directory=tmp_path / "state" / DIRECTORY, key=key, alone_s=alone_s)
    supervisor = Supervisor(
        SupervisorSettings(
            state_dir=tmp_path / "state",
            worker=WorkerSettings(worker="", agents_dir=getattr(files, "path", tmp_path), door=door, audit=audit),
            workers=workers,
            cores=64,
            **{"load_threshold": 1.0, **settings},
        ),
        Surroundings(
            load=files.load,
            launch=launch or (process_launch if processes else inside_launch(links)),
            register=registered,
            mint=lambda room, identity, agent: f"minted {room} {identity}",
            measures=measures,
            changes=changes,
            room_exists=room_exists,
            outside=outside,
            code=code,
            successor=successor,
            rebuild=getattr(files, "rebuild", None),
        ),
    )
    daemon = Daemon(supervisor, files, registrations, measures, links, ever)
    async with asyncio.TaskGroup() as group:
        daemon.run = asyncio.get_running_loop().create_future()
        daemon.task = group.create_task(_settle(daemon.run, supervisor))
        try:
            if wait:
                await until(lambda: supervisor.readiness().ready or daemon.run.done(), within_s=15)
                await until(lambda: len(supervisor.pool.ready) == max(1, workers), within_s=15)
            yield daemon
        finally:
            supervisor.drain()
            supervisor.cut()
