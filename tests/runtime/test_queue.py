"""Callers wait for a place and get it in their order; steps are taken and told; counts stay exact."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from agentd.config.busy import BusyStep, CallQueue
from agentd.providers.fields import Duration
from agentd.runtime.tick import tick
from agentd.tools.acts import EndSession
from tests.runtime.daemon import Daemon, running, until
from tests.runtime.parts import ROOMS, FakeSession, FakeSettings, Files, choice, definition

QUEUE = (BusyStep(queue=CallQueue(max=2, timeout=Duration(60.0))),)


def desk(name: str = "desk", **values: Any) -> Files:
    return Files({name: definition(name, **{"when_busy": QUEUE, **values})})


async def queued(daemon: Daemon, agent: str = "desk") -> str:
    """A call that waits in its room."""
    session_id = await daemon.registrations[agent].dispatch()
    assert session_id is not None, "declined"
    session = daemon.session(session_id)
    assert session is not None
    assert session.queued_at is not None
    await until(lambda: any(caption.text for caption in room_of(daemon, session_id).captions.values()))
    return session_id


def room_of(daemon: Daemon, session_id: str) -> Any:
    session = daemon.session(session_id)
    empty = type("Empty", (), {"captions": {}})
    return ROOMS.get(session.room, empty) if session is not None else empty


def told(daemon: Daemon, kind: str) -> list[dict[str, Any]]:
    return [dict(kept.event.data) for kept in daemon.supervisor.events().read(0).events if kept.event.type == kind]


async def test_a_caller_waits_hears_so_and_gets_the_place_that_becomes_free(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=1, sessions_per_worker=1) as daemon:
        first = await daemon.call("desk")
        waiting = await queued(daemon)
        session = daemon.session(waiting)
        assert session is not None
        assert waiting not in FakeSession.running
        assert not session.journal.exists(), "there is no session yet"
        assert daemon.registrations["desk"].load().load > 0.99
        assert daemon.supervisor.sessions()[-1].state == "queued"
        assert daemon.supervisor.agents()[0].sessions == 1
        await daemon.hang_up(first)
        await until(lambda: daemon.talks(waiting))
        placed = daemon.session(waiting)
        assert placed is not None
        assert (placed.incarnation, placed.queued_at, placed.worker) == (1, None, session.worker)
        assert FakeSession.running[waiting].setup.waited_s == placed.waited_s
        assert (
            daemon.registrations["desk"].running == [s.job for s in (session,)]
            or len(daemon.registrations["desk"].running) == 2
        )
        assert daemon.measures.of("calls_queued_total") == 1


async def test_the_queue_has_an_end_and_an_order(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=1, sessions_per_worker=1) as daemon:
        calls = [await daemon.call("desk"), await queued(daemon), await queued(daemon)]
        assert daemon.registrations["desk"].load().full
        assert await daemon.registrations["desk"].dispatch() is None, "two wait already"
        assert [event["position"] for event in told(daemon, "call_queued")] == [1, 2]
        for gone, next_one in itertools.pairwise(calls):
            await daemon.hang_up(gone)
            await until(lambda next_one=next_one: daemon.talks(next_one))  # type: ignore[misc]
        assert [event["outcome"] for event in told(daemon, "call_unqueued")] == ["admitted", "admitted"]


async def test_the_place_may_be_in_another_worker(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=2, sessions_per_worker=1) as daemon:
        held = {daemon.session(call).worker: call for call in [await daemon.call("desk") for _ in range(2)]}  # type: ignore[union-attr]
        waiting = await queued(daemon)
        own = daemon.session(waiting).worker  # type: ignore[union-attr]
        (other,) = held.keys() - {own}
        await daemon.hang_up(held[other])
        await until(lambda: daemon.talks(waiting))
        moved = daemon.session(waiting)
        assert moved is not None
        assert (moved.worker, moved.incarnation, moved.own_token) == (other, 2, True)
        assert FakeSession.running[waiting].setup.restored is None, "it begins there, with its greeting"
        assert sorted(worker.sessions for worker in daemon.supervisor.workers()) == [1, 1]


async def test_the_agents_own_limit_is_waited_for_and_holds_up_nobody_else(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk", concurrency=1, when_busy=QUEUE), "other": definition("other")})
    async with running(tmp_path, files, workers=1, sessions_per_worker=3) as daemon:
        first = await daemon.call("desk")
        waiting = await queued(daemon)
        await daemon.call("other")
        assert waiting not in FakeSession.running
        await daemon.hang_up(first)
        await until(lambda: daemon.talks(waiting))


async def test_who_leaves_or_is_ended_waits_no_longer_and_the_next_one_moves_up(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=1, sessions_per_worker=1) as daemon:
        await daemon.call("desk")
        first, second = await queued(daemon), await queued(daemon)
        room_of(daemon, first).leave()
        await until(lambda: daemon.session(first) is None)
        daemon.supervisor.calls.control(second, EndSession(reason="ended_by_operator"))
        await until(lambda: daemon.session(second) is None)
        left = [(event["outcome"], event["reason"]) for event in told(daemon, "call_unqueued")]
        assert left == [("left", "caller_left"), ("left", "ended_by_operator")]
        assert await queued(daemon), "there is room again"


async def test_a_call_that_waits_outlives_its_worker(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=2, sessions_per_worker=1) as daemon:
        calls = [await daemon.call("desk") for _ in range(2)]
        waiting = await queued(daemon)
        before = daemon.session(waiting)
        assert before is not None
        ROOMS.pop(before.room)
        daemon.kill(before.worker)
        await until(lambda: daemon.session(waiting).incarnation == 2 and before.room in ROOMS)  # type: ignore[union-attr]
        assert daemon.session(waiting).queued_at == before.queued_at, "its time goes on"  # type: ignore[union-attr]
        for call in calls:
            await until(lambda call=call: daemon.talks(call))  # type: ignore[misc]
            await daemon.hang_up(call)
        await until(lambda: daemon.talks(waiting))


async def test_a_drain_serves_those_who_wait(tmp_path: Path) -> None:
    async with running(tmp_path, desk(), workers=1, sessions_per_worker=1) as daemon:
        first, waiting = await daemon.call("desk"), await queued(daemon)
        daemon.supervisor.drain()
        assert await daemon.registrations["desk"].dispatch() is None
        await daemon.hang_up(first)
        await until(lambda: daemon.talks(waiting))
        await daemon.hang_up(waiting)
        assert daemon.run is not None
        assert await daemon.run is True


async def test_the_next_daemon_takes_over_those_who_wait(tmp_path: Path) -> None:
    from tests.runtime.daemon import deserting_launch

    settings: dict[str, Any] = {"alone_s": 10.0, "workers": 1, "sessions_per_worker": 1}
    async with running(tmp_path, desk(), launch=deserting_launch, **settings) as first:
        talking = await first.call("desk")
        waiting = await first.registrations["desk"].dispatch()
        assert waiting is not None
        await until(lambda: first.session(waiting).lost_at is None)  # type: ignore[union-attr]
        await first.die()
        async with running(tmp_path, desk(), launch=deserting_launch, **settings) as second:
            await until(lambda: second.session(talking) is not None)
            await until(lambda: second.talks(waiting))
            adopted = second.session(waiting)
            assert adopted is not None
            assert adopted.worker == "worker-1", "the new worker has the place"


@pytest.mark.parametrize("seed", range(4))
async def test_counts_stay_exact_whatever_comes_and_goes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    files = Files(
        {
            "desk": definition("desk", concurrency=3, when_busy=(BusyStep(queue=CallQueue(max=3)),)),
            "shop": definition("shop", when_busy=(BusyStep(queue=CallQueue(max=2)),)),
            "plain": definition("plain", concurrency=2),
        }
    )
    async with running(tmp_path, files, workers=2, sessions_per_worker=2) as daemon:
        table = daemon.supervisor.calls.table
        order: list[str] = []
        for _ in range(60):
            if rng.random() < 0.55:
                agent = rng.choice(["desk", "shop", "plain"])
                session_id = await daemon.registrations[agent].dispatch()
                if session_id is not None and table.get(session_id).queued_at is not None:  # type: ignore[union-attr]
                    order.append(session_id)
            elif len(table):
                session = rng.choice(list(table))
                daemon.supervisor.calls.control(session.id, EndSession(reason="caller_left"))
                await until(lambda gone=session.id: table.get(gone) is None)  # type: ignore[misc]
            assert len(table.placed()) <= 4
            assert max(table.load_of_worker(each.name) for each in daemon.supervisor.pool.ready) <= 2
            assert table.load_of_agent("desk") <= 3
            assert table.load_of_agent("plain") <= 2
            assert table.queued_of_agent("desk") <= 3
            assert table.queued_of_agent("shop") <= 2
            assert not table.queued_of_agent("plain")
            free = 4 - len(table.placed())
            assert not (free and table.queued_of_agent("shop")), "no place stands empty while somebody waits for it"
        waiting = [each.id for each in table.queue()]
        assert waiting == [each for each in order if each in waiting], "in the order in which they came"
        await until(lambda: all(daemon.talks(each.id) for each in table.placed()))


# Steps.


async def test_steps_are_told_to_new_calls_to_those_under_way_and_to_who_follows(tmp_path: Path) -> None:
    small = choice("llm", FakeSettings(label="small"))
    steps = (BusyStep(load=0.5, preemptive="off"), BusyStep(load=0.75, llm=small))
    files = Files({"desk": definition("desk", when_busy=steps)})
    async with running(tmp_path, files, workers=1, sessions_per_worker=4) as daemon:
        acts: list[Any] = []
        calls = [await daemon.call("desk") for _ in range(2)]
        for call in calls:
            FakeSession.running[call].do = acts.append  # type: ignore[method-assign]
        assert [FakeSession.running[call].setup.busy.step for call in calls] == [0, 1]
        third = await daemon.call("desk")
        tick(daemon.supervisor.parts)
        await until(lambda: len(acts) >= 2)
        assert (acts[-1].step, acts[-1].early) == (2, False)
        setup = FakeSession.running[third].setup
        assert (setup.busy.step, setup.busy.early, setup.llm_step) == (2, False, 1)
        assert setup.providers.llm[0].provider.label == "small"  # type: ignore[attr-defined]
        assert FakeSession.running[calls[0]].setup.providers.llm[0].provider.label == "llm"  # type: ignore[attr-defined]
        events = [(event["step"], event["given_up"]) for event in told(daemon, "busy_changed")]
        assert events == [(1, ["preemptive"]), (2, ["preemptive", "llm"])]
        assert daemon.supervisor.agents()[0].busy_step == 2


async def test_a_rescued_call_keeps_the_model_it_began_with(tmp_path: Path) -> None:
    small = choice("llm", FakeSettings(label="small"))
    files = Files({"desk": definition("desk", when_busy=(BusyStep(load=0.25, llm=small),))})
    async with running(tmp_path, files, workers=2, sessions_per_worker=2) as daemon:
        await daemon.call("desk")
        call = await daemon.call("desk")
        daemon.kill(daemon.session(call).worker)  # type: ignore[union-attr]
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        assert FakeSession.running[call].setup.llm_step == 0
        assert FakeSession.running[call].setup.providers.llm[0].provider.label == "small"  # type: ignore[attr-defined]


async def test_calls_are_refused_from_a_step_on_though_there_are_places(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk", when_busy=(BusyStep(load=0.5, refuse=True),))})
    async with running(tmp_path, files, workers=1, sessions_per_worker=4) as daemon:
        await daemon.call("desk")
        await daemon.call("desk")
        assert await daemon.registrations["desk"].dispatch() is None
        assert daemon.supervisor.refusal("desk") == "50% of the capacity is used"
