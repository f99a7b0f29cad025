"""A turn by hand: a front end says when it begins and ends, by RPC or by a data packet.

The methods have the names of livekit-agents' push-to-talk examples. A front end without RPC sends the method's name as
a reliable data packet on `TOPIC`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from livekit import rtc

from agentd.session.room import HandAction

METHODS: dict[str, HandAction] = {"start_turn": "begin", "end_turn": "end", "cancel_turn": "cancel"}
TOPIC = "agentd.turn"

log = logging.getLogger(__name__)


class PushToTalk:
    """`pressed` is told who did what; it answers why they may not, and "" when they may."""

    def __init__(self, pressed: Callable[[str, HandAction], str]) -> None:
        self._pressed = pressed

    def listen(self, connection: rtc.Room) -> None:
        """Registers the methods with a connection that has been made."""
        for method in METHODS:
            connection.local_participant.register_rpc_method(method, self._called)

    def packet(self, packet: rtc.DataPacket) -> None:
        """Takes a data packet of any topic."""
        if packet.topic != TOPIC or packet.participant is None:
            return
        action = METHODS.get(packet.data.decode("utf-8", "replace").strip())
        if action is None:
            log.info("data packet dropped: no method", extra={"topic": TOPIC})
        elif refusal := self._pressed(packet.participant.identity, action):
            log.info("data packet dropped", extra={"topic": TOPIC, "reason": refusal})

    async def _called(self, call: rtc.RpcInvocationData) -> str:
        if refusal := self._pressed(call.caller_identity, METHODS[call.method]):
            raise rtc.RpcError(rtc.RpcError.ErrorCode.APPLICATION_ERROR, refusal)
        return "ok"
