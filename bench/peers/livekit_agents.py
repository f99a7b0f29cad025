"""livekit-agents as a subject: starts bench/peers/livekit_agents_worker.py in the peer's own environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agentd.loadtest.caller import Server
from agentd.loadtest.processes import descendants
from agentd.loadtest.steps import Serving
from bench.peers.setup import PACKAGES, python_of
from bench.subject import AGENT_NAME, Agent

WORKER = Path(__file__).with_name("livekit_agents_worker.py")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


class LiveKitAgents:
    """One process a call, as it runs in production, with its two warm processes in reserve."""

    name = PACKAGES["livekit-agents"][0].replace("==", " ")

    @asynccontextmanager
    async def serving(self, server: Server, agent: Agent) -> AsyncIterator[Serving]:
        told = {"BENCH_REPLY": agent.reply, "BENCH_GREETING": agent.greeting, "BENCH_SETTINGS": agent.settings}
        async with running_worker(server, WORKER, told) as serving:
            yield serving


@asynccontextmanager
async def running_worker(server: Server, script: Path, told: Mapping[str, str]) -> AsyncIterator[Serving]:
    """A program in the peer's environment, registered as AGENT_NAME, until the end of the block."""
    environment = {
        **os.environ,
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "BENCH_AGENT_NAME": AGENT_NAME,
        **told,
    }
    command = [str(python_of("livekit-agents")), str(script)]
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            await _registered(process)
            yield _ServingProcess(process.pid)
        except BaseException:
            log.seek(0)
            sys.stderr.write("".join(log.read().decode(errors="replace").splitlines(keepends=True)[-60:]))
            raise
        finally:
            await _stop(process)


class _ServingProcess:
    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pids(self) -> list[int]:
        return descendants(self._pid)

    async def lags_s(self) -> list[float]:
        return []


async def _registered(process: asyncio.subprocess.Process) -> None:
    """The worker prints one line when LiveKit has taken its registration."""
    assert process.stdout is not None
    async with asyncio.timeout(START_TIMEOUT_S):
        if not await process.stdout.readline():
            raise RuntimeError("the peer ended before it had registered")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Asks, and then ends the session that it leads, with its job processes."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
