"""Rooms that are made to see whether an agent's dispatch is offered to us. No SDK: the supervisor asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from livekit.api import CreateRoomRequest, DeleteRoomRequest, ListRoomsRequest, LiveKitAPI, TwirpError, TwirpErrorCode
from livekit.protocol.agent_dispatch import RoomAgentDispatch

from agentd.errors import TransportError
from agentd.transport.tokens import LiveKitCredentials

TIMEOUT_S = 5.0
EMPTY_S = 20  # should we not come to delete it


class LiveKitProbeRooms:
    """Implements `agentd.runtime.probe.ProbeRooms`."""

    def __init__(self, credentials: LiveKitCredentials) -> None:
        self._credentials = credentials

    async def open(self, room: str, agent: str, metadata: str) -> None:
        dispatch = RoomAgentDispatch(agent_name=agent, metadata=metadata)
        async with self._api() as api:
            await api.room.create_room(CreateRoomRequest(name=room, empty_timeout=EMPTY_S, agents=[dispatch]))

    async def stands(self, room: str) -> bool:
        async with self._api() as api:
            return bool((await api.room.list_rooms(ListRoomsRequest(names=[room]))).rooms)

    async def close(self, room: str) -> None:
        """Also one that is gone already."""
        async with self._api() as api:
            try:
                await api.room.delete_room(DeleteRoomRequest(room=room))
            except TwirpError as error:
                if error.code != TwirpErrorCode.NOT_FOUND:
                    raise

    @asynccontextmanager
    async def _api(self) -> AsyncIterator[LiveKitAPI]:
        given = self._credentials
        try:
            async with asyncio.timeout(TIMEOUT_S), LiveKitAPI(given.http_url, given.api_key, given.api_secret) as api:
                yield api
        except (TwirpError, aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise TransportError(f"{given.url} could not be asked about a probe's room: {reason}") from error
