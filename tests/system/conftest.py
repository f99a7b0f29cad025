"""Fixtures that need the world: a LiveKit server."""

from tests.system.livekit_server import credentials, livekit_binary, livekit_server

__all__ = ["credentials", "livekit_binary", "livekit_server"]
