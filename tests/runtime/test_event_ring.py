from __future__ import annotations

import asyncio
from random import Random

import pytest

from agentd.runtime.event_ring import AT_ONCE, EventRing
from agentd.tools.spec import Event
from tests.fakes.clock import run_virtual


def event(number: int, text: str = "") -> Event:
    return Event(type="error", session="s-1", agent="desk", at=0.0, data={"n": number, "text": text})


def numbers(ring: EventRing, after: int) -> list[int]:
    return [kept.event.data["n"] for kept in ring.read(after).events]


def test_a_reader_goes_on_where_it_was() -> None:
    ring = EventRing()
    ring.add([event(1), event(2)])
    reading = ring.read(ring.oldest)
    assert (numbers(ring, ring.oldest), reading.missed) == ([1, 2], 0)
    ring.add([event(3)])
    assert numbers(ring, reading.after) == [3]
    assert numbers(ring, ring.newest) == []


def test_it_keeps_the_newest_and_tells_how_many_were_missed() -> None:
    ring = EventRing(events=3)
    ring.add(event(number) for number in range(1, 11))
    reading = ring.read(4)
    assert [kept.event.data["n"] for kept in reading.events] == [8, 9, 10]
    assert (reading.missed, reading.after) == (3, 10)
    assert ring.read(10).missed == 0


def test_large_events_push_out_more_and_the_last_always_stays() -> None:
    ring = EventRing(size=10_000)
    ring.add(event(number, "x" * 3_000) for number in range(1, 6))
    assert numbers(ring, 0) == [3, 4, 5]
    ring.add([event(6, "x" * 50_000)])
    assert numbers(ring, 0) == [6]


def test_an_id_of_this_daemon_is_a_place_and_any_other_is_before_everything() -> None:
    ring, other = EventRing(), EventRing()
    ring.add(event(number) for number in range(1, 4))
    assert ring.place_of(ring.id_of(2)) == 2
    for unknown in (other.id_of(2), ring.id_of(99), "nonsense", ring.id_of(1) + "x", "-1"):
        reading = ring.read(ring.place_of(unknown))
        assert [kept.event.data["n"] for kept in reading.events] == [1, 2, 3]
        assert reading.missed == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_of_any_pace_gets_every_event_once_in_order_or_learns_that_it_missed_some(seed: int) -> None:
    async def story() -> None:
        rng = Random(seed)
        ring = EventRing(events=rng.randint(1, 300))
        got: list[int] = []
        missed = 0
        total = 1_000

        async def write() -> None:
            made = 0
            while made < total:
                many = min(rng.randint(1, 250), total - made)
                ring.add(event(made + n + 1) for n in range(many))
                made += many
                await asyncio.sleep(rng.random())
            ring.close()

        async def read() -> None:
            nonlocal missed
            after = 0
            while True:
                reading = ring.read(after)
                assert len(reading.events) <= AT_ONCE
                got.extend(kept.event.data["n"] for kept in reading.events)
                missed += reading.missed
                after = reading.after
                if after >= ring.newest and ring.closed:
                    return
                await asyncio.sleep(rng.random() * 0.3)
                await ring.wait(after)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(read())
        assert got == sorted(set(got))
        assert len(got) + missed == total

    run_virtual(story())
