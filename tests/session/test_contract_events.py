"""The contract's events out of a call's records: which there are, in what order, with what in them."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.config.events import CALL_EVENTS
from agentd.session.contract_events import ContractEvents
from agentd.session.happenings import USAGE
from agentd.session.records import Record
from agentd.session.sample_call import sample_events


def fold(*records: tuple[str, dict[str, Any]]) -> tuple[ContractEvents, list[Any]]:
    events = ContractEvents(session="s-1", agent="desk")
    made = []
    for seq, (kind, data) in enumerate(records):
        made += events.take(Record(seq=seq, at=1000.0 + seq, kind=kind, data=data))
    return events, made


STARTED = (
    "session.started",
    {"agent": "desk", "revision": "r1", "room": "room", "job_id": "AJ", "variables": {"a": 1}},
)


def test_a_call_makes_its_events_in_order_with_places_that_count_from_one() -> None:
    _, made = sample_events("desk", "r1", {"clinic": "Hill Street"})
    assert [event.type for event in made][:-1] == [
        *("session.started", "participant.linked", "turn.agent", "turn.user", "tool.called", "tool.completed"),
        *("tool.called", "tool.failed", "turn.agent", "transfer", "handoff", "participant.left", "session.usage"),
        "session.ended",
    ]
    assert [event.seq for event in made][:-1] == list(range(1, 15))
    started, ended = made[0], made[-2]
    assert started.data == {"variables": {"clinic": "Hill Street"}}
    assert ended.data["variables"] == {"clinic": "Hill Street", "slot": "2030-02-01T09:30"}
    assert (ended.data["reason"], ended.data["duration"]) == ("caller_left", 16.1)
    assert ended.data["usage"] == made[-3].data["usage"]
    assert made[4].data["arguments"] == {"day": "2030-02-01"}


def test_the_sample_has_every_type_that_a_call_makes_today() -> None:
    _, made = sample_events("desk", "r1", {})
    assert {event.type for event in made} == {*CALL_EVENTS} - {"recording.ready"}


def test_the_same_journal_makes_the_same_events() -> None:
    assert sample_events("desk", "r1", {})[1] == sample_events("desk", "r1", {})[1]


@pytest.mark.parametrize("kind", ["handoff", "transfer", "recording.ready"])
def test_what_other_parts_record_under_a_name_of_the_contract_is_passed_on(kind: str) -> None:
    _, made = fold((kind, {"to": "billing"}))
    assert [(event.type, event.data) for event in made] == [(kind, {"to": "billing"})]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("caller_left", "session.ended"),
        ("daemon_lost", "session.ended"),
        ("error", "session.failed"),
        ("error_RoomLost", "session.failed"),
        ("rescue_failed", "session.failed"),
    ],
)
def test_a_call_that_a_fault_ended_has_failed(reason: str, kind: str) -> None:
    _, made = fold(("session.ended", {"reason": reason, "duration_s": 1.0}))
    assert [event.type for event in made] == ["session.usage", kind]


def test_usage_adds_up_over_the_call_and_its_rescues() -> None:
    used = dict.fromkeys(USAGE, 2)
    resumed = ("session.resumed", {"incarnation": 2, "gap_s": 1.0})
    _, made = fold(
        STARTED, ("usage", used), resumed, ("usage", used), ("session.ended", {"reason": "idle", "duration_s": 1})
    )
    assert made[-1].data["usage"] == dict.fromkeys(USAGE, 4)
    assert [event.type for event in made] == ["session.started", "session.usage", "session.ended"]


def test_the_transcript_is_what_was_said_and_heard() -> None:
    turn = {"turn": 1, "language": "en", "source": "speech"}
    said = {"turn": 1, "interrupted": True, "purpose": "answer", "latencies": {}}
    events, _ = fold(
        STARTED,
        ("turn.user", {**turn, "text": "helo"}),
        ("turn.agent", {**said, "reply": 1, "text": "Good"}),
        ("turn.agent", {**said, "reply": 2, "text": ""}),
        ("turn.corrected", {"turn": 1, "text": "hello"}),
    )
    assert events.turns() == [
        {"role": "user", "text": "hello", "at": 1001.0},
        {"role": "assistant", "text": "Good", "at": 1002.0, "interrupted": True},
    ]


def test_every_event_says_whose_it_is() -> None:
    linked = ("caller.linked", {"identity": "ann", "name": "Ann", "kind": "sip", "returned": False})
    events, _ = fold(STARTED, linked)
    assert events.common() == {
        "agent": {"name": "desk", "revision": "r1"},
        "session": {
            "id": "s-1",
            "room": "room",
            "job_id": "AJ",
            "started_at": 1000.0,
            "participant": {"identity": "ann", "name": "Ann", "kind": "sip"},
        },
    }


def test_after_an_edit_that_the_call_has_taken_its_events_carry_the_new_revision() -> None:
    edited = {"agent": "desk", "revision": "r2", "previous": "r1", "variables": {"a": 2}}
    events, made = fold(STARTED, ("agent.edited", edited))
    assert events.common()["agent"] == {"name": "desk", "revision": "r2"}
    assert events.variables == {"a": 2}
    assert [event.type for event in made] == ["session.started"]
    events.take(Record(seq=2, at=1002.0, kind="agent.edited", data={**edited, "agent": "billing", "revision": "b2"}))
    assert events.revision == "r2", "it is another agent's, which the call was handed to"
