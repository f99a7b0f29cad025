"""Workers follow the load within their bounds, never flap, and no call is cut for it."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agentd.runtime.placement import Place
from agentd.runtime.scaling import FULL_ABOVE, STEADY_READINGS, Bounds, Scaling, Sizing, demand, needed
from tests.runtime.daemon import running, until
from tests.runtime.parts import Files, definition

BOUNDS = Bounds(fewest=1, most=6, quiet_s=30.0)


def test_load_is_the_larger_of_sessions_and_processor_of_each_worker() -> None:
    places = [
        Place(worker="a", sessions=5, capacity=10, cpu=0.2),
        Place(worker="b", sessions=1, capacity=10, cpu=0.9),
        Place(worker="c", sessions=0, capacity=10, cpu=1.7),
    ]
    assert demand(places) == 0.5 + 0.9, "what a worker without calls does, as loading a model, is no load"
    assert demand(places, waiting=5) == 0.5 + 0.9 + 0.5


def test_one_more_is_started_before_the_pool_is_full() -> None:
    sizing = Sizing(BOUNDS)
    assert sizing.step(0.75, 1, 0.0) == 0
    assert sizing.step(0.76, 1, 1.0) == 1
    assert sizing.step(3.2, 2, 2.0) == 3, "for a burst several at once"
    assert sizing.step(40.0, 5, 3.0) == 1, "and never more than there may be"


def test_one_is_let_go_after_a_quiet_while() -> None:
    sizing = Sizing(BOUNDS)
    assert [sizing.step(0.4, 3, float(at)) for at in range(62)] == [-1 if at in (30, 60) else 0 for at in range(62)]


def test_a_busy_moment_begins_the_quiet_while_anew() -> None:
    sizing = Sizing(BOUNDS)
    assert not any(sizing.step(0.9, 2, float(at)) for at in range(100)), "too much for one, and enough for two"
    assert not any(sizing.step(0.2, 2, 100.0 + at) for at in range(29))
    assert sizing.step(0.6, 2, 129.0) == 0
    assert not any(sizing.step(0.2, 2, 130.0 + at) for at in range(30))
    assert sizing.step(0.2, 2, 160.0) == -1


def test_a_steady_load_of_what_one_worker_holds_asks_for_no_more_than_it_says() -> None:
    assert [needed(load, FULL_ABOVE) for load in (0.0, 0.75, 0.76, 1.5, 1.51)] == [0, 1, 2, 2, 3]


LOADS = st.lists(st.floats(min_value=0, max_value=12), min_size=1, max_size=300)


@given(loads=LOADS, fewest=st.integers(1, 4), more=st.integers(0, 5), delay=st.integers(0, 4))
def test_any_load_keeps_the_bounds_and_makes_no_oscillation(
    loads: list[float], fewest: int, more: int, delay: int
) -> None:
    """Each step is a second; `delay`: how long after its start a worker could be ready, which may not matter."""
    bounds = Bounds(fewest=fewest, most=fewest + more, quiet_s=20.0)
    sizing, workers, changes = Sizing(bounds), fewest, []
    for at, load in enumerate(loads):
        change = sizing.step(load, workers, float(at * (1 + delay)))
        if change:
            changes.append((at * (1 + delay), change))
        workers += change
        assert bounds.fewest <= workers <= bounds.most
        if workers < bounds.most:
            assert load <= FULL_ABOVE * workers + 1e-6, "never short of workers while there may be more"
    for (earlier, _), (later, change) in itertools.pairwise(changes):
        assert change > 0 or later - earlier >= bounds.quiet_s


@given(loads=LOADS, steady=st.floats(min_value=0, max_value=12))
def test_a_steady_load_comes_to_rest(loads: list[float], steady: float) -> None:
    sizing, workers, at = Sizing(BOUNDS), 1, 0.0
    for load in loads:
        at += 1
        workers += sizing.step(load, workers, at)
    changes = []
    for _ in range(int(BOUNDS.quiet_s) * (BOUNDS.most + 1)):
        at += 1
        change = sizing.step(steady, workers, at)
        workers += change
        changes += [change] if change else []
    assert all(sizing.step(steady, workers, at + after) == 0 for after in range(200))
    assert not (any(change > 0 for change in changes) and any(change < 0 for change in changes)), "one way only"


async def test_a_busy_second_of_the_processor_starts_no_worker_and_busy_seconds_do(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"desk": definition("desk")}), workers=1) as daemon:
        cpu = [0.2]
        scaling = Scaling(
            daemon.supervisor.pool,
            Bounds(fewest=1, most=2),
            places=lambda: [Place(worker="worker-1", sessions=1, capacity=10, cpu=cpu[0])],
            waiting=lambda: 0,
            measures=daemon.measures,
        )
        for cpu[0] in (0.2, 1.0, 1.0, 1.0, 1.0, 0.3):
            scaling.tick()
        assert daemon.supervisor.pool.staying == 1
        for cpu[0] in (0.9,) * STEADY_READINGS:
            scaling.tick()
        assert daemon.supervisor.pool.staying == 2


async def test_workers_come_with_the_calls_and_go_after_them_and_no_call_is_cut(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1, workers_most=3, quiet_s=0.2, sessions_per_worker=2) as daemon:
        pool, scaling = daemon.supervisor.pool, daemon.supervisor.parts.scaling
        scaling.tick()
        assert list(pool.workers) == ["worker-1"], "nothing to do"
        first = [await daemon.call("desk"), await daemon.call("desk")]
        scaling.tick()
        await until(lambda: [each.name for each in pool.ready] == ["worker-1", "worker-2"])
        late = await daemon.call("desk")
        assert daemon.session(late).worker == "worker-2"  # type: ignore[union-attr]
        for call in first:
            await daemon.hang_up(call)
        await until(lambda: _ticked(daemon) and list(pool.workers) == ["worker-2"])
        assert daemon.talks(late)
        assert daemon.session(late).incarnation == 1
        assert daemon.measures.of("worker_restarts_total") == 0
        assert daemon.measures.of("worker_scalings_total") == 2


async def test_one_that_is_let_go_with_a_call_ends_after_it(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=2, sessions_per_worker=2) as daemon:
        pool = daemon.supervisor.pool
        call = await daemon.call("desk")
        worker = daemon.session(call).worker  # type: ignore[union-attr]
        assert pool.let_go(worker)
        assert not pool.let_go(worker)
        other = await daemon.call("desk")
        assert daemon.session(other).worker != worker, "it takes no more"  # type: ignore[union-attr]
        pool.retire()
        assert daemon.talks(call)
        await daemon.hang_up(call)
        await until(lambda: worker not in pool.workers)
        assert daemon.talks(other)


async def test_one_that_is_let_go_and_dies_is_not_started_again_and_its_call_goes_on(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=2) as daemon:
        call = await daemon.call("desk")
        worker = daemon.session(call).worker  # type: ignore[union-attr]
        daemon.supervisor.pool.let_go(worker)
        daemon.kill(worker)
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        await until(lambda: worker not in daemon.supervisor.pool.workers)


def _ticked(daemon: object) -> bool:
    supervisor = daemon.supervisor  # type: ignore[attr-defined]
    supervisor.parts.scaling.tick()
    supervisor.pool.retire()
    return True
