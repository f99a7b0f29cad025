"""The processes that a tool process has started, wherever they have gone, and their end.

They are known by their ancestor while it lives (it is a sub-reaper: what daemonises stays in its tree), and by what
they have from it: a mark in the environment, the session, a working directory in its own. A process that has none of
these left and whose ancestor crashed before it could be looked at is not found.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "AGENTD_TOOL_PROCESS"
_SWEEPS_S = 5.0  # a process can start another while we look; each pass finds what the one before missed


@dataclass(frozen=True, slots=True)
class Relative:
    """A process; `started`, in the kernel's clock ticks, tells it from a later one with the same number."""

    pid: int
    parent: int
    session: int
    started: int
    zombie: bool = False


def descendants(pid: int) -> list[Relative]:
    """Of a process that lives, those that live now."""
    found, known = [], {pid}
    everyone = sorted(_everyone(), key=lambda each: each.started)
    grown = True
    while grown:
        grown = False
        for each in everyone:
            if each.parent in known and each.pid not in known:
                known.add(each.pid)
                found.append(each)
                grown = True
    return found


def end_family(pid: int, mark: str, home: Path, known: list[Relative]) -> None:
    """Kills all relatives of the tool process `pid`, which has ended. Stops each first: what is stopped cannot fork."""
    needle, directory = f"{MARK}={mark}".encode(), f"{os.path.realpath(home)}"
    ours = {(each.pid, each.started) for each in known}
    until = time.monotonic() + _SWEEPS_S
    while time.monotonic() < until:
        found = []
        parents = {number for number, _ in ours}
        for each in _everyone():
            if each.zombie or each.pid == os.getpid():
                continue
            if (
                (each.pid, each.started) in ours
                or each.session == pid
                or (each.parent in parents and each.parent > 1)
                or needle in _environment(each.pid)
                or _inside(each.pid, directory)
            ):
                found.append(each)
                ours.add((each.pid, each.started))
                _signal(each.pid, signal.SIGSTOP)
        for each in found:
            _signal(each.pid, signal.SIGKILL)
        if not found:
            return


def _everyone() -> Iterator[Relative]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return  # no /proc: the group is all that can be known
    for name in names:
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                told = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
                yield Relative(int(name), int(told[1]), int(told[3]), int(told[19]), told[0] == "Z")


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _inside(pid: int, directory: str) -> bool:
    try:
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    return place == directory or place.startswith((f"{directory}/", f"{directory} (deleted)"))


def _signal(pid: int, number: int) -> None:
    with suppress(OSError):
        os.kill(pid, number)
