"""Probes of registrations: what a missed offer means, when it is tried again, and who is told. In virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agentd.aio import now
from agentd.errors import TransportError
from agentd.runtime.probe import MARK, OFFER_WITHIN_S, Probes, Standing, judged, probe_room
from agentd.transport.protocol import Decline, Job
from tests.fakes.clock import run_virtual
from tests.runtime.parts import Counted

INTERVAL_S = 300.0


@dataclass
class World:
    """LiveKit as a probe sees it. `lost`: names whose offers reach nobody; `elsewhere`: another daemon; `down`: no
    answer at all."""

    names: list[str] = field(default_factory=lambda: ["desk"])
    lost: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    down: bool = False
    offer_s: float = 0.2
    rooms: dict[str, str] = field(default_factory=dict)
    opened: list[tuple[float, str]] = field(default_factory=list)
    renewed: list[tuple[float, str]] = field(default_factory=list)
    answers: list[Decline | None] = field(default_factory=list)
    measures: Counted = field(default_factory=Counted)
    probes: Probes = field(init=False)

    async def open(self, room: str, agent: str, metadata: str) -> None:
        if self.down:
            raise TransportError("no answer")
        self.opened.append((now(), agent))
        self.rooms[room] = agent
        job = Job(id=f"J-{room}", agent_name=agent, room_name=room, metadata=metadata)
        if agent in self.elsewhere:
            del self.rooms[room]
        elif agent not in self.lost:
            offer = lambda: self.answers.append(self.probes.offered(agent, job))  # noqa: E731
            asyncio.get_running_loop().call_later(self.offer_s, offer)

    async def stands(self, room: str) -> bool:
        return room in self.rooms

    async def close(self, room: str) -> None:
        self.rooms.pop(room, None)

    def of(self, outcome: str) -> float:
        return self.measures.of("worker_probes_total", outcome=outcome)


@asynccontextmanager
async def probing(world: World, interval_s: float | None = INTERVAL_S) -> AsyncIterator[World]:
    world.probes = Probes(
        world,
        interval_s=interval_s,
        known=lambda: world.names,
        registered=lambda: world.names,
        full=lambda name: name in world.full,
        renew=lambda name: world.renewed.append((now(), name)),
        measures=world.measures,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.probes.run())
        yield world
        task.cancel()


def story(world: World, tell: Callable[[World], object]) -> World:
    async def main() -> None:
        async with probing(world):
            await tell(world)  # type: ignore[misc]

    run_virtual(main(), limit_s=1e6)
    return world


def test_a_registration_that_receives_is_probed_once_an_interval_and_nobody_joins() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(3 * INTERVAL_S + 60)

    world = story(World(names=["desk", "shop"]), tell)
    assert world.of("received") == 6
    assert world.answers == [Decline(terminate=True)] * 6, "the server must try nobody else, and nobody joins"
    assert not world.rooms, "rooms were left behind"
    assert not world.renewed
    assert world.probes.stale == frozenset()


def test_one_that_misses_twice_is_stale_and_renewed_at_growing_intervals_until_it_receives() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(INTERVAL_S + 2 * OFFER_WITHIN_S + 3)
        assert world.probes.stale == {"desk"}
        await asyncio.sleep(200)
        world.lost.clear()
        await asyncio.sleep(INTERVAL_S)
        assert world.probes.stale == frozenset()

    world = story(World(names=["desk", "shop"], lost={"desk"}), tell)
    assert {name for _, name in world.renewed} == {"desk"}
    waits = [b - a for (a, _), (b, _) in zip(world.renewed, world.renewed[1:], strict=False)]
    assert waits == pytest.approx([35, 65], abs=2), "30 s, then 60 s, and the time of the probe itself"
    assert world.of("missed") == len(world.renewed) + 1
    assert world.measures.of("worker_renewals_total", agent="desk") == len(world.renewed)


def test_a_single_miss_is_none_yet() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(INTERVAL_S + 1)
        world.lost.clear()
        await asyncio.sleep(60)

    world = story(World(lost={"desk"}), tell)
    assert (world.of("missed"), world.of("received"), world.renewed) == (1, 1, [])


def test_what_another_daemon_was_offered_or_nobody_could_be_asked_about_judges_nothing() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(2 * INTERVAL_S + 60)
        world.elsewhere.clear()
        world.down = True
        await asyncio.sleep(2 * INTERVAL_S)

    world = story(World(elsewhere={"desk"}), tell)
    assert world.of("elsewhere") >= 2
    assert world.of("failed") >= 1
    assert not world.renewed


def test_a_full_agent_is_offered_nothing_and_so_not_probed() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(3 * INTERVAL_S)
        assert not world.opened
        world.full.clear()
        world.lost = {"desk"}
        await asyncio.sleep(1.5)
        world.full = {"desk"}  # while the probe waits
        await asyncio.sleep(60)

    world = story(World(full={"desk"}), tell)
    assert (world.of("failed"), world.of("missed")) == (1, 0)


def test_an_offer_of_a_call_is_as_good_as_a_probe() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(INTERVAL_S - 10)
        assert world.probes.offered("desk", Job(id="J", agent_name="desk", room_name="call-1")) is None
        await asyncio.sleep(INTERVAL_S - 10)
        assert not world.opened
        await asyncio.sleep(30)

    assert story(World(), tell).of("received") == 1


def test_another_daemons_probe_is_declined_for_the_next_to_have_it_and_its_room_deleted() -> None:
    async def main() -> None:
        async with probing(World(), interval_s=None) as world:
            room = "agentd-probe-other-1"
            world.rooms[room] = "desk"
            job = Job(id="J", agent_name="desk", room_name=room, metadata=json.dumps({MARK: room}))
            assert world.probes.offered("desk", job) == Decline()
            await asyncio.sleep(1)
            assert not world.rooms
            await asyncio.sleep(10 * INTERVAL_S)
            assert not world.opened, "it was not asked to probe"

    run_virtual(main(), limit_s=1e6)


def test_one_that_is_served_no_more_is_forgotten() -> None:
    async def tell(world: World) -> None:
        await asyncio.sleep(INTERVAL_S + 2 * OFFER_WITHIN_S + 3)
        assert world.probes.stale == {"desk"}
        world.names.clear()
        await asyncio.sleep(INTERVAL_S)
        assert world.probes.stale == frozenset()

    story(World(lost={"desk"}), tell)


@pytest.mark.parametrize(
    ("room", "metadata"),
    [
        ("call-1", '{"agentd_probe": "call-1"}'),
        ("agentd-probe-1", ""),
        ("agentd-probe-1", "[]"),
        ("agentd-probe-1", '{"agentd_probe": "agentd-probe-2"}'),
    ],
)
def test_a_call_is_not_taken_for_a_probe(room: str, metadata: str) -> None:
    assert probe_room(Job(id="J", agent_name="desk", room_name=room, metadata=metadata)) == ""


def test_an_outcome_that_tells_nothing_leaves_the_misses() -> None:
    missed = Standing(next_at=0.0, misses=1)
    assert judged(missed, "elsewhere", 10.0, 300.0) == Standing(next_at=310.0, misses=1)
    assert judged(missed, "received", 10.0, 300.0) == Standing(next_at=310.0)
    assert judged(missed, "missed", 10.0, 300.0) == Standing(next_at=40.0, misses=2)
    assert judged(Standing(next_at=0.0, misses=60), "missed", 10.0, 300.0).next_at == 310.0
