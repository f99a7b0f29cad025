"""Silences within what was heard."""

from __future__ import annotations

import numpy as np
import pytest

from agentd.loadtest.heard import EAR_PIECE, Heard


def recording(*spans: tuple[bool, float]) -> Heard:
    """Sound or silence, and for how many seconds, from 0."""
    heard, pieces = Heard(), 0
    for loud, seconds in spans:
        for _ in range(round(seconds * 100)):
            pieces += 1
            heard.add(pieces / 100, np.full(EAR_PIECE, 8000 if loud else 0, np.int16))
    return heard


def test_silences_that_one_notices_are_found_inside_the_span() -> None:
    heard = recording((True, 0.5), (False, 0.05), (True, 0.5), (False, 0.2), (True, 0.5), (False, 2.0))
    assert heard.gaps_s(0.0, 1.7) == pytest.approx([0.2], abs=0.011)
    assert heard.gaps_s(0.0, 0.6) == []


def test_a_silence_that_does_not_end_within_the_span_counts_to_its_end() -> None:
    heard = recording((True, 0.5), (False, 2.0))
    assert heard.gaps_s(0.0, 1.5) == pytest.approx([1.0], abs=0.011)
