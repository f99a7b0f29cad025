"""LiveKit's SIP service before a real LiveKit server: it answers what the service answers, and passes on all else.

Whoever is rung joins the real room as a participant of kind sip, whose attributes say how far the call is; a caller who
is referred is taken out of it, as the service does when their telephone has called the new number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from livekit.api import (
    CreateSIPParticipantRequest,
    RoomParticipantIdentity,
    SIPParticipantInfo,
    TransferSIPParticipantRequest,
)

from agentd.loadtest.caller import Caller, Server

BUSY = ("486", "Busy Here")


@dataclass
class SipService:
    """`url` is the LiveKit server's for whoever needs both. `refused`: numbers that are not answered, with SIP's status
    and its words. `rung`: who was called. `picked_up`: cleared, telephones ring until it is set."""

    server: Server
    url: str = ""
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    picked_up: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[CreateSIPParticipantRequest] = field(default_factory=list)
    rung: dict[str, Caller] = field(default_factory=dict)
    referred: list[tuple[str, str]] = field(default_factory=list)
    _people: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def create(self, request: web.Request) -> web.Response:
        wanted = CreateSIPParticipantRequest.FromString(await request.read())
        self.asked.append(wanted)
        if wanted.sip_call_to in self.refused:
            return _refused(*self.refused[wanted.sip_call_to])
        joining = Caller.join(
            self.server,
            room=wanted.room_name,
            identity=wanted.participant_identity,
            kind="sip",
            attributes={"sip.callStatus": "ringing"},
        )
        phone = self.rung[wanted.sip_call_to] = await self._people.enter_async_context(joining)
        await self.picked_up.wait()
        assert phone.rtc is not None
        await phone.rtc.local_participant.set_attributes({"sip.callStatus": "active"})
        info = SIPParticipantInfo(participant_identity=wanted.participant_identity, room_name=wanted.room_name)
        return web.Response(body=info.SerializeToString(), content_type="application/protobuf")

    async def transfer(self, request: web.Request) -> web.Response:
        wanted = TransferSIPParticipantRequest.FromString(await request.read())
        if wanted.transfer_to in self.refused:
            return _refused(*self.refused[wanted.transfer_to])
        self.referred.append((wanted.participant_identity, wanted.transfer_to))
        someone = Caller(self.server, wanted.room_name, "", kind="", attributes={}, microphone=False, ear_frame_ms=10)
        async with someone.api() as api:
            gone = RoomParticipantIdentity(room=wanted.room_name, identity=wanted.participant_identity)
            await api.room.remove_participant(gone)
        return web.Response(body=b"", content_type="application/protobuf")

    async def passed_on(self, request: web.Request) -> web.StreamResponse:
        target = self.server.url.replace("ws", "http", 1) + str(request.rel_url)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() in ("authorization", "content-type")
        }
        async with aiohttp.ClientSession() as http:
            if request.headers.get("upgrade", "").lower() == "websocket":
                return await _joined(request, http, target, headers)
            async with http.request(request.method, target, data=await request.read(), headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


def _refused(code: str, status: str) -> web.Response:
    body = {"code": "unavailable", "msg": status, "meta": {"sip_status_code": code, "sip_status": status}}
    return web.json_response(body, status=503)


async def _joined(
    request: web.Request, http: aiohttp.ClientSession, target: str, headers: dict[str, str]
) -> web.WebSocketResponse:
    """Both directions of a WebSocket, until either side ends."""
    near = web.WebSocketResponse(max_msg_size=0)
    await near.prepare(request)
    async with http.ws_connect(target, headers=headers, max_msg_size=0) as far:

        async def pump(
            source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
            sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
        ) -> None:
            async for message in source:
                if message.type is aiohttp.WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                elif message.type is aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
            await sink.close()

        pumps = [asyncio.create_task(pump(near, far)), asyncio.create_task(pump(far, near))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    return near


@asynccontextmanager
async def sip_service(server: Server) -> AsyncIterator[SipService]:
    service = SipService(server)
    service.picked_up.set()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/twirp/livekit.SIP/CreateSIPParticipant", service.create)
    app.router.add_post("/twirp/livekit.SIP/TransferSIPParticipant", service.transfer)
    app.router.add_route("*", "/{path:.*}", service.passed_on)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    service.url = f"ws://127.0.0.1:{port}"
    try:
        async with service._people:
            yield service
    finally:
        await runner.cleanup()
