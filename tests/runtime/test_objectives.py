from __future__ import annotations

import math

import pytest

from agentd.config.rollout import Objectives
from agentd.providers.fields import Duration
from agentd.runtime.objectives import NO_FIGURES, Figures, assess, measured, percentile, wilson, with_call
from agentd.runtime.outcome import SessionOutcome, Verdict

Z = 1.959964


def test_wilsons_interval_is_that_of_the_textbooks() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(hits, count, Z) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(1, 29, Z) == (pytest.approx(0.0061, abs=5e-5), pytest.approx(0.1718, abs=5e-5))
    assert wilson(0, 0, Z) == (None, None)


def test_a_percentiles_interval_is_that_of_its_ranks() -> None:
    values = [number / 100 for number in range(1, 1001)]
    value, low, high = percentile(values, 0.95, Z)
    assert value == pytest.approx(9.5)
    spread = Z * math.sqrt(1000 * 0.95 * 0.05)
    assert low == pytest.approx(math.floor(950 - spread) / 100)
    assert high == pytest.approx((math.ceil(950 + spread) + 1) / 100)
    assert percentile(values[:20], 0.95, Z)[2] is None, "twenty values say nothing of what may be above them"
    assert percentile([], 0.95, Z) == (None, None, None)


def figures(calls: int, failed: int, gaps: tuple[float, ...] = ()) -> Figures:
    return Figures(calls=calls, failed=failed, gaps=gaps)


@pytest.mark.parametrize(
    ("calls", "failed", "decision"),
    [
        (49, 49, "collecting"),  # nothing is decided before
        (50, 0, "collecting"),  # may still be 7 %
        (50, 6, "roll_back"),  # at least 5.6 %
        (200, 0, "promote"),  # at most 1.9 %
        (499, 14, "collecting"),
        (500, 10, "promote"),  # the last call is in: 2 % is 2 %
        (500, 11, "roll_back"),
    ],
)
def test_a_rate_is_judged_by_its_interval(calls: int, failed: int, decision: str) -> None:
    assert assess(figures(calls, failed), Objectives(error_rate=0.02)).decision == decision


def test_a_gap_is_judged_by_its_percentile() -> None:
    objectives = Objectives(gap_p95=Duration(1.5), min_calls=10)
    assert assess(figures(10, 0, (1.0,) * 200), objectives).decision == "promote"
    slow = assess(figures(10, 0, (1.0,) * 150 + (2.0,) * 50), objectives)
    assert slow.decision == "roll_back"
    assert slow.why == "gap_p95 2.00 s (2.00 s to 2.00 s, n=200), limit 1.50 s"
    assert assess(figures(10, 0, (1.0,) * 20), objectives).decision == "collecting"


def test_one_missed_objective_is_enough_and_all_must_be_met() -> None:
    both = Objectives(error_rate=0.05, tool_failure_rate=0.05, min_calls=50, max_calls=1000)
    good = Figures(calls=200, failed=0, tools=200, tools_failed=0)
    assert assess(good, both).decision == "promote"
    assert assess(Figures(calls=200, failed=0, tools=200, tools_failed=40), both).decision == "roll_back"
    assert assess(Figures(calls=200, failed=0, tools=3), both).why == "200 calls leave open: tool_failure_rate"


def test_what_nothing_measures_is_no_fault_in_the_end() -> None:
    objectives = Objectives(tool_failure_rate=0.05, min_calls=10, max_calls=20)
    assert assess(Figures(calls=19), objectives).decision == "collecting"
    assert assess(Figures(calls=20), objectives).decision == "promote"


def test_everything_is_told_also_what_nobody_asks_for() -> None:
    [gap, errors, interruptions, tools] = measured(Figures(calls=4, failed=1, replies=8, interrupted=2), Objectives())
    assert (errors.value, errors.count, errors.state) == (0.25, 4, "unasked")
    assert (interruptions.value, interruptions.count) == (0.25, 8)
    assert (gap.value, tools.value) == (None, None)


def test_a_call_adds_up_unless_it_tells_nothing() -> None:
    outcome = SessionOutcome(answers=2, replies=3, interrupted=1, tools=2, tools_failed=1, gaps=(0.5, 0.7))
    assert with_call(NO_FIGURES, outcome, Verdict("neutral")) == NO_FIGURES
    once = with_call(NO_FIGURES, outcome, Verdict("good"))
    assert once == Figures(calls=1, replies=3, interrupted=1, tools=2, tools_failed=1, gaps=(0.5, 0.7))
    assert with_call(once, outcome, Verdict("failed", "x")).failed == 1
