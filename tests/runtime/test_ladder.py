"""Steps are taken at once and left slowly; the way in follows the load of the moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentd.config.busy import BusyStep, CallQueue
from agentd.runtime.ladder import CALM_S, LAST_CHOICE, Ladder, left_below, steps_at, way_in
from agentd.runtime.placement import Load, Place, Thresholds, fraction_of
from tests.runtime.parts import choice

LOADS = (0.6, 0.8, 1.0)
FREE = Load(load=0.5, full=False)
FULL = Load(load=1.0, full=True, why="every worker is full", reason="capacity")
QUEUE = BusyStep(load=0.9, queue=CallQueue(max=2))


def test_steps_are_taken_at_once_and_left_one_by_one_after_a_calm_while() -> None:
    ladder = Ladder(LOADS)
    assert [ladder.step(load, 0.0) for load in (0.5, 0.6, 0.95, 1.0)] == [0, 1, 2, 3]
    assert [ladder.step(0.3, float(at)) for at in (1, 10, 11, 20, 21, 31, 99)] == [3, 3, 2, 2, 1, 0, 0]


def test_a_load_that_swings_about_a_threshold_changes_nothing() -> None:
    ladder = Ladder(LOADS)
    ladder.step(0.8, 0.0)
    assert {ladder.step(0.71 if at % 2 else 0.8, float(at)) for at in range(100)} == {2}
    assert {ladder.step(0.5 if at % 9 else 0.75, 100.0 + at) for at in range(100)} == {2}, "never calm for long enough"


def test_a_step_from_a_small_load_on_can_be_left() -> None:
    assert left_below(0.05) == 0.025
    ladder = Ladder((0.05,))
    ladder.step(0.5, 0.0)
    assert [ladder.step(0.0, at) for at in (1.0, 1.0 + CALM_S)] == [1, 0]


@given(
    loads=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4).map(sorted),
    seen=st.lists(st.floats(0.0, 1.0), max_size=200),
)
def test_no_step_is_left_within_the_calm_while_and_none_that_is_reached_is_missing(
    loads: list[float], seen: list[float]
) -> None:
    ladder, before, changed_at = Ladder(loads), 0, -CALM_S
    for at, load in enumerate(seen):
        level = ladder.step(load, float(at))
        assert level >= sum(load >= begins for begins in loads), "a step that is reached is taken"
        assert level >= before or (before - level == 1 and at - changed_at >= CALM_S)
        if level != before:
            changed_at, before = float(at), level


def test_what_holds_is_what_all_steps_up_to_the_level_say() -> None:
    small = choice("llm")
    steps = (BusyStep(load=0.5, llm=small), BusyStep(load=0.7, preemptive="off"), BusyStep(load=0.8, llm=small))
    assert [steps_at(steps, level) for level in range(4)] == [(True, None), (True, 0), (False, 0), (False, 2)]


def test_without_steps_a_call_has_a_place_or_is_refused() -> None:
    assert way_in((), 0.9, FREE, 0).to == "place"
    assert (way_in((), 1.0, FULL, 0).to, way_in((), 1.0, FULL, 0).told) == ("nowhere", FULL)


def test_a_queue_takes_what_has_no_place_until_it_is_full() -> None:
    assert way_in((QUEUE,), 0.5, FREE, 0).to == "place"
    assert way_in((QUEUE,), 0.5, FREE, 1).to == "queue", "nobody goes before those who wait"
    assert way_in((QUEUE,), 0.9, FREE, 0).to == "queue", "from its load on"
    last = way_in((QUEUE,), 1.0, FULL, 1)
    assert (last.to, last.told.load, last.told.full) == ("queue", LAST_CHOICE, False)
    refused = way_in((QUEUE,), 1.0, FULL, 2)
    assert (refused.to, refused.load.full, refused.load.reason) == ("nowhere", True, "busy")


def test_an_overloaded_machine_holds_nobody_in_a_queue() -> None:
    for reason in ("cpu", "memory", "lag", "budget", "draining", "no_worker", "not_durable", "removed"):
        load = Load(load=1.0, full=True, reason=reason)  # type: ignore[arg-type]
        assert way_in((QUEUE,), 1.0, load, 0).to == "nowhere"


def test_calls_are_refused_from_a_load_on_though_there_are_places() -> None:
    steps = (QUEUE, BusyStep(load=0.95, refuse=True))
    assert [way_in(steps, fraction, FREE, 0).to for fraction in (0.89, 0.9, 0.95)] == ["place", "queue", "nowhere"]
    assert way_in((BusyStep(load=0.8, refuse=True),), 0.8, FREE, 0).load.reason == "busy"


def test_the_fraction_is_of_all_that_the_daemon_can_have() -> None:
    places = [Place(worker="a", sessions=8, capacity=10, cpu=0.7)]
    thresholds = Thresholds(cpu=0.7)
    assert fraction_of(places, capacity=40, cores=4, thresholds=thresholds) == 0.25, "of four workers one is there"
    assert fraction_of(places, capacity=10, cores=4, thresholds=thresholds) == 0.8
    assert fraction_of(places, capacity=40, cores=2, thresholds=thresholds) == 0.5, "of the processors that it may use"
    late = [Place(worker="a", sessions=1, capacity=10, lag_s=0.3)]
    assert fraction_of(late, capacity=10, cores=4, thresholds=thresholds) == 1.0
