"""What a test of an agent finds missing, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.config.scenarios import Expectation, ExpectedCall
from agentd.runtime.expectations import Observed, observed, unmet
from agentd.session.records import Record

FOUND = Observed(
    said="We open at Nine.",
    calls=(("book", {"day": "monday", "who": {"name": "Ann", "age": 7}, "slots": [1, 2]}), ("book", {"day": "friday"})),
    ended="",
    handed_to="billing",
)


def call(name: str, **arguments: Any) -> ExpectedCall:
    return ExpectedCall(name=name, arguments=arguments)


@pytest.mark.parametrize(
    "met",
    [
        Expectation(),
        Expectation(contains=("open", "nine.")),
        Expectation(lacks=("closed",)),
        Expectation(matches=r"at \w+\.$"),
        Expectation(calls=(call("book"), call("book"))),
        Expectation(calls=(call("book", day="friday"), call("book", day="monday", who={"name": "Ann"}))),
        Expectation(calls=(call("book", slots=[1, 2]),)),
        Expectation(ends=False),
        Expectation(hands_off_to="billing"),
    ],
)
def test_what_is_as_expected_finds_nothing(met: Expectation) -> None:
    assert list(unmet(met, FOUND)) == []


@pytest.mark.parametrize(
    ("expected", "setting", "said"),
    [
        (Expectation(contains=("open", "ten")), "contains[1]", '"ten" was not said, but: "We open at Nine."'),
        (Expectation(lacks=("x", "NINE")), "lacks[1]", '"NINE" was said: "We open at Nine."'),
        (Expectation(matches="nine"), "matches", 'what was said does not match /nine/: "We open at Nine."'),
        (Expectation(calls=(call("book"),) * 3), "calls[2]", "book({}) was not called, but: book("),
        (Expectation(calls=(call("book", slots=[1]),)), "calls[0]", 'book({"slots": [1]}) was not called, but: '),
        (Expectation(calls=(call("book", who={"age": 8}),)), "calls[0]", 'book({"who": {"age": 8}}) was not called'),
        (Expectation(calls_nothing=True), "calls_nothing", 'book({"day": "monday", '),
        (Expectation(ends=True), "ends", "the agent has not ended the call"),
        (Expectation(hands_off_to="desk"), "hands_off_to", 'the call was to go to "desk": it was handed to "billing"'),
    ],
)
def test_what_is_not_as_expected_is_told_with_what_was(expected: Expectation, setting: str, said: str) -> None:
    [(place, words)] = list(unmet(expected, FOUND))
    assert place == setting
    assert words.startswith(said)


def test_an_end_that_was_not_wanted_and_an_error_are_told() -> None:
    found = Observed(ended="ended_by_agent", errors=("llm: away",))
    assert list(unmet(Expectation(ends=False, contains=("hi",)), found)) == [
        ("", "the call met an error: llm: away"),
        ("contains[0]", '"hi" was not said, but: nothing'),
        ("ends", "the call has ended: ended_by_agent"),
    ]


def test_a_turn_is_read_from_its_records() -> None:
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("turn.agent", {"text": "One moment."}),
        ("tool.called", {"name": "book", "arguments": '{"day": "monday"}'}),
        ("tool.called", {"name": "look", "arguments": ""}),
        ("tool.called", {"name": "odd", "arguments": "{day"}),
        ("turn.agent", {"text": ""}),
        ("turn.agent", {"text": "Booked. "}),
        ("handoff", {"to": "billing"}),
        ("error", {"where": "tts", "message": "away"}),
        ("session.ended", {"reason": "ended_by_agent"}),
    ]
    records = [Record(seq=n, at=0.0, kind=kind, data=data) for n, (kind, data) in enumerate(kinds)]
    assert observed(records) == Observed(
        said="One moment. Booked.",
        calls=(("book", {"day": "monday"}), ("look", {}), ("odd", "{day")),
        ended="ended_by_agent",
        handed_to="billing",
        errors=("tts: away",),
    )
