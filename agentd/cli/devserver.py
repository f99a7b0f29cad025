"""A LiveKit server of one's own, for `make run` and for tests: found or installed, and run on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from agentd import aio

SERVER_VERSION = "v1.11.0"  # the newest that `go install` builds: later ones carry replace directives
SERVER_PACKAGE = f"github.com/livekit/livekit-server/cmd/server@{SERVER_VERSION}"
DEV_PORT = 7880  # LiveKit's own, taken when it is free
DEV_KEY, DEV_SECRET = "devkey", "a-secret-for-loopback-development-only"
CACHE = Path(".cache")
START_TIMEOUT_S = 15.0
START_ATTEMPTS = 3  # a port that was free may be taken a moment later
STOP_TIMEOUT_S = 1.0

_CONFIG = """\
port: {http}
bind_addresses: ["127.0.0.1"]
keys: {{{key}: {secret}}}
logging: {{level: info}}
rtc:
  tcp_port: {tcp}
  udp_port: {udp}
  use_external_ip: false
  stun_servers: ["127.0.0.1:3478"]  # without one, clients are handed public hosts and wait for them
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """`http` carries signalling and the API; `tcp` and `udp` carry media."""

    http: int
    tcp: int
    udp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DevServer:
    """A running LiveKit server and the key that it takes."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    ports: Ports
    pid: int
    log: Path


class DevServerFailed(RuntimeError):
    """The server could not be started; the message holds the end of its log."""


def ensure_livekit_server(progress: Callable[[str], None], cache: Path = CACHE) -> Path | None:
    """The server's binary: from PATH, from `cache`, or built with Go into `cache`; None when none can be had."""
    if found := shutil.which("livekit-server"):
        return Path(found)
    binary = (cache / "bin" / "livekit-server").absolute()
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        return None
    return binary if _go_install(go, binary, progress) else None


def _go_install(go: str, binary: Path, progress: Callable[[str], None]) -> bool:
    progress(f"Building livekit-server {SERVER_VERSION} with Go (once; about two minutes) ...")
    binary.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(binary.parent)}
    command = [go, "install", "-v", SERVER_PACKAGE]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        last = ""
        for count, line in enumerate(build.stderr, start=1):
            last = line.strip() or last
            if count % 100 == 0:
                progress(f"  {count} packages so far, now {last}")
    built = binary.parent / "server"
    if build.returncode != 0 or not built.exists():
        progress(f"Go could not build livekit-server: {last}")
        return False
    built.rename(binary)
    progress(f"Built {binary}.")
    return True


def free_ports(*, prefer_http: int = 0) -> Ports:
    """Three ports that nobody uses now; `prefer_http` among them if it is free."""
    with (
        socket.socket(type=socket.SOCK_STREAM) as http,
        socket.socket(type=socket.SOCK_STREAM) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        for each in (tcp, udp):
            each.bind(("127.0.0.1", 0))
        http.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            http.bind(("127.0.0.1", prefer_http))
        except OSError:
            http.bind(("127.0.0.1", 0))
        return Ports(http=http.getsockname()[1], tcp=tcp.getsockname()[1], udp=udp.getsockname()[1])


@asynccontextmanager
async def running_livekit_server(
    binary: Path, *, ports: Ports | None = None, directory: Path | None = None, redis: str = ""
) -> AsyncIterator[DevServer]:
    """Runs the server on loopback until the end of the block. Raises DevServerFailed when it does not come up.

    `ports`: free ones by default. `directory`: where its configuration and log go; a temporary one by default.
    `redis`: HOST:PORT of the bus that it shares with other servers; without one it is alone.
    """
    with tempfile.TemporaryDirectory(prefix="livekit-server-") as temporary:
        place = directory or Path(temporary)
        for attempt in range(START_ATTEMPTS):
            chosen = ports or free_ports()
            process, log = await _start(binary, chosen, place, redis)
            try:
                await _answers(process, chosen.http, log)
                break
            except DevServerFailed:
                await _stop(process)
                if ports is not None or attempt + 1 == START_ATTEMPTS:
                    raise
        try:
            yield DevServer(
                url=f"ws://127.0.0.1:{chosen.http}",
                api_key=DEV_KEY,
                api_secret=DEV_SECRET,
                ports=chosen,
                pid=process.pid,
                log=log,
            )
        finally:
            await _stop(process)


async def _start(binary: Path, ports: Ports, place: Path, redis: str) -> tuple[asyncio.subprocess.Process, Path]:
    """The process, and where it logs to."""
    config, log = place / "livekit.yaml", place / "livekit.log"
    keys = {"key": DEV_KEY, "secret": DEV_SECRET}
    bus = f"redis: {{address: '{redis}'}}\n" if redis else ""
    config.write_text(_CONFIG.format(http=ports.http, tcp=ports.tcp, udp=ports.udp, **keys) + bus)
    command = [str(binary), "--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config", str(config)]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, process_group=0)
    return process, log


async def _answers(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    give_up_at = aio.now() + START_TIMEOUT_S
    async with aiohttp.ClientSession() as http:
        while process.returncode is None and aio.now() < give_up_at:
            try:
                async with http.get(f"http://127.0.0.1:{port}/") as reply:
                    if reply.status == 200:
                        return
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.05)
    raise DevServerFailed(f"livekit-server did not come up on port {port}; the end of its log:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for request in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):  # the second tells it not to wait for its rooms
        process.send_signal(request)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            continue
        return
