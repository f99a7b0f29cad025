"""What LiveKit's SIP service answers, in words."""

from __future__ import annotations

import aiohttp
import pytest
from livekit.api import TwirpError

from agentd.transport.sip import refusal_of


def refused(status: str, code: str = "unavailable") -> TwirpError:
    metadata = {"sip_status_code": status, "sip_status": "So"} if status else {}
    return TwirpError(code, "a message", status=503, metadata=metadata)


@pytest.mark.parametrize(
    ("error", "outcome", "words", "detail"),
    [
        (refused("486"), "busy", "the line is busy", "486 So"),
        (refused("600"), "busy", "the line is busy", "600 So"),
        (refused("480"), "no_answer", "nobody can be reached there", "480 So"),
        (refused("487"), "no_answer", "nobody answered", "487 So"),
        (refused("", "deadline_exceeded"), "no_answer", "nobody answered", "deadline_exceeded: a message"),
        (TimeoutError(), "no_answer", "nobody answered", ""),
        (refused("404"), "rejected", "there is no such number", "404 So"),
        (refused("603"), "rejected", "the call was declined", "603 So"),
        (refused("403"), "rejected", "the telephone service refused it", "403 So"),
        (refused("", "not_found"), "unavailable", "the telephone service refused it", "not_found: a message"),
        (aiohttp.ClientError("away"), "unavailable", "the telephone service cannot be reached", "away"),
    ],
)
def test_an_error_is_told_as_what_became_of_the_call(error: Exception, outcome: str, words: str, detail: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.outcome, refusal.words, refusal.detail) == (outcome, words, detail)
