"""The daemon's log: in the past tense, and each line about a call names the call, its room and its job."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.session.journal import Journal
from tests.documents import ROOT
from tests.runtime.daemon import running, until
from tests.runtime.parts import Files, definition
from tests.runtime.test_queue import desk, queued

FILES = [
    *sorted((ROOT / "agentd" / "runtime").glob("*.py")),
    ROOT / "agentd/cli/serve.py",
    ROOT / "agentd/cli/wiring.py",
]
LEVELS = {"debug", "info", "warning", "error", "exception"}
PRESENT = re.compile(r"\b(is|are|has|cannot|can|goes|waits|receives|fails|serves|begins|\w+ing)\b")
CALL = {"session", "agent", "room", "job"}


def logged(file: Path) -> Iterator[str]:
    """The messages that are written in a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "logger" and node.args:
            texts = (each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def test_what_the_daemon_logs_has_happened() -> None:
    messages = [message for file in FILES for message in logged(file)]
    assert len(messages) > 50
    assert [message for message in messages if PRESENT.search(message.partition(":")[0])] == []


async def test_every_line_about_a_call_names_its_room_and_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    journal = Journal.create(tmp_path / "state" / "sessions" / "s-left.journal")
    journal.append("session.started", {"agent": "desk", "room": "ward-7", "job_id": "AJ_left"})
    journal.close()

    async def room_exists(room: str) -> bool:
        return True

    async with running(tmp_path, Files({"desk": definition("desk")}), room_exists=room_exists) as daemon:
        await until(lambda: daemon.talks("s-left"))
        call = await daemon.call("desk")
        held = daemon.session(call)
        assert held is not None
        daemon.kill(held.worker)
        await until(lambda: daemon.session(call).incarnation == 2 and daemon.talks(call))  # type: ignore[union-attr]
        daemon.supervisor.dump()
        await daemon.hang_up(call)
        await daemon.hang_up("s-left")
    places = {"s-left": ("desk", "ward-7", "AJ_left"), call: ("desk", held.room, held.job)}
    assert {"session recovered", "session resumed", "session", "session ended"} <= named(caplog, places)


async def test_so_does_every_line_about_a_call_that_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, desk(), workers=1, sessions_per_worker=1) as daemon:
        first = await daemon.call("desk")
        waiting = await queued(daemon)
        sessions = [session for each in (first, waiting) if (session := daemon.session(each)) is not None]
        await daemon.hang_up(first)
        await until(lambda: daemon.talks(waiting))
    places = {session.id: (session.agent, session.room, session.job) for session in sessions}
    assert {"call queued", "call left the queue", "session ended"} <= named(caplog, places)


def named(caplog: pytest.LogCaptureFixture, places: dict[str, tuple[str, str, str]]) -> set[str]:
    """The messages about these calls, each of which says all of the call. `places`: agent, room and job by session."""
    messages = set()
    for record in caplog.records:
        said = {name: record.__dict__[name] for name in CALL if name in record.__dict__}
        if "session" in said:
            messages.add(record.message)
            agent, room, job = places[said["session"]]
            assert said == {"session": said["session"], "agent": agent, "room": room, "job": job}, record.message
    return messages
