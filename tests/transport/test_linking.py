from __future__ import annotations

import pytest
from livekit import rtc
from livekit.rtc._proto.participant_pb2 import ParticipantInfo

from agentd.transport.caller import in_order_of_joining
from agentd.transport.linking import Person, Wanted, closing_reason, first_caller, leaves_for_good, room_is_gone

PEOPLE = [
    Person(identity="agent-1", kind="agent"),
    Person(identity="recorder", kind="egress"),
    Person(identity="phone", kind="sip"),
    Person(identity="bob", kind="standard"),
]


def test_the_first_person_of_an_admitted_kind_is_linked() -> None:
    assert first_caller(PEOPLE, Wanted()) == "phone"
    assert first_caller(PEOPLE, Wanted(kinds=("standard",))) == "bob"


def test_agents_and_recorders_are_never_linked() -> None:
    assert first_caller(PEOPLE[:2], Wanted()) is None


def test_a_named_caller_is_waited_for() -> None:
    assert first_caller(PEOPLE, Wanted(identity="bob")) == "bob"
    assert first_caller(PEOPLE, Wanted(identity="eve")) is None
    assert first_caller(PEOPLE, Wanted(identity="recorder")) is None


@pytest.mark.parametrize(
    ("reason", "final"),
    [
        ("CLIENT_INITIATED", True),
        ("ROOM_DELETED", True),
        ("USER_REJECTED", True),
        ("UNKNOWN_REASON", False),
        ("DUPLICATE_IDENTITY", False),
        ("CONNECTION_TIMEOUT", False),
        ("SIGNAL_CLOSE", False),
        ("CONNECTION_LOST", False),
    ],
)
def test_what_a_departure_means(reason: str, final: bool) -> None:
    assert leaves_for_good(reason) is final


@pytest.mark.parametrize(
    ("reason", "closing"),
    [
        ("ROOM_DELETED", "room_deleted"),
        ("ROOM_CLOSED", "room_deleted"),
        ("PARTICIPANT_REMOVED", "removed"),
        ("DUPLICATE_IDENTITY", "replaced"),
        ("SERVER_SHUTDOWN", None),
        ("SIGNAL_CLOSE", None),
        ("CONNECTION_TIMEOUT", None),
        ("UNKNOWN_REASON", None),
        ("STATE_MISMATCH", None),
    ],
)
def test_which_ends_of_our_connection_are_mended(reason: str, closing: str | None) -> None:
    assert closing_reason(reason) == closing


def test_a_join_that_fails_over_a_missing_room_is_not_tried_again() -> None:
    assert room_is_gone("signal failure: client error: 404 Not Found - requested room does not exist")
    assert not room_is_gone("connection refused")


def test_those_who_were_there_first_are_looked_at_in_the_order_in_which_they_joined() -> None:
    """The SDK has no order of its own: a server answers in any."""
    second, first, unknown = _joined("ben", 1_700_000_000_200), _joined("anna", 1_700_000_000_100), _joined("eve", 0)
    there = {who.identity: who for who in (unknown, second, first)}
    assert list(in_order_of_joining(there)) == ["anna", "ben", "eve"]


def _joined(identity: str, at_ms: int) -> rtc.RemoteParticipant:
    """As the SDK has it, which reads its moment from the server's answer."""
    participant = object.__new__(rtc.RemoteParticipant)
    participant._info = ParticipantInfo(identity=identity, joined_at=at_ms)
    return participant
