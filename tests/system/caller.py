"""The benchmarks' caller, for tests."""

from __future__ import annotations

from agentd.transport.tokens import LiveKitCredentials
from bench.caller import Caller, Caption, Heard, Server, tone

__all__ = ["Caller", "Caption", "Heard", "Server", "tone", "server_of"]


def server_of(credentials: LiveKitCredentials) -> Server:
    return Server(credentials.url, credentials.api_key, credentials.api_secret)
