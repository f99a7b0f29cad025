"""Of `agentd doctor`: the state directory, who holds it, and what calls have left in it."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from agentd.cli.checks import Finding, fail, ok, warn

LITTLE_BYTES = 1 << 30
TOO_LITTLE_BYTES = 100 << 20
LOCK = "lock"


def state_directory(path: Path, *, answers: bool) -> Finding:
    """`answers`: a daemon answers at the admin address, so that it may well be the one that holds this directory."""
    there = existing(path)
    if not os.access(there, os.W_OK | os.X_OK):
        what = str(path) if there == path else f"{path} cannot be made: {there}"
        return fail("state", f"{what} cannot be written", "let `store` name a directory that can, or change its owner")
    if there != path:
        return ok("state", f"{path} will be made")
    if holder := held_by(path):
        if answers:
            return ok("state", f"{path}, held by the daemon (pid {holder})")
        todo = "stop that one, or let `store` name another directory"
        return fail("state", f"{path} is held by pid {holder}, which does not answer at the admin address", todo)
    if path.stat().st_mode & 0o077:
        todo = f"chmod 700 {path}: what callers said is in it"
        return warn("state", f"{path} can be read by others", todo)
    return ok("state", f"{path}, held by nobody")


def journals(path: Path) -> Finding:
    """How much calls have left there, and how much room is left for the next."""
    free = shutil.disk_usage(existing(path)).free
    sizes = [_size_of(each) for each in (path / "sessions").glob("*.journal")]
    found = f"{len(sizes)} of {sum(sizes) / 2**20:.1f} MiB in all; {free / 2**30:.1f} GiB free"
    todo = "remove journals of calls that have ended, as docs/operations/running.md shows"
    if free < TOO_LITTLE_BYTES:
        return fail("journals", found, todo)
    return warn("journals", found, todo) if free < LITTLE_BYTES else ok("journals", found)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed a moment ago
        return 0


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    for each in (path, *path.absolute().parents):
        if each.exists():
            return each
    return Path("/")


def held_by(path: Path) -> str:
    """The pid of the daemon that holds a state directory; "": nobody does."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
    else:
        return ""
    finally:
        os.close(descriptor)
