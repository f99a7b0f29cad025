"""A canary's way from its first call to its promotion, without a daemon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.config.rollout import Objectives, Rollout
from agentd.providers.fields import Duration
from agentd.runtime.canary import MOST_BEHIND, Progress, attributes_of, counted, decided, is_due, judged, matches, seen
from agentd.runtime.objectives import Figures
from agentd.transport.protocol import Job
from tests.runtime.parts import definition


def job(**values: Any) -> Job:
    return Job(id="J", agent_name="desk", room_name="r", **values)


TENTH = Rollout(of="desk", percent=10)
CANARY = replace(definition("next"), rollout=TENTH)


def begun(**values: Any) -> Progress:
    return replace(seen(None, CANARY, TENTH, "w1", "b1", 0.0), **values)


def shared(progress: Progress, rollout: Rollout, one: Job, *, room: bool = True) -> tuple[bool, Progress]:
    takes = room and is_due(progress, rollout, one)
    return takes, counted(progress, rollout, one, taken=takes)


def taken(rollout: Rollout, calls: int, progress: Progress | None = None) -> list[int]:
    found, now = [], progress or begun()
    for number in range(1, calls + 1):
        takes, now = shared(now, rollout, job())
        if takes:
            found.append(number)
    return found


def test_its_share_is_exact_to_a_call() -> None:
    assert taken(TENTH, 40) == [5, 15, 25, 35]
    assert len(taken(Rollout(of="desk", percent=33), 1000)) == 330
    assert taken(Rollout(of="desk", percent=100), 3) == [1, 2, 3]
    assert taken(Rollout(of="desk", percent=0), 100) == []


@given(percent=st.integers(0, 100), rooms=st.lists(st.booleans(), max_size=200))
def test_its_share_is_exact_to_a_call_also_when_it_has_no_room_for_some(percent: int, rooms: list[bool]) -> None:
    rollout, now, has, given_up = Rollout(of="desk", percent=percent), begun(), 0, False
    for number, room in enumerate(rooms, start=1):
        takes, now = shared(now, rollout, job(), room=room)
        has += takes
        due = number * percent / 100
        assert has <= due + 1, "it is never ahead by more"
        given_up |= now.credit >= MOST_BEHIND
        if room and not takes and not given_up:
            assert has > due - 1, "nor behind, once it has had the room to make up for it"


def test_a_canary_that_was_full_for_long_makes_up_for_some_calls_only() -> None:
    now = begun()
    for _ in range(10_000):
        _, now = shared(now, TENTH, job(), room=False)
    assert taken(TENTH, 100, now)[:11] == [*range(1, 12)]
    assert len(taken(TENTH, 100, now)) == 20


def test_only_what_matches_counts() -> None:
    gold = Rollout(of="desk", match={"plan": "gold"}, percent=50)
    now, found = begun(), []
    for number in range(8):
        takes, now = shared(now, gold, job(attributes={"plan": "gold" if number % 2 else "tin"}))
        found.append(takes)
    assert found == [False, True, False, False, False, True, False, False]
    assert taken(Rollout(of="desk", match={}, percent=None), 2) == [1, 2]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"metadata": '{"plan": "gold", "vip": true, "age": 7, "deep": {"x": 1}}'},
         {"plan": "gold", "vip": "true", "age": "7"}),
        ({"metadata": '{"plan": "tin", "attributes": {"plan": "gold"}}'}, {"plan": "gold"}),
        ({"metadata": "no json", "attributes": {"a": "1"}}, {"a": "1"}),
        ({"metadata": "[1]"}, {}),
        ({"attributes": {"a": "1"}, "participant_attributes": {"a": "2"}}, {"a": "2"}),
    ],
)  # fmt: skip
def test_what_a_dispatch_says_of_a_call(values: dict[str, Any], told: dict[str, str]) -> None:
    assert attributes_of(job(**values)) == told


def test_all_that_is_asked_for_must_match() -> None:
    rollout = Rollout(of="desk", match={"plan": "gold", "vip": "true"})
    assert matches(rollout, job(metadata='{"plan": "gold", "vip": true}'))
    assert not matches(rollout, job(metadata='{"plan": "gold"}'))


GOOD, BAD = Figures(calls=300), Figures(calls=300, failed=100)
ASKED = Objectives(error_rate=0.02)


def test_it_is_promoted_and_then_takes_every_call() -> None:
    promoted = judged(begun(figures=GOOD), ASKED, 60.0)
    assert (promoted.state, promoted.since) == ("promoted", 60.0)
    assert taken(TENTH, 3, promoted) == [1, 2, 3]


def test_it_is_rolled_back_and_then_takes_none() -> None:
    rolled_back = judged(begun(figures=BAD), ASKED, 60.0)
    assert rolled_back.state == "rolled_back"
    assert rolled_back.why.startswith("error_rate 33.3%")
    assert taken(TENTH, 100, rolled_back) == []
    assert judged(rolled_back, ASKED, 61.0) is rolled_back


def test_it_is_not_promoted_before_its_time_but_rolled_back_at_once() -> None:
    patient = replace(ASKED, min_time=Duration(3600.0))
    assert judged(begun(figures=GOOD), patient, 3599.0).state == "running"
    assert judged(begun(figures=GOOD), patient, 3600.0).state == "promoted"
    assert judged(begun(figures=BAD), patient, 1.0).state == "rolled_back"


def test_without_objectives_it_runs_until_somebody_ends_it() -> None:
    assert judged(begun(figures=BAD), None, 60.0).state == "running"
    assert decided(begun(), "promoted", "because", 5.0).state == "promoted"


def test_an_edit_begins_it_anew() -> None:
    for state in ("promoted", "rolled_back", "superseded", "running"):
        before = begun(state=state, figures=BAD)
        edited = replace(CANARY, instructions="other")
        after = seen(before, edited, TENTH, "w2", "b1", 9.0)
        assert (after.state, after.figures, after.began) == ("running", Figures(), 9.0)


def test_a_share_can_be_raised_on_the_way() -> None:
    more = Rollout(of="desk", percent=50, objectives=ASKED)
    after = seen(begun(figures=GOOD), replace(CANARY, rollout=more, description="x"), more, "w2", "b1", 9.0)
    assert (after.figures, after.began, after.written) == (GOOD, 0.0, "w2")


def test_an_edit_of_the_other_ends_a_promotion_and_nothing_else() -> None:
    running = seen(begun(figures=GOOD), CANARY, TENTH, "w1", "b2", 9.0)
    assert (running.state, running.figures, running.base) == ("running", GOOD, "b2")
    promoted = seen(begun(state="promoted"), CANARY, TENTH, "w1", "b1", 9.0)
    assert promoted.state == "promoted"
    superseded = seen(promoted, CANARY, TENTH, "w1", "b2", 9.0)
    assert superseded.state == "superseded"
    assert taken(TENTH, 100, superseded) == []


def test_another_target_begins_it_anew() -> None:
    shop = Rollout(of="shop", percent=10)
    assert seen(begun(figures=GOOD), CANARY, shop, "w1", "b1", 9.0).figures == Figures()
