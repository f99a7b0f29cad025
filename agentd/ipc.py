"""Length-prefixed frames between processes, or in memory; and the start of a child process that speaks them.

A frame is a 4-byte big-endian length and that many bytes. What the bytes mean is the users' affair: `send_object` and
`receive_object` pickle (both ends are ours: supervisor and worker, each of whatever version: see `agentd.pickled`),
`send_json` and `receive_json` are for processes that run user code, of which nothing but data may be taken.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agentd import pickled
from agentd.aio import Channel, Closed

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 64 * 1024 * 1024
FD_VARIABLE = "AGENTD_IPC_FD"
_WRITE_BUFFER_BYTES = 256 * 1024  # `send` waits while more than this is unsent
_MEMORY_FRAMES = 256  # frames in flight in one direction of `memory_links`

_LINE_BYTES = 4096  # of a child's output in one log record; the rest of the line is cut
_LINES_PER_S = 100  # of a child's output that are logged; the rest is counted


class LinkClosed(Closed):
    """The other end is gone, or the link was closed: nothing more comes or goes."""


class FrameTooLarge(ValueError):
    """The frame is larger than the link takes; it was not sent and the link is unharmed."""


class FrameLink(Protocol):
    """One end of a two-way link. One task receives; any number may send: a frame is never torn."""

    async def send(self, frame: bytes) -> None:
        """Waits while the other end is slow. Raises LinkClosed, FrameTooLarge."""
        ...

    async def receive(self) -> bytes:
        """The next frame. Raises LinkClosed at the end, also in the middle of a frame or when one is too large."""
        ...

    def close(self) -> None:
        """Frames already sent still arrive; idempotent. A waiting `receive` raises LinkClosed."""
        ...


class StreamLink:
    """A FrameLink over an asyncio stream. See FrameLink for the contract."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, max_frame_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_frame_bytes = max_frame_bytes
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    async def send(self, frame: bytes) -> None:
        if len(frame) > self._max_frame_bytes:
            raise FrameTooLarge(f"a frame of {len(frame)} bytes; at most {self._max_frame_bytes} are taken")
        if self._writer.is_closing():
            raise LinkClosed("the link is closed")
        self._writer.write(HEADER.pack(len(frame)) + frame)
        try:
            await self._writer.drain()
        except OSError as error:
            raise LinkClosed(str(error)) from error

    async def receive(self) -> bytes:
        try:
            (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            if length <= self._max_frame_bytes:
                return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            raise LinkClosed("the other end closed the link") from error
        self.close()
        raise LinkClosed(f"the other end sent a frame of {length} bytes; at most {self._max_frame_bytes} are taken")

    def close(self) -> None:
        if not self._writer.is_closing():
            self._writer.close()
            self._reader.feed_eof()

    def abort(self) -> None:
        """Closes without waiting for what is unsent."""
        self.close()
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Until the socket is closed; only after `close` or `abort`."""
        with suppress(OSError):
            await self._writer.wait_closed()


class MemoryLink:
    """A FrameLink inside one process. See FrameLink for the contract."""

    def __init__(self, outgoing: Channel[bytes], incoming: Channel[bytes]) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    async def send(self, frame: bytes) -> None:
        try:
            await self._outgoing.send(frame)
        except Closed as error:
            raise LinkClosed("the link is closed") from error

    async def receive(self) -> bytes:
        try:
            return await self._incoming.receive()
        except Closed as error:
            raise LinkClosed("the link is closed") from error

    def close(self) -> None:
        self._outgoing.close()
        self._incoming.close()


def memory_links() -> tuple[MemoryLink, MemoryLink]:
    """Both ends of a link inside this loop; `send` waits while 256 frames are unread."""
    there, back = Channel[bytes](_MEMORY_FRAMES), Channel[bytes](_MEMORY_FRAMES)
    return MemoryLink(there, back), MemoryLink(back, there)


async def socket_link(end: socket.socket, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> StreamLink:
    """Takes over a connected stream socket."""
    end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=end)
    return StreamLink(reader, writer, max_frame_bytes=max_frame_bytes)


async def parent_link(*, max_frame_bytes: int = MAX_FRAME_BYTES) -> StreamLink:
    """In a process started by `spawn_child`: the link to the parent. Can be taken once; KeyError when there is none."""
    return await socket_link(parent_socket(), max_frame_bytes=max_frame_bytes)


def parent_socket() -> socket.socket:
    """Like `parent_link`, for a process that reads it with blocking calls."""
    end = socket.socket(fileno=int(os.environ.pop(FD_VARIABLE)))
    end.set_inheritable(False)  # the child's own children must not hold the link open
    return end


async def send_object(link: FrameLink, value: object) -> None:
    """Pickles: only between processes that both run agentd's own code. Raises LinkClosed, FrameTooLarge."""
    await link.send(pickled.dumps(value))


async def receive_object(link: FrameLink) -> Any:
    """Raises LinkClosed, Unreadable."""
    return pickled.loads(await link.receive())


async def send_json(link: FrameLink, value: object) -> None:
    """Raises LinkClosed, FrameTooLarge, and TypeError or ValueError for what is no JSON."""
    await link.send(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())


async def receive_json(link: FrameLink) -> Any:
    """Raises LinkClosed, also when the frame is no JSON: the other end is then broken."""
    frame = await link.receive()
    try:
        return json.loads(frame)
    except (ValueError, RecursionError) as error:
        link.close()
        raise LinkClosed(f"the other end sent no JSON: {error}") from error


def own_path() -> list[Path]:
    """Where a child of ours finds agentd, when it runs from its source tree. A child is started with -P: what lies in
    the working directory must not stand in for a module."""
    root = Path(__file__).resolve().parents[1]
    return [] if root.name in ("site-packages", "dist-packages") else [root]


class OutputLines:
    """What a program writes, as lines for a log; a long line and a flood are cut. On the loop. `dropped`: how many
    lines were left out."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._write = log
        self._partial: dict[int, bytes] = {}
        self._second = 0.0
        self._lines = 0
        self.dropped = 0

    def take(self, fd: int, data: bytes) -> None:
        """`fd` tells its outputs apart."""
        *lines, rest = (self._partial.get(fd, b"") + data).split(b"\n")
        self._partial[fd] = rest[: _LINE_BYTES + 1]  # one more, so that the cut shows
        for line in lines:
            self._log(line)

    def end(self, fd: int) -> None:
        """Nothing more comes of this one."""
        if rest := self._partial.pop(fd, b""):
            self._log(rest)

    def _log(self, line: bytes) -> None:
        if not line.strip():
            return
        if self._loop.time() - self._second >= 1:
            self._second, self._lines = self._loop.time(), 0
        self._lines += 1
        if self._lines > _LINES_PER_S:
            self.dropped += 1
            return
        self._write(line[:_LINE_BYTES].decode(errors="replace") + ("…" if len(line) > _LINE_BYTES else ""))


class ChildProcess(asyncio.SubprocessProtocol):
    """A running child. Its output, where asked for, goes to a logger line by line; a flood is cut, and counted.

    `output_fields`: the fields of these records from now on; `dropped_lines`: how many were left out.
    """

    def __init__(self, logger: logging.Logger | None, fields: Mapping[str, Any], *, in_group: bool) -> None:
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._logger = logger
        self._output = OutputLines(self._log)
        self.output_fields = dict(fields)
        self._transport: asyncio.SubprocessTransport
        self._in_group = in_group

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number when one ended it."""
        return self._exited.result() if self._exited.done() else None

    async def wait(self) -> int:
        """Until it has ended; the return code."""
        return await asyncio.shield(self._exited)

    def on_exit(self, action: Callable[[], None]) -> None:
        """Calls `action` soon after the process has ended."""
        self._exited.add_done_callback(lambda _: action())

    def send_signal(self, number: int) -> None:
        """To the process, or to its whole group when it has one of its own; nothing when all have ended."""
        with suppress(ProcessLookupError, PermissionError):
            if self._in_group:
                os.killpg(self.pid, number)
            elif self.returncode is None:
                os.kill(self.pid, number)

    async def stop(self, grace_s: float = 0.25) -> int:
        """SIGTERM, then after `grace_s` SIGKILL, to the whole group where it has one; leaves no process of it."""
        try:
            self.send_signal(signal.SIGTERM)
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            pass
        finally:
            self.send_signal(signal.SIGKILL)  # also what the child has left behind in its group
            try:
                await self.wait()
            finally:
                self._transport.close()  # not before: it polls, and would take the return code from the watcher
        return self._exited.result()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def process_exited(self) -> None:
        if not self._exited.done():
            self._exited.set_result(self._transport.get_returncode() or 0)
        if self._logger is None:  # no output is still to be read
            self._transport.close()

    @property
    def dropped_lines(self) -> int:
        return self._output.dropped

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output.take(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._output.end(fd)

    def _log(self, text: str) -> None:
        if self._logger is not None:
            self._logger.info("%s", text, extra={**self.output_fields, "pid": self.pid})


@dataclass(frozen=True, slots=True)
class Child:
    """A child process and the link to it."""

    process: ChildProcess
    link: StreamLink


async def spawn_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    start_new_session: bool = False,
    output: logging.Logger | None = None,
    output_fields: Mapping[str, Any] | None = None,
    max_frame_bytes: int = MAX_FRAME_BYTES,
) -> Child:
    """Starts `argv` by exec, with one end of a socket pair, whose number is in its environment (see `parent_link`).

    `env` None: our own environment. Nothing but that socket is inherited; stdin is empty. stdout and stderr are
    ours, or go to `output` line by line, with `output_fields` as fields of the records. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        link = await socket_link(ours, max_frame_bytes=max_frame_bytes)
        try:
            _, process = await asyncio.get_running_loop().subprocess_exec(
                lambda: ChildProcess(output, output_fields or {}, in_group=start_new_session),
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if output else None,
                stderr=subprocess.PIPE if output else None,
                env={**(os.environ if env is None else env), FD_VARIABLE: str(theirs.fileno())},
                cwd=cwd,
                pass_fds=(theirs.fileno(),),
                start_new_session=start_new_session,
            )
        except BaseException:  # cancelled as well: the link must not stay open
            link.abort()
            await link.wait_closed()
            raise
    return Child(process, link)
