"""A private copy of the agents' tool code, so that calls under way keep the code that they began with.

It lives in a scratch directory that belongs to one tool host. The directory is locked while its owner lives; what a
killed owner left behind is removed by the next one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from agentd.errors import ToolError

logger = logging.getLogger(__name__)

_PREFIX = "agentd-tools-"
_LOCK = "owner.lock"
_SKIPPED = ("__pycache__", "node_modules")
_ABANDONED_S = 3600.0  # a directory this old with no lock file was never finished
MAX_FILES = 10_000
MAX_BYTES = 64 * 1024 * 1024


class Scratch:
    """A directory of our own, mode 0700, removed by `remove`. Blocking calls throughout: use a thread."""

    def __init__(self, parent: Path | None = None) -> None:
        folder = Path(tempfile.gettempdir()) if parent is None else parent
        _remove_abandoned(folder)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def home(self) -> Path:
        """A fresh directory for one process."""
        return Path(tempfile.mkdtemp(prefix="home-", dir=self.path))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def copy_code(agents_dir: Path, tools_allow: Sequence[str], target: Path) -> None:
    """Copies every root package or module that `tools_allow` can name. Raises ToolError when it is too much."""
    target.mkdir()
    budget = _Budget()
    for source in _roots(agents_dir, tools_allow):
        if source.is_dir():
            shutil.copytree(
                source, target / source.name, ignore=_ignored, ignore_dangling_symlinks=True, copy_function=budget.copy
            )
        else:
            budget.copy(str(source), str(target / source.name))


def _roots(agents_dir: Path, tools_allow: Sequence[str]) -> Iterable[Path]:
    names = {pattern.partition(".")[0] for pattern in tools_allow}
    if any(not name.isidentifier() for name in names):  # a wildcard at the root: whatever Python could import
        names = {entry.stem for entry in _entries(agents_dir) if entry.stem.isidentifier()}
    for name in sorted(names):
        for path in (agents_dir / name, agents_dir / f"{name}.py"):
            if path.exists():
                yield path


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _ignored(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in _SKIPPED or name.startswith(".")]


class _Budget:
    """Copies files until they are too many or too large: a data set beside the code is a mistake to be told of."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def copy(self, source: str, target: str) -> str:
        if not os.path.isfile(source):
            return target  # a pipe or a socket is no code
        self._files += 1
        self._bytes += os.path.getsize(source)
        if self._files > MAX_FILES or self._bytes > MAX_BYTES:
            raise ToolError(
                f"the tools' code is more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB ({source}): "
                "keep data and environments elsewhere"
            )
        return str(shutil.copyfile(source, target))


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
                logger.info("removed what an ended process left behind", extra={"path": str(path)})


def _is_abandoned(path: Path) -> bool:
    """Raises OSError for what is not ours to look at."""
    if path.stat().st_uid != os.getuid():
        return False
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > _ABANDONED_S
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)
