"""What the steps of a load test say."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.loadtest.steps import Step
from agentd.loadtest.verdict import as_json, conclude, exceeded, told, told_conclusion


def step(calls: int, v2v_ms: float = 600, **fields: Any) -> Step:
    usual: dict[str, Any] = {"arrived": [1.0], "cpu_per_call": 8.0, "memory_mib": 16.0, "spoken_s": 60.0}
    return Step(calls, v2v_s=[v2v_ms / 1000] * 10, **{**usual, **fields})


@pytest.mark.parametrize(
    ("measured", "reasons"),
    [
        (step(5), ()),
        (step(5, 699), ()),
        (step(5, 701), ("v2v p95 is 101 ms over that of 1 call",)),
        (step(5, arrived=[1.0, 0.99]), ()),
        (step(5, arrived=[1.0, 0.98]), ("99.0 % of the sound arrived",)),
        (step(5, unanswered=1), ("1 of 11 turns were not answered",)),
        (Step(5, unanswered=7), ("no turn was answered",)),
        (step(5, arrived=[]), ()),
    ],
)
def test_a_step_is_held_against_the_limits(measured: Step, reasons: tuple[str, ...]) -> None:
    assert exceeded(measured, step(1)) == reasons


def test_an_agent_that_leaves_turns_unanswered_by_itself_is_held_to_no_more_than_that() -> None:
    assert exceeded(step(5, unanswered=2), step(1, unanswered=2)) == ()
    assert exceeded(step(5, unanswered=3), step(1, unanswered=2)) != ()


def test_the_most_calls_are_those_before_the_first_number_that_failed() -> None:
    steps = [step(1, cpu_per_call=10.0), step(5, memory_mib=8.0), step(10, 900), step(20)]
    conclusion = conclude(steps)
    assert conclusion.most_calls == 5, "20 calls may have had luck"
    assert conclusion.exceeded == ("v2v p95 is 300 ms over that of 1 call",)
    assert (conclusion.calls_per_core, conclusion.calls_per_gib) == (12.5, 128.0)
    assert told_conclusion(conclusion).splitlines() == [
        "5 calls met the limits, and the next number did not: v2v p95 is 300 ms over that of 1 call.",
        "Calls per core 12.5, calls per GiB 128.0, beside what the daemon takes without a call.",
    ]


def test_when_all_met_the_limits_there_may_be_room_for_more() -> None:
    conclusion = conclude([step(1), step(2)])
    assert (conclusion.most_calls, conclusion.exceeded) == (2, ())
    assert "may be room for more" in told_conclusion(conclusion)


def test_when_none_met_them_the_figures_are_of_the_fewest_calls() -> None:
    conclusion = conclude([step(1, arrived=[0.5], memory_mib=-1.0, cpu_per_call=0.0), step(2)])
    assert (conclusion.most_calls, conclusion.calls_per_core, conclusion.calls_per_gib) == (0, None, None)
    assert "Not even the fewest calls met the limits: 50.0 % of the sound arrived." in told_conclusion(conclusion)
    assert "Calls per core unknown, calls per GiB unknown" in told_conclusion(conclusion)


def test_a_step_is_told_with_its_tails() -> None:
    measured = step(2, gaps_s=[0.07, 0.1, 0.4], lag_s=[0.001] * 9 + [0.101], unanswered=1, idle_mib=200.0)
    assert told(measured).splitlines() == [
        (
            "2 calls: CPU a call 8.0 %, memory a call 16.0 MiB (+200 idle), worst loop lag in a second: median 1 ms, "
            "p99 92 ms"
        ),
        "    v2v median   600 ms   p95   600 ms   worst   600 ms   n=10, unanswered 1",
        (
            "    sound that arrived 100.0 %, silences over 60 ms inside the agent's speech: 3.0 a minute, "
            "median 100 ms, p95 370 ms, longest 400 ms"
        ),
    ]
    told_of_nothing = told(Step(1, unanswered=3))
    assert "v2v none measured, unanswered 3" in told_of_nothing
    assert "nothing was heard" in told_of_nothing


def test_as_json_nothing_measured_is_null() -> None:
    written = as_json(Step(1), Step(1))
    assert (written["loop_lag_p99_s"], written["sound_arrived"]) == (None, None)
    assert written["v2v_s"] == {"median": None, "p95": None, "n": 0}
    assert written["gaps_s"] == {"over": 0.06, "a_minute": None, "median": None, "p95": None, "longest": None}
    assert written["limits_exceeded"] == ["no turn was answered"]
