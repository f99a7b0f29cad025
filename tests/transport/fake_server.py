"""LiveKit's `/agent` endpoint on loopback, driven by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from livekit.protocol import agent as wire
from livekit.protocol.models import Room


class FakeServer:
    def __init__(self) -> None:
        self.port = 0
        self.status = 101  # of the handshake; anything else refuses
        self.silent = False  # takes registrations and does not answer
        self.connections: list[web.WebSocketResponse] = []
        self.tokens: list[str] = []
        self.received: asyncio.Queue[wire.WorkerMessage] = asyncio.Queue()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/agent", self._agent)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for connection in self.connections:
            await connection.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers["Authorization"].removeprefix("Bearer "))
        if self.status != 101:
            return web.Response(status=self.status)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        self.connections.append(websocket)
        async for message in websocket:
            word = wire.WorkerMessage()
            word.ParseFromString(message.data)
            if word.HasField("register") and not self.silent:
                reply = wire.RegisterWorkerResponse(worker_id=f"AW_{len(self.connections)}")
                await self.send(wire.ServerMessage(register=reply))
            self.received.put_nowait(word)
        return websocket

    async def send(self, message: wire.ServerMessage) -> None:
        await self.connections[-1].send_bytes(message.SerializeToString())

    async def offer(self, job_id: str) -> None:
        job = wire.Job(id=job_id, agent_name="ada", room=Room(name="lobby"))
        await self.send(wire.ServerMessage(availability=wire.AvailabilityRequest(job=job)))

    async def assign(self, job_id: str, url: str = "") -> None:
        job = wire.Job(id=job_id, agent_name="ada", room=Room(name="lobby"))
        await self.send(wire.ServerMessage(assignment=wire.JobAssignment(job=job, url=url, token="token")))

    async def terminate(self, job_id: str) -> None:
        await self.send(wire.ServerMessage(termination=wire.JobTermination(job_id=job_id)))

    async def next(self, kind: str, timeout_s: float = 3.0) -> wire.WorkerMessage:
        """The next message of this kind; others are passed over."""
        async with asyncio.timeout(timeout_s):
            while True:
                word = await self.received.get()
                if word.HasField(kind):  # type: ignore[arg-type]
                    return word


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
