"""What a benchmark of overload calls a broken promise."""

from __future__ import annotations

import pytest

from bench.overload import Refusals


def test_refusals_in_time_and_no_call_without_a_place_are_what_is_promised() -> None:
    assert Refusals(by_livekit_s=[0.002] * 199 + [0.4]).broken() == []  # a single one in 200 is beyond p99


@pytest.mark.parametrize(
    ("refusals", "says"),
    [
        (Refusals(by_livekit_s=[0.002] * 95 + [0.06] * 5), "p99 of 100 refusals by LiveKit's protocol is 60 ms"),
        (Refusals(by_livekit_s=[0.002] * 100, taken=1), "calls that were taken without a place: 1"),
        (Refusals(), "no refusal by LiveKit's protocol was measured"),
    ],
)
def test_anything_else_is_a_broken_promise(refusals: Refusals, says: str) -> None:
    assert refusals.broken() == [says]
