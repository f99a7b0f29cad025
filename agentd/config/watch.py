"""Tells when a directory has changed and has come to rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

from watchfiles import DefaultFilter, awatch

STABLE_S = 0.2
_SAFETY_POLL_MS = 5_000  # a lost inotify watch (the directory was replaced) is made good within this time
_POLL_S = 0.5
_MAX_WAIT_S = 10.0  # a writer that never rests does not hold up everybody else's edits for longer
_PASSING = (r"\.py[cod]$", r"~$", r"\.sw.$")
_IGNORED = frozenset({"__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache"})

Snapshot = Mapping[str, tuple[int, int, int]]


async def watch(directory: Path, *, stable_s: float = STABLE_S, polling: bool = False) -> AsyncGenerator[None, None]:
    """Yields once for each change of the tree, when nothing has changed for `stable_s`.

    A file that is being written, a ConfigMap's `..data` swap, and a thousand files at once are one change each. A
    file that was only opened, or a __pycache__, is none. `polling` looks twice a second, where the file
    system gives no notice (networks). The directory need not be there yet.
    """
    seen = await asyncio.to_thread(snapshot, directory)
    while True:
        async with aclosing(_notices(directory, polling)) as notices:
            identity = _identity(directory)
            async for _ in notices:
                now = await _at_rest(directory, stable_s)
                if now != seen:
                    seen = now
                    yield
                if _identity(directory) != identity:
                    break  # another directory stands there now: the file system's notices are of the old one


def snapshot(directory: Path) -> Snapshot:
    """Every file of the tree with its inode, size and time of change; links are followed to what they name."""
    found: dict[str, tuple[int, int, int]] = {}
    for place, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if name not in _IGNORED]
        for name in (*files, *folders):
            path = os.path.join(place, name)
            try:
                about = os.stat(path)
            except OSError:
                continue
            is_folder = os.path.isdir(path)
            found[path] = (about.st_ino, 0 if is_folder else about.st_size, 0 if is_folder else about.st_mtime_ns)
    return found


async def _notices(directory: Path, polling: bool) -> AsyncGenerator[None, None]:
    """Yields at every notice of the file system, and every few seconds: the caller looks what it was."""
    while _identity(directory) is None:  # noqa: ASYNC110 -- nobody tells when a directory appears
        await asyncio.sleep(STABLE_S)
    yield
    while polling:
        await asyncio.sleep(_POLL_S)
        yield
    changes = awatch(
        directory,
        watch_filter=DefaultFilter(ignore_dirs=tuple(_IGNORED), ignore_entity_patterns=_PASSING),
        debounce=50,
        step=10,
        rust_timeout=_SAFETY_POLL_MS,
        yield_on_timeout=True,
    )
    try:
        async with aclosing(changes):
            async for _ in changes:
                yield
    except (OSError, RuntimeError):  # the directory went away
        await asyncio.sleep(STABLE_S)


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        about = directory.stat()
    except OSError:
        return None
    return (about.st_dev, about.st_ino)


async def _at_rest(directory: Path, stable_s: float) -> Snapshot:
    """The snapshot that did not change for `stable_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _MAX_WAIT_S
    before = await asyncio.to_thread(snapshot, directory)
    while True:
        await asyncio.sleep(stable_s)
        now = await asyncio.to_thread(snapshot, directory)
        if now == before or loop.time() > deadline:
            return now
        before = now
