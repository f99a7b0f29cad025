"""An agent calls a telephone: it is called into a room of its own first, and then LiveKit's SIP service rings the
number into that room, so that nobody answers a telephone with no one at the other end. No rtc SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from livekit.api import ListParticipantsRequest, LiveKitAPI, TwirpError, TwirpErrorCode
from livekit.protocol.models import ParticipantInfo

from agentd import aio
from agentd.errors import TransportError
from agentd.session.room import Number
from agentd.transport import sip
from agentd.transport.dispatches import create_dispatch
from agentd.transport.room_deletion import delete_room
from agentd.transport.tokens import LiveKitCredentials

AGENT_TIMEOUT_S = 20.0
POLL_S = 0.5
CALLEE = "phone"  # the identity of who is rung


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """`room`: a fresh name, for it is deleted when nobody answers. `metadata`: for the agent. `from_number`: the one
    that is shown to who is rung; "" for the trunk's."""

    agent: str
    room: str
    number: Number
    metadata: str = ""
    from_number: str = ""


class NotConnected(TransportError):
    """Who was rung is not in the room. Its words are those of `refusal`."""

    def __init__(self, refusal: sip.Refusal) -> None:
        super().__init__(f"{refusal.words} ({refusal.detail})" if refusal.detail else refusal.words)
        self.refusal = refusal


async def call_out(
    credentials: LiveKitCredentials,
    call: OutboundCall,
    ringing: Callable[[], None] = lambda: None,
    agent_timeout_s: float = AGENT_TIMEOUT_S,
) -> None:
    """Returns when somebody has answered. Raises NotConnected; then, and when it is cancelled, nobody is in the room.

    `ringing` is called when the agent is there and the number is about to be rung.
    """
    try:
        await create_dispatch(credentials, call.agent, call.room, call.metadata)
        async with LiveKitAPI(credentials.http_url, credentials.api_key, credentials.api_secret) as api:
            await _agent_comes(api, call, agent_timeout_s)
            ringing()
            await _rung(api, call)
    except BaseException:  # cancelled as well: it may be ringing
        await delete_room(credentials, call.room)
        raise


async def hung_up(credentials: LiveKitCredentials, room: str) -> None:
    """Returns when who was rung is not in the room any more. Raises NotConnected when LiveKit cannot be asked."""
    async with LiveKitAPI(credentials.http_url, credentials.api_key, credentials.api_secret) as api:
        while any(person.identity == CALLEE for person in await _people(api, room)):  # noqa: ASYNC110 (it must be asked)
            await asyncio.sleep(POLL_S)


async def _rung(api: LiveKitAPI, call: OutboundCall) -> None:
    try:
        await sip.ring(api, call.number, room=call.room, identity=CALLEE, from_number=call.from_number)
    except sip.FAULTS as error:
        raise NotConnected(sip.refusal_of(error)) from error


async def _agent_comes(api: LiveKitAPI, call: OutboundCall, timeout_s: float) -> None:
    give_up_at = aio.now() + timeout_s
    while not any(person.kind == ParticipantInfo.Kind.AGENT for person in await _people(api, call.room)):
        if aio.now() > give_up_at:
            raise _unavailable(f"no agent {call.agent!r} has come within {timeout_s:g} s: does an agentd serve it?")
        await asyncio.sleep(POLL_S)


async def _people(api: LiveKitAPI, room: str) -> list[ParticipantInfo]:
    try:
        return list((await api.room.list_participants(ListParticipantsRequest(room=room))).participants)
    except sip.FAULTS as error:
        if isinstance(error, TwirpError) and error.code == TwirpErrorCode.NOT_FOUND:
            return []
        raise _unavailable("LiveKit cannot be asked who is in the room", str(error)) from error


def _unavailable(words: str, detail: str = "") -> NotConnected:
    return NotConnected(sip.Refusal(outcome="unavailable", words=words, detail=detail))
