"""How the daemon ends: it takes no more calls, and waits for the last one or a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from agentd.aio import now
from agentd.runtime.calls import Calls
from agentd.runtime.registrations import Registrations
from agentd.runtime.status import DrainState, DrainStatus
from agentd.tools.acts import EndSession

logger = logging.getLogger(__name__)

CUT_GRACE_S = 5.0
"""What a call that is cut gets to end itself."""

FOLLOWED_S = 5.0  # who has asked within it how the drain goes will ask again
TOLD_S = 2.0


class Drain:
    """`stir` it when something has changed that it may wait for."""

    def __init__(
        self, calls: Calls, registrations: Registrations, stirred: asyncio.Event, began: Callable[[int], None]
    ) -> None:
        """`began` is called once, with the number of calls under way."""
        self._calls = calls
        self._registrations = registrations
        self._stirred = stirred
        self._began = began
        self._asked = asyncio.Event()
        self._cut = False
        self._cut_calls = 0
        self._over = False
        self._followed_at = -FOLLOWED_S
        self._told = asyncio.Event()  # how it ended

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def status(self) -> DrainStatus:
        """For who follows it: see `tell`."""
        self._followed_at = now()
        if self._over:
            self._told.set()
        state: DrainState = "ended" if self._over else "draining" if self.asked else "none"
        return DrainStatus(state=state, sessions=len(self._calls.table), cut=self._cut_calls)

    async def tell(self) -> None:
        """Gives who follows the drain the time to be told how it ended: nobody can ask once the daemon is gone."""
        if now() - self._followed_at < FOLLOWED_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(TOLD_S):
                    await self._told.wait()

    def begin(self) -> None:
        """Takes no more calls; the daemon ends when the last call has, or at the deadline."""
        if not self.asked:
            logger.info("drain began", extra={"sessions": len(self._calls.table)})
            self._began(len(self._calls.table))
        self._calls.accepting = False
        self._registrations.drain()
        self._asked.set()

    def cut(self) -> None:
        """Ends the calls that a drain still waits for."""
        self._cut = True
        self.begin()
        self._stirred.set()

    def signal(self) -> None:
        """SIGTERM or SIGINT: the first drains, the second cuts."""
        if self.asked:
            self.cut()
        else:
            self.begin()

    async def until_asked(self) -> None:
        await self._asked.wait()

    async def wait(self, deadline_s: float) -> bool:
        """Until there is nothing left to wait for. True: every call came to its own end; False: calls were cut."""
        await self._asked.wait()
        await self._until_over(deadline_s)
        self._over = True
        return not self._cut_calls

    async def _until_over(self, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle(or_cut=True)
        except TimeoutError:
            logger.warning("drain deadline reached", extra={"sessions": len(self._calls.table)})
        self._cut_calls = len(self._calls.table)
        for session in self._calls.table:
            self._calls.control(session.id, EndSession(reason="drain_deadline"))
        try:
            async with asyncio.timeout(CUT_GRACE_S):
                await self._idle(or_cut=False)
        except TimeoutError:
            logger.warning("calls did not end in time", extra={"sessions": len(self._calls.table)})

    async def _idle(self, *, or_cut: bool) -> None:
        while len(self._calls.table) and not (or_cut and self._cut):
            self._stirred.clear()
            await self._stirred.wait()
