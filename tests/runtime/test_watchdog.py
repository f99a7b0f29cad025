"""When the supervisor feeds its watchdog and when it is stuck. In virtual time; with systemd's socket in
tests/cli/test_serve.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentd.aio import every, now
from agentd.ipc import FrameLink, LinkClosed, memory_links, receive_object, send_object
from agentd.runtime.launch import Launched
from agentd.runtime.messages import Heartbeat, Pong, WorkerSettings
from agentd.runtime.pool import Pool
from agentd.runtime.registrations import Registrations
from agentd.runtime.systemd import is_watched
from agentd.runtime.watchdog import REGISTRATION_SILENCE_S, WORKER_GRACE_S, Watchdog
from agentd.runtime.worker_handle import PREPARING_SILENCE_S
from tests.fakes.clock import run_virtual
from tests.runtime.parts import definition

SETTLED_S = 10.0


class World:
    """A pool of one worker, one registration, and when the watchdog was fed."""

    def __init__(self) -> None:
        self.fed: list[float] = []
        self.launches = 0
        self.launch_hangs = False
        self.mute = False  # the workers answer no heartbeat
        self.worked_at: Callable[[], float] = now
        self.died: list[str] = []

    @asynccontextmanager
    async def launch(self, name: str) -> AsyncIterator[Launched]:
        self.launches += 1
        if self.launch_hangs:
            await asyncio.Event().wait()
        ours, theirs = memory_links()
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(self._work(theirs))
            try:
                yield Launched(link=ours, pid=1)
            finally:
                ours.close()
                worker.cancel()

    async def _work(self, link: FrameLink) -> None:
        try:
            while True:
                match await receive_object(link):
                    case Heartbeat(number=number) if not self.mute:
                        pong = Pong(number=number, lag_p99_s=0.0, lag_max_s=0.0, memory_bytes=0, cpu=0.0)
                        await send_object(link, pong)
        except LinkClosed:
            return

    async def welcome(self, worker: object) -> None:
        """At once."""

    def listener(self) -> Any:
        return SimpleNamespace(
            welcome=self.welcome,
            ready=lambda worker: None,
            died=lambda worker, reason: self.died.append(reason),
            sessions_of=lambda worker: 0,
        )

    async def live(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pool = Pool(
            count=1,
            capacity=1,
            launch=self.launch,
            settings=lambda name: WorkerSettings(worker=name, agents_dir=Path()),
            listener=self.listener(),
        )
        registrations = Registrations(lambda *parts: self.link(), lambda: None, lambda *told: None)
        watchdog = Watchdog(pool, registrations, lambda: self.fed.append(now()))
        async with asyncio.TaskGroup() as group:
            calls: Any = SimpleNamespace(table=None)
            registrations.sync({"desk": definition("desk")}, calls, group)
            tasks = [group.create_task(pool.run()), group.create_task(every(1.0, watchdog.tick))]
            await story()
            registrations.cancel()
            for task in tasks:
                task.cancel()

    def link(self) -> Any:
        world = self

        class Link:
            registered = True

            @property
            def worked_at(self) -> float:
                return world.worked_at()

            async def run(self) -> None:
                await asyncio.Event().wait()

            def load_changed(self) -> None:
                """Nobody is told here."""

        return Link()

    async def fed_within(self, seconds: float) -> int:
        before = len(self.fed)
        await asyncio.sleep(seconds)
        return len(self.fed) - before


def test_it_is_fed_at_every_turn_while_all_answer() -> None:
    world = World()

    async def story() -> None:
        assert await world.fed_within(100.5) == 100

    run_virtual(world.live(story))


def test_a_worker_that_hangs_is_the_pools_to_replace_and_no_reason_to_starve() -> None:
    world = World()

    async def story() -> None:
        await asyncio.sleep(SETTLED_S)
        world.mute = True
        assert await world.fed_within(20.0) == 20
        assert world.died
        assert world.launches > 1

    run_virtual(world.live(story))


def test_a_worker_that_nobody_replaces_starves_it(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.launch_hangs = True

    async def story() -> None:
        patience_s = PREPARING_SILENCE_S + WORKER_GRACE_S
        assert await world.fed_within(patience_s + 0.5) == patience_s
        assert await world.fed_within(100.0) == 0

    run_virtual(world.live(story))
    [record] = [each for each in caplog.records if each.message == "no progress was made: the watchdog was not fed"]
    assert record.__dict__["reason"] == "worker-1 is silent and was not replaced"


def test_a_registration_that_neither_stands_nor_tries_starves_it_until_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()

    async def story() -> None:
        await asyncio.sleep(SETTLED_S + 0.5)
        since = now()
        world.worked_at = lambda: since
        assert await world.fed_within(REGISTRATION_SILENCE_S) == REGISTRATION_SILENCE_S
        assert await world.fed_within(30.0) == 0
        world.worked_at = now
        assert await world.fed_within(30.0) == 30

    run_virtual(world.live(story))
    [record] = [each for each in caplog.records if each.message == "no progress was made: the watchdog was not fed"]
    assert record.__dict__["reason"] == "the registration of desk neither stands nor tries"


@pytest.mark.parametrize(
    ("environment", "watched"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "30000000"}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, False),  # our parent's, who did not take it away
    ],
)
def test_a_watchdog_is_for_the_process_that_it_names(environment: dict[str, str], watched: bool) -> None:
    assert is_watched(environment, 7) == watched
