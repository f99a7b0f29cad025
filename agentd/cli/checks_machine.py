"""Of `agentd doctor`: what the machine, or the container, lets a daemon have."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agentd.cli.checks import Finding, fail, ok, warn
from agentd.config.daemon import DaemonConfig
from agentd.runtime.memory import total_bytes

BASE_DESCRIPTORS = 100
"""Of any process of agentd's: logs, sockets between processes, the admin server's connections."""

CALL_DESCRIPTORS = 40
"""Of one call, generously: media took 17 in tests/system/test_doctor.py; connections with providers and tools come on
top."""

DAEMON_MIB, WORKER_MIB, CALL_MIB = 100, 300, 6
"""Resident, of each; a worker's with the local models loaded (docs/performance.md)."""

SCRATCH_BYTES = 100 << 20
INSTANCES, WATCHES = "max_user_instances", "max_user_watches"
_IN_MODIFY = 2


def descriptors(config: DaemonConfig, agents: int, cores: int, limit: int | None = None) -> Finding:
    """Against what the fullest process would hold: the daemon has a connection for each agent, a worker its calls."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    _, most = config.workers.bounds(cores)
    daemon = BASE_DESCRIPTORS + agents + 2 * most
    worker = BASE_DESCRIPTORS + config.sessions_per_worker * CALL_DESCRIPTORS
    needed = max(daemon, worker) if most else daemon + config.sessions_per_worker * CALL_DESCRIPTORS
    found = f"{allowed} a process; the fullest may need {needed}"
    todo = f"ulimit -n {max(4096, 2 * needed)}, or LimitNOFILE= in the unit"
    if allowed == resource.RLIM_INFINITY:
        return ok("descriptors", "no limit")
    if allowed < needed:
        return fail("descriptors", found, todo)
    return warn("descriptors", found, todo) if allowed < 1.25 * needed else ok("descriptors", found)


def room_for_workers(config: DaemonConfig, cores: int, memory_bytes: int | None = None) -> Finding:
    """Processors and memory, against the workers that there may be, each full."""
    memory = total_bytes() if memory_bytes is None else memory_bytes
    _, most = config.workers.bounds(cores)
    needed_mib = DAEMON_MIB + max(1, most) * (WORKER_MIB + config.sessions_per_worker * CALL_MIB)
    workers = f"{most} worker{'s' if most != 1 else ''}" if most else "calls in the daemon's own process"
    found = f"{cores} core{'s' if cores != 1 else ''}, {memory >> 20} MiB; {workers}, up to {needed_mib} MiB when full"
    if memory and needed_mib << 20 > memory * config.memory_threshold:
        todo = "fewer workers, smaller sessions_per_worker, or more memory: calls are refused at memory_threshold"
        return warn("capacity", found, todo)
    if most > cores:
        return warn("capacity", found, "no more workers than cores: those that share one make each other late")
    return ok("capacity", found)


def scratch(environment: Mapping[str, str], directory: Path | None = None) -> Finding:
    """Where workers have their temporary files, and tools' code is copied to."""
    path = directory or Path(tempfile.gettempdir())
    named = environment.get("TMPDIR")
    if named and Path(named) != path:
        return warn("scratch", f"TMPDIR names {named}, which cannot be used; {path} is taken", f"mkdir -p {named}")
    if not os.access(path, os.W_OK | os.X_OK):
        return fail("scratch", f"{path} cannot be written", "let TMPDIR name a directory that can")
    free = shutil.disk_usage(path).free
    if free < SCRATCH_BYTES:
        return fail("scratch", f"{path} has {free >> 20} MiB left", "free some, or let TMPDIR name another directory")
    return ok("scratch", f"{path}, {_size(free)} free")


def notices(agents_dir: Path) -> Finding:
    """Whether the kernel would tell of edits: tried, as others of this user may have used its limits up."""
    if sys.platform != "linux":
        return ok("inotify", "not on this system")
    limits = {name: _limit(name) for name in (INSTANCES, WATCHES)}
    shown = ", ".join(f"{name} {value}" for name, value in limits.items())
    failed = watch_failure(agents_dir if agents_dir.is_dir() else Path("."))
    if not failed:
        return ok("inotify", f"{agents_dir} can be watched; {shown}")
    name = WATCHES if failed == errno.ENOSPC else INSTANCES
    todo = f"sysctl fs.inotify.{name}={2 * (limits[name] or 4096)}; until then edits cost processor time to find"
    return warn("inotify", f"{agents_dir} cannot be watched ({os.strerror(failed)}); {shown}", todo)


def watch_failure(directory: Path) -> int:
    """The errno of watching it; 0: it went well."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        watched = libc.inotify_add_watch(descriptor, os.fsencode(directory), _IN_MODIFY)
        return ctypes.get_errno() if watched < 0 else 0
    finally:
        os.close(descriptor)


def _limit(name: str) -> int:
    try:
        return int(Path("/proc/sys/fs/inotify", name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"
