"""Calls of methods that front ends have registered, and data for them, over LiveKit's RPC and data packets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from livekit import rtc
from livekit.rtc.participant import PublishDataError

from agentd.errors import RpcRefused, ToolError, ToolTimeout

_Code = rtc.RpcError.ErrorCode
ACKNOWLEDGED_S = 7.0
"""LiveKit's own: how long a request may take to reach the other side."""

_SAID: Mapping[int, str] = {
    _Code.UNSUPPORTED_METHOD: "the caller's front end does not offer it",
    _Code.RECIPIENT_NOT_FOUND: "the caller is not there",
    _Code.RECIPIENT_DISCONNECTED: "the caller left meanwhile",
    _Code.REQUEST_PAYLOAD_TOO_LARGE: "the arguments are too large",
    _Code.RESPONSE_PAYLOAD_TOO_LARGE: "the answer was too large",
    _Code.SEND_FAILED: "it could not be sent",
    _Code.UNSUPPORTED_VERSION: "the caller's front end is too old",
    _Code.UNSUPPORTED_SERVER: "the LiveKit server is too old",
}


class FrontEndCalls:
    """Implements agentd.tools.front_end.FrontEnd over whichever connection there is."""

    def __init__(self, participant: Callable[[], rtc.LocalParticipant | None]) -> None:
        self._participant = participant
        self._offered: dict[str, Callable[[str, str, str], str]] = {}

    def offer(self, methods: Sequence[str], answer: Callable[[str, str, str], str]) -> None:
        """Lets front ends call these and no others, over this connection and those that follow it."""
        gone = [method for method in self._offered if method not in methods]
        self._offered = dict.fromkeys(methods, answer)
        participant = self._participant()
        if participant is not None:
            for method in gone:
                participant.unregister_rpc_method(method)
            self.listen(participant)

    def listen(self, participant: rtc.LocalParticipant) -> None:
        for method in self._offered:
            participant.register_rpc_method(method, self._called)

    async def _called(self, call: rtc.RpcInvocationData) -> str:
        try:
            return self._offered[call.method](call.caller_identity, call.method, call.payload)
        except RpcRefused as error:
            raise rtc.RpcError(_Code.APPLICATION_ERROR, str(error)) from error

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        try:
            async with asyncio.timeout(timeout_s):  # the SDK's own starts when the request was acknowledged
                return await self._here().perform_rpc(
                    destination_identity=identity,
                    method=method,
                    payload=payload,
                    response_timeout=timeout_s,
                    max_round_trip_latency=min(ACKNOWLEDGED_S, timeout_s),
                )
        except TimeoutError as error:
            raise ToolTimeout(f"the caller's front end did not answer within {timeout_s:g} s") from error
        except rtc.RpcError as error:
            if error.code in (_Code.RESPONSE_TIMEOUT, _Code.CONNECTION_TIMEOUT):
                raise ToolTimeout(f"the caller's front end did not answer within {timeout_s:g} s") from error
            raise ToolError(_SAID.get(error.code) or error.message or f"error {error.code}") from error

    async def send(self, data: bytes, topic: str, identities: Sequence[str]) -> None:
        try:
            await self._here().publish_data(data, reliable=True, topic=topic, destination_identities=list(identities))
        except PublishDataError as error:
            raise ToolError(f"the data could not be sent: {error.message}") from error

    def _here(self) -> rtc.LocalParticipant:
        participant = self._participant()
        if participant is None:
            raise ToolError("the connection to the room is being mended")
        return participant
