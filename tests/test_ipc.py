"""Frames between processes: order, limits, back-pressure, ends; and child processes that leave nothing behind."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentd import ipc

ECHO = """
import asyncio, os
from agentd import ipc

async def main():
    link = await ipc.parent_link()
    await ipc.send_object(link, dict(os.environ))
    while True:
        await link.send(await link.receive())

try:
    asyncio.run(main())
except ipc.LinkClosed:
    pass
"""


async def stream_pair(max_frame_bytes: int = 1024) -> tuple[ipc.StreamLink, ipc.StreamLink]:
    a, b = socket.socketpair()
    return (
        await ipc.socket_link(a, max_frame_bytes=max_frame_bytes),
        await ipc.socket_link(b, max_frame_bytes=max_frame_bytes),
    )


@pytest.fixture(params=["stream", "memory"])
async def links(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ipc.FrameLink, ipc.FrameLink]]:
    a, b = ipc.memory_links() if request.param == "memory" else await stream_pair()
    yield a, b
    a.close()
    b.close()
    for link in (a, b):
        if isinstance(link, ipc.StreamLink):
            await link.wait_closed()


async def test_frames_arrive_whole_and_in_order_both_ways(links: tuple[ipc.FrameLink, ipc.FrameLink]) -> None:
    a, b = links
    for frame in (b"one", b"", b"x" * 1024):
        await a.send(frame)
    await b.send(b"back")
    assert [await b.receive() for _ in range(3)] == [b"one", b"", b"x" * 1024]
    assert await a.receive() == b"back"


async def test_what_was_sent_before_the_close_still_arrives(links: tuple[ipc.FrameLink, ipc.FrameLink]) -> None:
    a, b = links
    await a.send(b"last words")
    a.close()
    assert await b.receive() == b"last words"
    with pytest.raises(ipc.LinkClosed):
        await b.receive()
    with pytest.raises(ipc.LinkClosed):
        await a.send(b"too late")


async def test_closing_wakes_the_own_receiver(links: tuple[ipc.FrameLink, ipc.FrameLink]) -> None:
    a, _ = links
    waiting = asyncio.ensure_future(a.receive())
    await asyncio.sleep(0)
    a.close()
    with pytest.raises(ipc.LinkClosed):
        await waiting


async def test_a_sender_waits_for_a_slow_reader(links: tuple[ipc.FrameLink, ipc.FrameLink]) -> None:
    a, b = links
    sent = 0

    async def flood() -> None:
        nonlocal sent
        for _ in range(5000):
            await a.send(bytes(1000))
            sent += 1

    sender = asyncio.ensure_future(flood())
    for _ in range(3000):
        await asyncio.sleep(0)
    assert 0 < sent < 5000
    for _ in range(5000):
        await b.receive()
    await sender


async def test_too_large_a_frame_is_not_sent_and_the_link_lives() -> None:
    a, b = await stream_pair(max_frame_bytes=4)
    with pytest.raises(ipc.FrameTooLarge):
        await a.send(b"12345")
    await a.send(b"1234")
    assert await b.receive() == b"1234"
    a.close()
    b.close()


async def test_a_frame_announced_too_large_closes_the_link() -> None:
    raw, end = socket.socketpair()
    link = await ipc.socket_link(end, max_frame_bytes=16)
    raw.sendall(ipc.HEADER.pack(2**31))
    with pytest.raises(ipc.LinkClosed, match="at most 16"):
        await link.receive()
    raw.close()


async def test_a_torn_frame_is_an_end() -> None:
    raw, end = socket.socketpair()
    link = await ipc.socket_link(end)
    raw.sendall(ipc.HEADER.pack(10) + b"half")
    raw.close()
    with pytest.raises(ipc.LinkClosed):
        await link.receive()


@pytest.mark.parametrize("frame", [b"not json", b"[" * 100_000, b"\xff\xfe"])
async def test_what_is_no_json_closes_the_link(frame: bytes) -> None:
    a, b = ipc.memory_links()
    await a.send(frame)
    with pytest.raises(ipc.LinkClosed):
        await ipc.receive_json(b)


async def test_json_and_objects_keep_their_values() -> None:
    a, b = ipc.memory_links()
    await ipc.send_json(a, {"text": "Zoë", "n": [1, 2.5, None]})
    assert await ipc.receive_json(b) == {"text": "Zoë", "n": [1, 2.5, None]}
    await ipc.send_object(a, (Path("x"), {1, 2}))
    assert await ipc.receive_object(b) == (Path("x"), {1, 2})


async def test_a_child_talks_over_the_link_and_ends_with_it() -> None:
    child = await ipc.spawn_child([sys.executable, "-c", ECHO])
    await ipc.receive_object(child.link)
    await child.link.send(b"x" * 3_000_000)
    assert len(await child.link.receive()) == 3_000_000
    child.link.close()
    assert await child.process.wait() == 0
    assert await child.process.stop() == 0


async def test_a_child_gets_the_environment_that_it_was_given_and_nothing_else() -> None:
    child = await ipc.spawn_child([sys.executable, "-c", ECHO], env={"PATH": "/bin", "GREETING": "hi"})
    environment = await ipc.receive_object(child.link)
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {"PATH": "/bin", "GREETING": "hi"}
    child.link.close()
    await child.process.stop()


async def test_a_child_inherits_no_open_file() -> None:
    secret = open("/dev/null")  # noqa: SIM115
    os.set_inheritable(secret.fileno(), True)
    code = (
        "import os; from agentd import ipc; s = ipc.parent_socket(); fds = os.listdir('/proc/self/fd');"
        "s.sendall(ipc.HEADER.pack(len(fds)) + bytes(len(fds))); s.close()"
    )
    child = await ipc.spawn_child([sys.executable, "-c", code])
    frame = await child.link.receive()
    assert len(frame) == 5  # stdin, stdout, stderr, the link, and the listing itself
    secret.close()
    child.link.close()
    await child.process.stop()


async def test_output_goes_to_the_log_by_lines_and_a_flood_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import sys; print('hello'); print('é' * 9000, flush=True); "
        "[print(i) for i in range(100_000)]; print('no newline', end='')"
    )
    caplog.set_level(logging.INFO)
    child = await ipc.spawn_child(
        [sys.executable, "-X", "utf8", "-c", code], output=logging.getLogger("child"), output_fields={"what": "x"}
    )
    await child.process.wait()
    while child.process.dropped_lines < 1000:
        await asyncio.sleep(0.01)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "hello"
    assert len(lines[1]) < 4200
    assert lines[1].endswith("…")
    assert len(lines) <= 500
    assert caplog.records[0].__dict__["what"] == "x"
    child.link.close()
    await child.process.stop()


async def test_what_a_child_says_on_its_error_output_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    code = "import sys; print('oops', end='', file=sys.stderr)"
    child = await ipc.spawn_child([sys.executable, "-c", code], output=logging.getLogger("child"))
    await child.process.wait()
    while not caplog.records:
        await asyncio.sleep(0.01)
    assert caplog.records[0].getMessage() == "oops"
    child.link.close()
    await child.process.stop()


async def test_a_child_that_ignores_sigterm_is_killed_with_its_whole_group() -> None:
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\npid = os.fork()\n"
        "from agentd import ipc\n"
        "if pid:\n  s = ipc.parent_socket(); s.sendall(ipc.HEADER.pack(8) + pid.to_bytes(8, 'big'))\n"
        "time.sleep(1000)"
    )
    child = await ipc.spawn_child([sys.executable, "-c", code], start_new_session=True)
    grandchild = int.from_bytes(await child.link.receive(), "big")
    assert await child.process.stop(grace_s=0.05) == -signal.SIGKILL
    child.link.close()
    while Path(f"/proc/{grandchild}").exists() and " Z " not in Path(f"/proc/{grandchild}/stat").read_text():
        await asyncio.sleep(0.01)


async def test_sigterm_is_enough_for_most() -> None:
    child = await ipc.spawn_child([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    assert await child.process.stop(grace_s=10) == -signal.SIGTERM
    child.link.close()


async def test_a_program_that_is_not_there_leaves_no_file_open() -> None:
    gc.collect()  # what earlier tests left to the collector is not counted
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no-such-program"):
        await ipc.spawn_child(["/no-such-program"])
    assert len(os.listdir("/proc/self/fd")) <= before
