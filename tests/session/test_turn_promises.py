"""No random conversation, under any detection and policy, deadlocks, talks over the caller, loses a turn, or shows an
agent speaking that is not heard."""

from __future__ import annotations

import pytest

from tests.session.promises import DETECTIONS, POLICIES, live


@pytest.mark.parametrize("detection", DETECTIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_whatever_happens_the_promises_of_turn_taking_hold(detection: str, policy: str) -> None:
    for seed in range(2):
        live(detection, policy, seed)
