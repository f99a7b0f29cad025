"""What a tool process may use: limits of the kernel, set by the process itself before it imports the users' code.

They protect a machine from accidents, not from malice: a tool runs as the same user as agentd does. Limits hold for
each process, also for those that a tool starts; only the number of processes is counted for the user as a whole.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "AGENTD_TOOL_LIMITS"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_WORN_THREADS = 64
_WORN_ZOMBIES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """0: none. `cpu_s` is for each call; `processes` are threads, too, and come on top of what the user has when the
    process starts (the kernel does not count root's)."""

    memory_bytes: int = 2048 * 1024 * 1024
    cpu_s: int = 120
    open_files: int = 1024
    processes: int = 256
    file_bytes: int = 256 * 1024 * 1024

    def to_environment(self) -> Mapping[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}


def confine() -> Limits:
    """No core dumps, no new privileges, an end with the worker's, descendants that stay ours, and the limits."""
    limits = Limits(**json.loads(os.environ.pop(VARIABLE, "{}")))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for which, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        _set(which, value)
    if limits.processes:
        _limit_processes(limits.processes + _threads_of_user())
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # so that a daemon of a tool's stays in its tree
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return limits


def begin_call(limits: Limits) -> None:
    """A new allowance of processor time: the kernel counts a process' from its start."""
    if limits.cpu_s:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        wanted = int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_s
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard < 0 else min(wanted, hard), hard))


def worn(limits: Limits) -> str:
    """Why this process should not take another call: what calls have left behind in it; "" when it may."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError as error:
        return "open files" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    memory = pages * resource.getpagesize()
    if limits.memory_bytes and memory > limits.memory_bytes // 2:
        return f"{memory >> 20} MiB of memory"
    if limits.open_files and files > limits.open_files // 2:
        return f"{files} open files"
    if threading.active_count() > _WORN_THREADS:
        return f"{threading.active_count()} threads"
    if (dead := _zombies()) > _WORN_ZOMBIES:
        return f"{dead} dead processes"
    return ""


def _set(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if value:
        value = value if hard < 0 else min(value, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (value, value))


def _limit_processes(most: int) -> None:
    """The kernel counts the user's processes in other containers, too, which cannot be seen from here: where that
    leaves none for this process, the limit is taken back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (most if hard < 0 else min(most, hard), hard))
        try:
            probe = threading.Thread(target=int)
            probe.start()
        except RuntimeError:
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        else:
            probe.join()


def _threads_of_user() -> int:
    count, user = 0, os.getuid()
    for name in _numbers("/proc"):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _zombies() -> int:
    count = 0
    for task in _numbers("/proc/self/task"):
        with suppress(OSError):
            for child in Path(f"/proc/self/task/{task}/children").read_text().split():
                count += ") Z " in Path(f"/proc/{child}/stat").read_text()
    return count


def _numbers(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []
