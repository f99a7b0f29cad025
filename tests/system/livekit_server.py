"""A real LiveKit server for system tests: one a pytest session, found or built once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.cli.devserver import DevServer, ensure_livekit_server, running_livekit_server
from agentd.transport.tokens import LiveKitCredentials

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def livekit_binary() -> Path:
    lines: list[str] = []
    binary = ensure_livekit_server(lines.append, PROJECT / ".cache")
    if binary is None:
        pytest.fail("system tests need livekit-server: " + " ".join(lines))
    return binary


@pytest.fixture(scope="session")
def livekit_server(livekit_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """Its own event loop only starts and stops it; the tests run on theirs."""
    with asyncio.Runner() as runner:
        running = running_livekit_server(livekit_binary, directory=tmp_path_factory.mktemp("livekit"))
        server = runner.run(running.__aenter__())
        try:
            yield server
        finally:
            runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def credentials(livekit_server: DevServer) -> LiveKitCredentials:
    return LiveKitCredentials(
        url=livekit_server.url, api_key=livekit_server.api_key, api_secret=livekit_server.api_secret
    )
