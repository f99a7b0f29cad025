"""The process that takes this one's place at an upgrade: the same command, by what is installed now.

It is exec'd, so that it has this process' number, which is what a service manager watches. Its workers' links end with
that, and they wait at their doors; it inherits the lock of the state directory and what the admin server listens on,
so that nobody comes between and who connects meanwhile is kept waiting, not refused. No signal is lost: what comes in
the last moments of this process is left in a pipe, and what comes before the successor can act on it is held back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
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
SIGNALS_VARIABLE = "AGENTD_HANDED_SIGNALS"
STATE_VARIABLE = "AGENTD_HANDED_STATE"
"""Of `agentd serve --check`: the state directory in which the calls are that it would have to take over."""

ACTED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""Signals that mean something to a daemon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What the process was before an upgrade has left to this one; empty where there was none."""

    lock: int | None = None
    listening: tuple[socket.socket, ...] = ()
    children: tuple[int, ...] = ()
    signals: tuple[int, ...] = ()  # that came when it could not act on them any more
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
        signals=_left_in(environment.get(SIGNALS_VARIABLE, "")),
        state_dir=Path(environment[STATE_VARIABLE]) if STATE_VARIABLE in environment else None,
    )


def without_handed(environment: Mapping[str, str]) -> dict[str, str]:
    names = (LOCK_VARIABLE, LISTENING_VARIABLE, CHILDREN_VARIABLE, SIGNALS_VARIABLE, STATE_VARIABLE)
    return {name: value for name, value in environment.items() if name not in names}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def _left_in(pipe: str) -> tuple[int, ...]:
    """The signals in a pipe whose other end is closed."""
    if not pipe:
        return ()
    with open(int(pipe), "rb") as left:
        return tuple(number for number in left.read() if number in ACTED_ON)


class HeldSignals:
    """From now until `release`, or beyond the exec of another program: signals that a daemon acts on are held back from
    this thread. Any other thread still takes them, and then their numbers lie in the pipe whose reading end is `left`,
    where asyncio does not see them. Both are there after an exec. Only in the main thread."""

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, ACTED_ON)
        self.left, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._loops = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def release(self) -> None:
        signal.set_wakeup_fd(self._loops)
        os.close(self._writing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ACTED_ON)
        for number in _left_in(str(self.left)):
            signal.raise_signal(number)


@dataclass(slots=True)
class SameCommand:
    """Implements `agentd.runtime.upgrade.Successor`. `environment`: as this process was started with it."""

    environment: Mapping[str, str]
    state_dir: Path
    lock: int
    listening: Sequence[socket.socket] = field(default_factory=list)
    _held: HeldSignals | None = None

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
            raise UpgradeRefused(f"what is installed did not start within {CHECK_S:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or [f"it ended with {process.returncode}"]
            raise UpgradeRefused("what is installed would not serve: " + "; ".join(lines[-5:]))

    def hold_signals(self) -> None:
        self._held = HeldSignals()

    def release_signals(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def begin(self, children: Sequence[int]) -> None:
        assert self._held is not None, "none may be lost from here on"
        kept = [self.lock, self._held.left, *(each.fileno() for each in self.listening)]
        for number in kept:
            os.set_inheritable(number, True)
        environment = {
            **self.environment,
            LOCK_VARIABLE: str(self.lock),
            LISTENING_VARIABLE: ",".join(str(each.fileno()) for each in self.listening),
            CHILDREN_VARIABLE: ",".join(map(str, children)),
            SIGNALS_VARIABLE: str(self._held.left),
        }
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(sys.executable, self.argv(), environment)
