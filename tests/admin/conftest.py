from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.server import described, serve_admin
from agentd.admin.settings import AdminSettings, TokenEndpointSettings
from agentd.transport.tokens import LiveKitCredentials
from tests.admin.conformance import Description, conforming
from tests.fakes.daemon import FakeDaemon

CREDENTIALS = LiveKitCredentials(url="ws://127.0.0.1:7880", api_key="devkey", api_secret="secret" * 8)
ENDPOINT = TokenEndpointSettings(credentials=CREDENTIALS)

Serve = Callable[..., Awaitable[aiohttp.ClientSession]]


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon()


@pytest.fixture
async def serve(daemon: FakeDaemon) -> AsyncIterator[Serve]:
    """Starts the admin server on a free port; answers a client whose base is its address, and to which nothing is
    answered that is not described."""
    async with AsyncExitStack() as stack:

        async def start(
            settings: AdminSettings | None = None,
            endpoint: TokenEndpointSettings | None = None,
            metrics: Metrics | None = None,
        ) -> aiohttp.ClientSession:
            settings = settings or AdminSettings(addr="127.0.0.1:0")
            description = Description(described(settings, endpoint))
            address = await stack.enter_async_context(serve_admin(daemon, settings, metrics or Metrics(), endpoint))
            return await stack.enter_async_context(conforming(address, description))

        yield start
