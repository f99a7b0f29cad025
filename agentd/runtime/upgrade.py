"""An upgrade: another process takes the supervisor's place while the workers hold their calls.

What is installed is asked first whether it would serve; then no call is taken any more, those that were promised a
place get it, and the successor begins. From there on it is as after a kill: `agentd.runtime.adoption`.

A drain goes before an upgrade until the moment in which the successor begins, and what comes then is its own to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from agentd.errors import AgentdError
from agentd.runtime.calls import Calls
from agentd.runtime.pool import Pool
from agentd.runtime.registrations import Registrations

logger = logging.getLogger(__name__)

PROMISED_S = 2.0
"""For a job that was accepted to be assigned: LiveKit does that within milliseconds, or gives it to somebody else."""

LAST_WORDS_S = 0.2  # for what was posted to the workers, and for the answer to who asked for the upgrade
LAST_LOOK_S = 0.01  # for signals that the loop was not told of yet
REAP_INTERVAL_S = 0.5


class UpgradeRefused(AgentdError):
    """Nothing has changed; the message says why not."""


class Successor(Protocol):
    async def check(self) -> None:
        """Raises UpgradeRefused when what is installed would not serve."""
        ...

    def hold_signals(self) -> None:
        """Signals that come from now on are the successor's."""
        ...

    def release_signals(self) -> None:
        """There will be no successor: they are this process' own, those that came meanwhile as well."""
        ...

    def begin(self, children: Sequence[int]) -> None:
        """Does not return. `children`: processes of ours that it has to wait for when they end. Raises OSError."""
        ...


class Upgrade:
    """Owned by the supervisor. `successor` None: this daemon cannot be upgraded while it runs; `why` says it."""

    def __init__(
        self,
        calls: Calls,
        pool: Pool,
        registrations: Registrations,
        successor: Successor | None,
        why: str,
        draining: Callable[[], bool],
    ) -> None:
        self._calls = calls
        self._pool = pool
        self._registrations = registrations
        self._successor = successor
        self._why = why
        self._draining = draining
        self._asked = asyncio.Event()
        self.under_way = False

    async def ask(self) -> None:
        """Returns when the successor is about to begin. Raises UpgradeRefused."""
        if self._successor is None:
            raise UpgradeRefused(self._why)
        if self._draining() or self.under_way:
            raise UpgradeRefused("it is draining" if self._draining() else "an upgrade is under way")
        self.under_way = True
        try:
            await self._successor.check()
            if self._draining():
                _tell_abandoned()
                raise UpgradeRefused("it was told to drain meanwhile")
        except BaseException:  # cancelled as well: another may be asked for
            self.under_way = False
            raise
        logger.warning("upgrade began", extra={"sessions": len(self._calls.table)})
        self._asked.set()

    async def run(self) -> None:
        """Returns when it was abandoned for a drain."""
        await self._asked.wait()
        assert self._successor is not None
        self._calls.accepting = False
        self._registrations.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(PROMISED_S):
                while self._calls.table.promised:  # noqa: ASYNC110 (a place also lapses)
                    await asyncio.sleep(0.02)
        await asyncio.sleep(LAST_WORDS_S)
        self._successor.hold_signals()
        try:
            await asyncio.sleep(LAST_LOOK_S)
            if not self._draining():
                self._begin(self._successor)
        finally:
            self._successor.release_signals()
        self.under_way = False
        _tell_abandoned()

    def _begin(self, successor: Successor) -> None:
        """Does not return, and gives the loop no turn."""
        try:
            successor.begin([worker.pid for worker in self._pool.workers.values() if worker.pid != os.getpid()])
        except OSError:
            logger.exception("the successor could not begin")
            os._exit(1)  # as by a kill: the workers hold the calls until the service manager has started it again


def _tell_abandoned() -> None:
    logger.warning("upgrade abandoned", extra={"reason": "the daemon was told to drain"})


async def reap(children: Iterable[int]) -> None:
    """Waits for processes that this one has from before its upgrade."""
    left = list(children)
    while left:
        left = [pid for pid in left if _runs(pid)]
        await asyncio.sleep(REAP_INTERVAL_S)


def _runs(pid: int) -> bool:
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # it was waited for where it was adopted
        return False
    return ended == 0
