"""What agents keep about their callers from one call to the next: a small file for each agent and caller.

Several workers write; a file is replaced as a whole under a lock, so that it is always one or the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentd.errors import ToolError

NAME_CHARACTERS = 64
TEXT_CHARACTERS = 1_000
MOST_NOTES = 50  # the oldest is forgotten for the next one


class Memory:
    """`directory` is made when something is kept; its files are for their owner only, and callers cannot be read from
    their names. Methods raise ToolError when the disk does not do."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def keep(self, agent: str, caller: str, name: str, text: str, *, keep_s: float) -> None:
        """An empty text forgets."""
        await asyncio.to_thread(self._keep, agent, caller, name.strip(), text.strip(), keep_s)

    async def notes(self, agent: str, caller: str) -> dict[str, str]:
        """By name, the oldest first."""
        return await asyncio.to_thread(self._notes, agent, caller)

    def _keep(self, agent: str, caller: str, name: str, text: str, keep_s: float) -> None:
        path = self._path(agent, caller)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(path.with_suffix(".lock")):
                notes = _living(_read(path))
                notes.pop(name, None)
                if text:
                    notes[name] = {"text": text, "until": time.time() + keep_s}
                _write(path, dict(list(notes.items())[-MOST_NOTES:]))
        except OSError as error:
            raise ToolError(f"it could not be kept: {error.strerror}") from error

    def _notes(self, agent: str, caller: str) -> dict[str, str]:
        try:
            return {name: note["text"] for name, note in _living(_read(self._path(agent, caller))).items()}
        except OSError as error:
            raise ToolError(f"the notes cannot be read: {error.strerror}") from error

    def _path(self, agent: str, caller: str) -> Path:
        return self._directory / agent / f"{hashlib.sha256(caller.encode()).hexdigest()}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ToolError("the notes are damaged") from error


def _living(notes: dict[str, Any]) -> dict[str, Any]:
    return {name: note for name, note in notes.items() if note["until"] > time.time()}


def _write(path: Path, notes: dict[str, Any]) -> None:
    if not notes:
        path.unlink(missing_ok=True)
        return
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.touch(mode=0o600)
    with fresh.open("w") as file:
        json.dump(notes, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
