"""Two real LiveKit servers that are one: each on ports of its own, with a Redis of ours as their bus."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentd.cli.devserver import running_livekit_server
from agentd.loadtest.caller import Server
from bench.daemon import free_port

START_TIMEOUT_S = 10.0


@asynccontextmanager
async def running_redis(directory: Path) -> AsyncIterator[str]:
    """HOST:PORT of a server that keeps nothing on disk, until the end of the block."""
    binary = shutil.which("redis-server")
    assert binary is not None, "tests/system/install.sh installs redis-server"
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    with (directory / "redis.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(binary, *options, stdout=output, stderr=output)
    try:
        await _answers(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
            if answer.startswith(b"+PONG"):
                return


@asynccontextmanager
async def two_nodes(binary: Path, directory: Path) -> AsyncIterator[tuple[Server, Server]]:
    """The same cluster by the address of each of its nodes."""
    places = [directory / "node-1", directory / "node-2"]
    for place in places:
        place.mkdir()
    async with (
        running_redis(directory) as redis,
        running_livekit_server(binary, directory=places[0], redis=redis) as first,
        running_livekit_server(binary, directory=places[1], redis=redis) as second,
    ):
        yield (
            Server(first.url, first.api_key, first.api_secret),
            Server(second.url, second.api_key, second.api_secret),
        )
