"""What the soak takes for growth: the judge, without a daemon."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak import Counts, Round, faults, growth, table

STEADY = Counts(memory_mib=300.0, fds=100, threads=60, processes=3, tasks=40)


def rounds(*counts: Counts, unanswered: int = 0, recycled: int = 1) -> list[Round]:
    return [
        Round(number=number, calls=6, unanswered=unanswered, killed=number % 3 == 1, recycled=recycled, counts=each)
        for number, each in enumerate(counts)
    ]


def test_what_returns_to_where_it_was_has_no_fault() -> None:
    cold = replace(STEADY, memory_mib=200.0, threads=20)
    noisy = replace(STEADY, memory_mib=324.0, fds=103)
    assert faults(rounds(cold, cold, cold, *[STEADY] * 10, *[noisy] * 6)) == []


def test_one_outlier_is_no_growth() -> None:
    assert faults(rounds(*[STEADY] * 15, replace(STEADY, fds=900))) == []


@pytest.mark.parametrize(
    "leak",
    [{"memory_mib": 340.0}, {"fds": 105}, {"threads": 65}, {"processes": 4}, {"tasks": 43}],
    ids=lambda leak: next(iter(leak)),
)
def test_each_count_that_grows_is_named(leak: dict[str, float]) -> None:
    grown = replace(STEADY, **leak)  # type: ignore[arg-type]
    (fault,) = faults(rounds(*[STEADY] * 9, *[grown] * 6))
    assert fault.startswith(next(iter(leak)))


def test_a_call_without_an_answer_is_a_fault() -> None:
    assert faults(rounds(*[STEADY] * 15, unanswered=1)) == ["15 calls went without an answer"]


def test_a_soak_in_which_no_worker_was_replaced_shows_too_little() -> None:
    assert faults(rounds(*[STEADY] * 15, recycled=0)) == ["no worker was replaced"]


def test_too_few_rounds_say_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        growth(rounds(*[STEADY] * 14))


def test_the_table_has_a_line_a_round() -> None:
    assert len(table(rounds(*[STEADY] * 4)).splitlines()) == 5
