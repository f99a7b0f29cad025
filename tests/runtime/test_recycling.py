"""Old or grown workers are replaced; their calls end in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentd.errors import ProviderRefused
from agentd.runtime.recycling import GROWN_FROM_S, Aged, RecycleLimits, due
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSettings, Files, definition

HOUR = 3600.0
LIMITS = RecycleLimits(after_s=24 * HOUR, memory_bytes=600 << 20)


def aged(worker: str, hours: float = 1.0, mib: int = 100) -> Aged:
    return Aged(worker=worker, age_s=hours * HOUR, memory_bytes=mib << 20)


def test_the_oldest_of_the_old_is_replaced() -> None:
    assert due([aged("a", 24), aged("b", 30), aged("c", 2)], LIMITS) == ("b", "it is 30.0 h old")


def test_one_that_grew_goes_before_one_that_is_old_and_the_largest_first() -> None:
    assert due([aged("a", 30), aged("b", mib=700), aged("c", mib=800)], LIMITS) == ("c", "it uses 800 MiB")


def test_one_that_was_large_from_its_start_stays() -> None:
    young = Aged(worker="a", age_s=GROWN_FROM_S - 1, memory_bytes=700 << 20)
    assert due([young], LIMITS) is None


def test_one_that_has_grown_since_its_first_ten_minutes_is_replaced_however_large_it_was_then() -> None:
    limits = RecycleLimits(growth_bytes=512 << 20)
    steady = replace(aged("a", mib=3000), settled_bytes=2900 << 20)
    grown = replace(aged("b", mib=900), settled_bytes=300 << 20)
    young = aged("c", mib=900)
    assert due([steady, young], limits) is None
    assert due([steady, grown, young], limits) == ("b", "it has grown by 600 MiB")


def test_limits_of_0_replace_nothing() -> None:
    assert due([aged("a", 1000, 5000)], RecycleLimits()) is None


async def test_a_successor_is_ready_before_an_old_worker_takes_no_more_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1) as daemon:
        pool = daemon.supervisor.pool
        old = await daemon.call("desk")
        pool.recycle(RecycleLimits(after_s=0.001))
        pool.retire()
        assert [worker.name for worker in pool.ready] == ["worker-1"], "the old one serves until the new one can"
        await until(lambda: [worker.name for worker in pool.ready] == ["worker-2"])
        newer = await daemon.call("desk")
        assert (daemon.session(old).worker, daemon.session(newer).worker) == ("worker-1", "worker-2")  # type: ignore[union-attr]
        assert daemon.session(old).incarnation == 1  # type: ignore[union-attr]
        await daemon.hang_up(old)
        await until(lambda: list(pool.workers) == ["worker-2"])
        assert daemon.talks(newer)
        assert daemon.measures.of("worker_restarts_total") == 0


async def test_an_old_worker_stays_while_its_successor_lacks_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(settings: FakeSettings) -> None:
        raise ProviderRefused("fake", "the key has expired")

    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1) as daemon:
        pool = daemon.supervisor.pool
        monkeypatch.setattr("tests.runtime.parts.make_provider", refuse)
        pool.recycle(RecycleLimits(after_s=0.001))
        await until(lambda: "worker-2" in pool.workers and pool.workers["worker-2"].state == "ready")
        pool.retire()
        assert [worker.name for worker in pool.ready] == ["worker-1", "worker-2"]
        assert daemon.session(await daemon.call("desk")).worker == "worker-1"  # type: ignore[union-attr]


async def test_workers_are_replaced_one_at_a_time(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=3) as daemon:
        pool = daemon.supervisor.pool
        held = [await daemon.call("desk") for _ in range(3)]
        for _ in range(3):
            pool.recycle(RecycleLimits(after_s=0.001))
        assert sum(bool(worker.successor) for worker in pool.workers.values()) == 1
        assert len(held) == 3


async def test_a_worker_that_dies_while_it_is_replaced_is_not_started_again_and_its_calls_go_on(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1) as daemon:
        pool = daemon.supervisor.pool
        call = await daemon.call("desk")
        pool.recycle(RecycleLimits(after_s=0.001))
        daemon.kill("worker-1")
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        assert daemon.session(call).worker == "worker-2"  # type: ignore[union-attr]
        assert list(pool.workers) == ["worker-2"]
