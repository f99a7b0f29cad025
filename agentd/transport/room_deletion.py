"""Asks LiveKit to delete a room."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from livekit.api import DeleteRoomRequest, LiveKitAPI, TwirpError

from agentd.transport.tokens import LiveKitCredentials, deletion_token

TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


async def delete_room(credentials: LiveKitCredentials | None, room: str) -> None:
    """Deletes the room for everybody. When that fails, leaving has to do."""
    if credentials is None or not room:
        log.warning("room not deleted: no API key given", extra={"room": room})
        return
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            LiveKitAPI.with_token(deletion_token(credentials), credentials.http_url) as api,
        ):
            await api.room.delete_room(DeleteRoomRequest(room=room))
    except (TwirpError, aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("room not deleted", extra={"room": room, "reason": str(error)})
