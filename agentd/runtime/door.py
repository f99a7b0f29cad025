"""Where a worker that lost its supervisor is found by the next one: a Unix socket in the state directory.

The state directory is its owner's alone (mode 0700), and whoever knocks must also know the key in it. The worker
listens from its start, but opens only when its supervisor is gone; until then who knocks is kept waiting.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentd.ipc import LinkClosed, StreamLink, receive_object, send_object, socket_link
from agentd.runtime.messages import Presence

DIRECTORY = "workers"
SUFFIX = ".sock"
KEY_FILE = "key"
SCRATCH_VARIABLE = "AGENTD_SCRATCH"
"""In a worker's environment: the directory of temporary files that goes with it, and that whoever ends it removes."""
KNOCK_S = 2.0
"""The answer waits for one turn of the worker's loop, and for its old link to be found closed."""

_ADDRESS_BYTES = 100  # what fits into a sockaddr_un everywhere
_PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred


def door_key(state_dir: Path) -> str:
    """The key of this state directory's workers; made when there is none. Raises OSError."""
    directory = state_dir / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / KEY_FILE
    with suppress(FileExistsError):
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32), encoding="ascii")
        try:
            os.link(fresh, path)  # whole or not at all
        finally:
            fresh.unlink()
    return path.read_text(encoding="ascii")


class Door:
    """The worker's side."""

    def __init__(self, directory: Path, worker: str, key: str) -> None:
        """Listens. Raises OSError."""
        self._key = key
        self.path = directory / f"{worker}.{os.getpid()}{SUFFIX}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        with suppress(FileNotFoundError):  # of a process that had the same number
            self.path.unlink()
        with _address(self.path) as address:
            self._socket.bind(address)
        self.path.chmod(0o600)
        self._socket.listen(4)

    async def opened(self, presence: Callable[[], Presence]) -> StreamLink:
        """The link to the first who knows the key, once it was told who is here."""
        loop = asyncio.get_running_loop()
        while True:
            end, _ = await loop.sock_accept(self._socket)
            link = await socket_link(end)
            try:
                async with asyncio.timeout(KNOCK_S):
                    if hmac.compare_digest(await link.receive(), self._key.encode()):
                        await send_object(link, presence())
                        return link
            except (LinkClosed, TimeoutError):
                pass
            link.abort()

    def close(self) -> None:
        self._socket.close()
        with suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A worker that an earlier supervisor left."""

    link: StreamLink
    pid: int
    presence: Presence


async def knock(path: Path, key: str) -> Found | int | None:
    """At one door. None: nobody is there; a number: of the process that is, but does not answer as it should."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.setblocking(False)
    try:
        with _address(path) as address:
            await asyncio.get_running_loop().sock_connect(end, address)
    except OSError:
        end.close()
        return None
    pid = peer_pid(end, path)
    link = await socket_link(end)
    try:
        async with asyncio.timeout(KNOCK_S):
            await link.send(key.encode())
            presence: Presence = await receive_object(link)
    except (LinkClosed, TimeoutError, ValueError):
        link.abort()
        return pid
    return Found(link=link, pid=pid, presence=presence)


def doors(state_dir: Path) -> list[Path]:
    return sorted((state_dir / DIRECTORY).glob(f"*{SUFFIX}"))


def peer_pid(end: socket.socket, path: Path) -> int:
    """Who is at the other end, by the kernel's word; where it does not say, by the socket's name."""
    if hasattr(socket, "SO_PEERCRED"):
        peer = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return int(_PEER.unpack(peer)[0])
    return int(path.name.removesuffix(SUFFIX).rpartition(".")[2])


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path, or a shorter way to it: a socket's address holds some hundred bytes."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
