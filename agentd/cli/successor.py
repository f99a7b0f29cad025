"""The process that takes this one's place at an upgrade: the same command, by what is installed now.

It is exec'd, so that it has this process' number, which is what a service manager watches. Its workers' links end with
that, and they wait at their doors; it inherits the lock of the state directory and what the admin server listens on,
so that nobody comes between and who connects meanwhile is kept waiting, not refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentd.runtime.upgrade import UpgradeRefused

logger = logging.getLogger(__name__)

CHECK_S = 60.0
LOCK_VARIABLE = "AGENTD_HANDED_LOCK"
LISTENING_VARIABLE = "AGENTD_HANDED_SOCKETS"
CHILDREN_VARIABLE = "AGENTD_HANDED_CHILDREN"
STATE_VARIABLE = "AGENTD_HANDED_STATE"
"""Of `agentd serve --check`: the state directory in which the calls are that it would have to take over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What the process was before an upgrade has left to this one; empty where there was none."""

    lock: int | None = None
    listening: tuple[socket.socket, ...] = ()
    children: tuple[int, ...] = ()
    state_dir: Path | None = None  # only said to a process that shall tell whether it would serve


def handed(environment: Mapping[str, str]) -> Handed:
    """Takes over the descriptors that the environment names."""
    lock = environment.get(LOCK_VARIABLE, "")
    listening = tuple(socket.socket(fileno=number) for number in _numbers(environment.get(LISTENING_VARIABLE, "")))
    for each in listening:
        each.set_inheritable(False)
    if lock:
        os.set_inheritable(int(lock), False)
    return Handed(
        lock=int(lock) if lock else None,
        listening=listening,
        children=_numbers(environment.get(CHILDREN_VARIABLE, "")),
        state_dir=Path(environment[STATE_VARIABLE]) if STATE_VARIABLE in environment else None,
    )


def without_handed(environment: Mapping[str, str]) -> dict[str, str]:
    names = (LOCK_VARIABLE, LISTENING_VARIABLE, CHILDREN_VARIABLE, STATE_VARIABLE)
    return {name: value for name, value in environment.items() if name not in names}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


@dataclass(slots=True)
class SameCommand:
    """Implements `agentd.runtime.upgrade.Successor`. `environment`: as this process was started with it."""

    environment: Mapping[str, str]
    state_dir: Path
    lock: int
    listening: Sequence[socket.socket] = field(default_factory=list)

    def argv(self, *more: str) -> list[str]:
        return [sys.executable, *sys.orig_argv[1:], *more]

    async def check(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.argv("--check"),
            env={**self.environment, STATE_VARIABLE: str(self.state_dir.absolute())},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(CHECK_S):
                _, said = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise UpgradeRefused(f"what is installed did not start within {CHECK_S:.0f} s") from error
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or [f"it ended with {process.returncode}"]
            raise UpgradeRefused("what is installed would not serve: " + "; ".join(lines[-5:]))

    def begin(self, children: Sequence[int]) -> None:
        kept = [self.lock, *(each.fileno() for each in self.listening)]
        for number in kept:
            os.set_inheritable(number, True)
        environment = {
            **self.environment,
            LOCK_VARIABLE: str(self.lock),
            LISTENING_VARIABLE: ",".join(str(each.fileno()) for each in self.listening),
            CHILDREN_VARIABLE: ",".join(map(str, children)),
        }
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(sys.executable, self.argv(), environment)
