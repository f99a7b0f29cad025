from __future__ import annotations

import pytest

from agentd.redaction import redacted, redacted_data


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call +49 170 1234567 now", "call [phone] now"),
        ("+1 (555) 123-4567", "[phone]"),
        ("room call-_+15551234567_xYz", "room call-_[phone]_xYz"),
        ("0170 1234567, or 0170/1234567", "[phone], or [phone]"),
        ("(030) 901820", "[phone]"),
        ("555-123-4567.", "[phone]."),
        ("1-555-123-4567", "[phone]"),
        ("sip:+4930123456@sip.example.com", "sip:[email]"),
        ("Ann.Lee+x@mail.example.co.uk wrote", "[email] wrote"),
        ("card 4111 1111 1111 1111, thanks", "card [card], thanks"),
        ("5500-0000-0000-0004", "[card]"),
        ("378282246310005", "[card]"),
    ],
)
def test_what_belongs_to_people_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28 20:15:42.123",
        "2026-11-28T20:15:42Z",
        "28.11.2026",
        "127.0.0.1:8081",
        "192.168.100.200",
        "1795896656",
        "1795896656.3007782",
        "AJ_4f1c9s8 took 0.9310 s of 12.5",
        "s-0123456789abcdef",
        "revision 00112233445566778899",
        "worker 4 of 10, pid 1234567",
        "4111 1111 1111 1112 is no card",
        "0000000000000000",
        "agentd 1.45.2, protocol 17",
        "user@localhost",
    ],
)
def test_times_counts_ids_and_addresses_of_machines_stay(text: str) -> None:
    assert redacted(text) == text


def test_texts_within_are_found_and_names_of_fields_stay() -> None:
    assert redacted_data({"a@b.example": ["a@b.example", 7, None, {"x": "a@b.example"}]}) == {
        "a@b.example": ["[email]", 7, None, {"x": "[email]"}]
    }


def test_only_what_is_asked_for_is_taken_out() -> None:
    assert redacted("a@b.example +49 170 1234567", ("phone",)) == "a@b.example [phone]"
    assert redacted("a@b.example +49 170 1234567", ()) == "a@b.example +49 170 1234567"
