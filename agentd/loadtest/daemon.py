"""A running `agentd serve` for load tests, benchmarks and system tests, and what it uses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from agentd.loadtest.caller import Server
from agentd.loadtest.processes import descendants, total_cpu_s, total_pss_mib

START_TIMEOUT_S = 60.0


@dataclass
class Daemon:
    """A daemon that is ready. Times are `time.monotonic()` seconds."""

    process: asyncio.subprocess.Process
    admin_url: str
    agents_dir: Path
    log: Path
    server: Server
    http: aiohttp.ClientSession = field(repr=False)

    async def get(self, path: str) -> Any:
        async with self.http.get(self.admin_url + path) as reply:
            return await reply.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        async with self.http.post(self.admin_url + path, json=dict(body or {})) as reply:
            return reply.status, await reply.json()

    async def metrics(self) -> str:
        async with self.http.get(self.admin_url + "/metrics") as reply:
            return await reply.text()

    async def workers(self) -> list[dict[str, Any]]:
        return list((await self.get("/v1/workers"))["workers"])

    async def sessions(self) -> list[dict[str, Any]]:
        return list((await self.get("/v1/sessions"))["sessions"])

    async def agents(self) -> list[dict[str, Any]]:
        return list((await self.get("/v1/agents"))["agents"])

    async def until(self, ready: Callable[[], Any], timeout_s: float = 20.0, every_s: float = 0.05) -> float:
        """Waits until `await ready()` is true; returns when that was."""
        async with asyncio.timeout(timeout_s):
            while not await ready():
                await asyncio.sleep(every_s)
        return time.monotonic()

    async def kill(self) -> None:
        """SIGKILL; its workers end by themselves. Another daemon may then be run over the same state and server."""
        self.process.kill()
        await self.process.wait()

    def pids(self) -> list[int]:
        """The daemon and all of its descendants."""
        return descendants(self.process.pid)

    def cpu_s(self) -> float:
        return total_cpu_s(self.pids())

    def memory_mib(self) -> float:
        """PSS of all processes: shared pages are counted once."""
        return total_pss_mib(self.pids())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def running_daemon(
    server: Server,
    agents: Mapping[str, str] | Path,
    *,
    workers: int = 2,
    flags: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    log_format: str = "json",
    program: tuple[str, ...] = (sys.executable, "-m", "agentd"),
    cwd: Path | None = None,
    admin_port: int = 0,
    token: str = "",
) -> AsyncIterator[Daemon]:
    """`agentd serve` over `agents` (file name to text, or a directory), until the end of the block. `admin_port`: 0 for
    one that is free. `token`: the admin's, of the environment that the daemon is given."""
    with tempfile.TemporaryDirectory(prefix="agentd-") as temporary:
        place = Path(temporary)
        agents_dir = agents if isinstance(agents, Path) else _write(place / "agents.d", agents)
        port, log = admin_port or free_port(), place / "agentd.log"
        command = [
            *program, "serve", "-d", str(agents_dir), "--workers", str(workers),
            "--admin-addr", f"127.0.0.1:{port}", "--log-format", log_format, *flags,
        ]  # fmt: skip
        env = {
            **os.environ,
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.api_key,
            "LIVEKIT_API_SECRET": server.api_secret,
            "AGENTD_STORE": str(place / "state"),
            "AGENTD_MEMORY_THRESHOLD": "1",
            "AGENTD_ADMIN_RATE_LIMIT": "0",  # what is waited for is asked for every few milliseconds
            "AGENTD_LOAD_THRESHOLD": "1",  # server and callers share the machine: their load must not refuse calls
            **(environment or {}),
        }
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*command, env=env, cwd=cwd, stdout=output, stderr=output)
        try:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"} if token else {}) as http:
                daemon = Daemon(process, f"http://127.0.0.1:{port}", agents_dir, log, server, http)
                await _ready(daemon)
                yield daemon
        except BaseException:  # cancelled as well: the end of its log says what went on
            sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-60:]))
            raise
        finally:
            await _stop(process)


def _write(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


async def _ready(daemon: Daemon) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        if daemon.process.returncode is not None:
            raise RuntimeError(f"agentd ended with {daemon.process.returncode}")
        with contextlib.suppress(aiohttp.ClientError):
            async with daemon.http.get(daemon.admin_url + "/readyz") as reply:
                if reply.status == 200:
                    return
        await asyncio.sleep(0.05)
    raise RuntimeError("agentd was not ready in time")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Twice: the second signal cuts what still runs."""
    try:
        for _ in range(2):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(4):
                        await process.wait()
    finally:  # cancelled as well: it must not stay
        if process.returncode is None:
            process.kill()
            await process.wait()
