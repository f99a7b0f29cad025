"""What a call says of its definition, from its records."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.runtime.outcome import NOTHING_KNOWN, SessionOutcome, Tally, verdict
from agentd.runtime.trial import FAILURES, PROBATION_CALLS, Trial, after, last_known_good
from agentd.session.records import Record


def outcome(*records: tuple[str, dict[str, Any]], beginning: bool = True) -> SessionOutcome:
    tally = Tally(beginning=beginning)
    for seq, (kind, data) in enumerate(records):
        tally.take(Record(seq=seq, at=0.0, kind=kind, data=data))
    return tally.outcome()


def said(purpose: str = "answer", **data: Any) -> tuple[str, dict[str, Any]]:
    return "turn.agent", {"purpose": purpose, "text": "Yes.", "interrupted": False, "latencies": {}, **data}


def tool(result: str, name: str = "book") -> tuple[str, dict[str, Any]]:
    return "tool.completed", {"name": name, "outcome": result}


def test_replies_gaps_and_tools_add_up() -> None:
    found = outcome(
        said("greeting"),
        said(latencies={"e2e": 0.7, "eou": 0.5}),
        said(interrupted=True, latencies={"e2e": 0.9}),
        said(text=""),
        tool("ok"),
        tool("error"),
        tool("cancelled"),
    )
    assert found == SessionOutcome(answers=2, replies=3, interrupted=1, tools=2, tools_failed=1, gaps=(0.7, 0.9))
    assert verdict(found, "caller_left", failed=False).result == "good"


@pytest.mark.parametrize(
    ("records", "reason", "failed", "result", "fault"),
    [
        ([], "caller_left", False, "neutral", ""),
        ([said("greeting")], "caller_left", False, "neutral", ""),
        ([], "error_RuntimeError", True, "failed", "error_RuntimeError"),
        ([said()], "error_RuntimeError", True, "failed", "error_RuntimeError"),
        ([], "error_RoomLost", True, "neutral", ""),
        ([], "error", False, "failed", "nothing but errors"),
        ([said()], "error", False, "good", ""),
        ([tool("crashed"), said()], "caller_left", False, "failed", "tool book: crashed"),
        ([said(), tool("crashed")], "caller_left", False, "good", ""),
        ([tool("error"), said()], "caller_left", False, "good", ""),
        ([("provider", {"kind": "llm", "provider": "x", "outcome": "refused"})], "caller_left", False, "failed",
         "llm x refused"),
        ([("provider", {"kind": "llm", "provider": "x", "outcome": "refused"}), said()], "idle", False, "good", ""),
        ([("provider", {"kind": "llm", "provider": "x", "outcome": "timeout"})], "caller_left", False, "neutral", ""),
        ([("hook.completed", {"on": "session_*", "event": "session_started", "outcome": "timeout"}), said()], "idle",
         False, "failed", "hook on session_*: timeout"),
        ([("hook.completed", {"on": "close", "event": "close", "outcome": "crashed"})], "idle", False, "neutral", ""),
    ],
)  # fmt: skip
def test_what_a_call_says_of_its_definition(
    records: list[tuple[str, dict[str, Any]]], reason: str, failed: bool, result: str, fault: str
) -> None:
    found = verdict(outcome(*records), reason, failed=failed)
    assert (found.result, found.fault) == (result, fault)


def test_an_apology_after_a_providers_failure_is_no_answer() -> None:
    apology = [
        ("reply.started", {"reply": 1}),
        ("error", {"where": "llm x", "message": "down"}),
        said(text="I am sorry, something went wrong."),
    ]
    assert outcome(*apology).answers == 0
    assert outcome(*apology, ("reply.started", {"reply": 2}), said()).answers == 1


def test_a_later_incarnation_has_no_beginning() -> None:
    assert outcome(tool("crashed"), beginning=False).faults == ()


def trial(good: int, failed: int) -> Trial:
    return Trial(good=good, failed=failed)


def test_ten_failures_in_the_probation_are_enough() -> None:
    assert not trial(0, FAILURES - 1).fails
    assert trial(PROBATION_CALLS - FAILURES, FAILURES).fails
    assert not trial(PROBATION_CALLS - FAILURES + 1, FAILURES).fails


def test_a_trial_counts_what_tells_something_and_names_the_commonest_fault() -> None:
    bad, worse = verdict(NOTHING_KNOWN, "error_A", failed=True), verdict(NOTHING_KNOWN, "error_B", failed=True)
    found = Trial()
    for each in (bad, worse, worse, verdict(NOTHING_KNOWN, "caller_left", failed=False)):
        found = after(found, each)
    assert (found.good, found.failed) == (0, 3)
    assert found.why == "3 of its first 3 calls failed: error_B (2), error_A (1)"


def test_the_last_known_good_is_the_newest_that_did_well() -> None:
    trials = {"a": trial(9, 0), "b": trial(1, 4), "c": trial(2, 1), "d": trial(0, 10)}
    assert last_known_good(["d", "x", "b", "c", "a"], trials, refused="d") == "c"
    assert last_known_good(["c", "a"], trials, refused="c") == "a"
    assert last_known_good(["d", "b"], trials, refused="d") is None
