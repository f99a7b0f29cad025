"""A long call gets neither slower nor heavier. `python -m bench.endurance` makes it two hours long."""

from __future__ import annotations

from statistics import median

import pytest

from bench.endurance import HISTORY_TOKENS, endure


@pytest.mark.timeout(90)  # about 9 s of a processor, which a busy machine does not have at once
def test_a_long_call_stays_as_fast_and_as_light_as_it_was_at_first() -> None:
    seen = endure(90)
    assert seen.errors == []
    assert len(seen.delay_s) == 90
    assert all(delay_s > 0 for delay_s in seen.delay_s)

    assert len(seen.first) >= 10
    assert len(seen.last) >= 10
    assert median(seen.last) == median(seen.first)
    assert max(seen.last) <= max(seen.first)

    assert seen.most_tokens <= HISTORY_TOKENS
    assert "context.summarized" in seen.kinds

    early, late = seen.settled, seen.marks[-1]
    assert late.objects - early.objects <= 0.005 * early.objects
    assert late.blocks - early.blocks <= 0.005 * early.blocks
    assert (late.tasks, late.fds) == (early.tasks, early.fds)
    assert seen.left == 0

    assert seen.languages == {"de", "en"}
    assert {"words", "short_sound", "speech_onset", "words_known"} <= seen.rules
    assert "tool.completed" in seen.kinds
