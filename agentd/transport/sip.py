"""LiveKit's SIP service: telephones that are rung into a room, and what it answers when none is brought in.

Nothing here needs the rtc SDK: a command rings as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import aiohttp
from google.protobuf.duration_pb2 import Duration
from livekit.api import CreateSIPParticipantRequest, LiveKitAPI, TwirpError

from agentd.session.room import Number

ANSWER_TIMEOUT_S = 10.0  # of the server, beyond the ringing
FAULTS = (TwirpError, aiohttp.ClientError, TimeoutError, OSError)
"""What a request to LiveKit raises."""

Outcome = Literal["busy", "no_answer", "rejected", "unavailable"]
_BY_STATUS: dict[str, tuple[Outcome, str]] = {
    "404": ("rejected", "there is no such number"),
    "408": ("no_answer", "nobody answered"),
    "480": ("no_answer", "nobody can be reached there"),
    "486": ("busy", "the line is busy"),
    "487": ("no_answer", "nobody answered"),
    "600": ("busy", "the line is busy"),
    "603": ("rejected", "the call was declined"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call did not come about. `words`: for a model or a person. `detail`: what the service said, or ""."""

    outcome: Outcome
    words: str
    detail: str = ""


def refusal_of(error: BaseException) -> Refusal:
    """Of one of FAULTS. Codes of SIP's own are in RFC 3261; `unavailable` is no answer of a telephone's."""
    if isinstance(error, TimeoutError):
        return Refusal(outcome="no_answer", words="nobody answered")
    if not isinstance(error, TwirpError):
        return Refusal(outcome="unavailable", words="the telephone service cannot be reached", detail=str(error))
    status = str(error.metadata.get("sip_status_code", ""))
    told = f"{status} {error.metadata.get('sip_status', '')}".strip() or f"{error.code}: {error.message}"
    if not status and error.code == "deadline_exceeded":  # the service's own end of the ringing
        return Refusal(outcome="no_answer", words="nobody answered", detail=told)
    known = _BY_STATUS.get(status)
    outcome, words = known or ("rejected" if status else "unavailable", "the telephone service refused it")
    return Refusal(outcome=outcome, words=words, detail=told)


async def ring(
    api: LiveKitAPI, number: Number, *, room: str, identity: str, name: str = "", from_number: str = ""
) -> None:
    """Returns when somebody has answered; they are in the room then, as `identity`. Raises FAULTS.

    `from_number`: the one that is shown to them; "" for the trunk's.
    """
    request = CreateSIPParticipantRequest(
        sip_trunk_id=number.trunk,
        sip_call_to=number.to.removeprefix("tel:"),
        sip_number=from_number,
        room_name=room,
        participant_identity=identity,
        participant_name=name,
        wait_until_answered=True,
        ringing_timeout=duration(number.ringing_s),
    )
    await api.sip.create_sip_participant(request, timeout=number.ringing_s + ANSWER_TIMEOUT_S)


def duration(seconds: float) -> Duration:
    """As LiveKit's messages have it."""
    told = Duration()
    told.FromTimedelta(timedelta(seconds=seconds))
    return told
