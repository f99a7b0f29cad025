"""The figures of the turn-taking table."""

from __future__ import annotations

from bench.turn_taking.corpus import Item, Kind
from bench.turn_taking.judge import Outcome, Verdict
from bench.turn_taking.table import ROWS, Record, table


def record(kind: Kind, outcome: Outcome, who: str = "us", **seconds: float) -> Record:
    verdict = Verdict(outcome=outcome, ok=outcome in ("answered", "stopped", "went on", "quiet"), why="", **seconds)
    return Record(subject=who, item=Item(id="x", kind=kind), verdict=verdict)


def row(label: str, *records: Record) -> str:
    return ROWS[label](records)


def test_shares_are_of_what_was_measured() -> None:
    records = [record("hesitation", "cut in"), *[record("hesitation", "answered")] * 3]
    assert row("cut-ins on hesitations", *records, record("hesitation", "not measured")) == "1 of 4 (25 %)"
    assert row("cut-ins on dictated numbers", *records) == "–"
    assert row("items not measured", *records, record("echo", "not measured")) == "1"


def test_delays_are_of_answers_alone() -> None:
    records = [record("clean", "answered", delay_s=0.6), record("noisy", "answered", delay_s=1.0)]
    records += [record("hesitation", "cut in"), record("number", "unanswered")]
    assert row("response delay p50 / p95", *records) == "800 / 980 ms (n=2)"
    assert row("of whole sentences in noise p50 / p95", *records) == "1,000 / 1,000 ms (n=1)"
    assert row("turns unanswered", *records) == "1 of 4 (25 %)"


def test_stops_say_what_followed() -> None:
    records = [record("backchannel", "went on"), record("backchannel", "resumed"), record("backchannel", "answered")]
    assert row("stopped by a backchannel", *records) == "2 of 3 (67 %): 1 resumed, 1 answered"
    assert row("stopped by noise, coughs, doors", record("event", "went on"), record("noise-over", "silent")) == (
        "1 of 2 (50 %): 1 silent"
    )


def test_interruptions_that_were_missed_have_no_time_to_silence() -> None:
    records = [record("interruption", "stopped", silence_s=0.3), record("interruption", "missed", silence_s=0.9)]
    assert row("interruptions missed", *records) == "1 of 2 (50 %)"
    assert row("time to silence p50", *records) == "300 ms (n=1)"


def test_the_table_has_a_column_a_subject() -> None:
    records = [record("echo", "went on"), record("echo", "answered", "them")]
    lines = table(records, ["us", "them"]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["", "us", "them"]
    assert len({len(line) for line in lines}) == 1
    (line,) = (line for line in lines if "stopped by its own echo" in line)
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["0 of 1 (0 %)", "1 of 1 (100 %): 1 answered"]
