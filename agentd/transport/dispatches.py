"""Asks LiveKit for an agent in a room."""

from __future__ import annotations

import asyncio

import aiohttp
from livekit.api import CreateAgentDispatchRequest, LiveKitAPI, TwirpError

from agentd.errors import TransportError
from agentd.transport.tokens import LiveKitCredentials

TIMEOUT_S = 10.0


class DispatchRefused(TransportError):
    """LiveKit did not take the dispatch."""


async def create_dispatch(credentials: LiveKitCredentials, agent: str, room: str, metadata: str) -> str:
    """The dispatch's id. The room is made if it is not there. Raises DispatchRefused."""
    request = CreateAgentDispatchRequest(agent_name=agent, room=room, metadata=metadata)
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            LiveKitAPI(credentials.http_url, credentials.api_key, credentials.api_secret) as api,
        ):
            return str((await api.agent_dispatch.create_dispatch(request)).id)
    except TwirpError as error:
        raise DispatchRefused(f"LiveKit refused the dispatch: {error.code}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise DispatchRefused(f"LiveKit does not answer ({type(error).__name__})") from error
