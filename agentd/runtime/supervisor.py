"""The supervisor: the one process that LiveKit, the operator and the workers know.

It owns the generations, the registrations (one a name) and the job table, and it holds no call itself: no SDK, no
model and no user code is ever imported here, so that nothing of theirs can take it down.

supervisor{ pool, rollout, watch, tick, registration x A }

Here are its start, in order, and its end. What it is made of is in `agentd.runtime.parts`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Sequence
from functools import partial
from pathlib import Path

from agentd.aio import every
from agentd.errors import AgentdError, Problem
from agentd.runtime.adoption import adopt_workers
from agentd.runtime.cold import left_open, recover_calls
from agentd.runtime.drain import CUT_GRACE_S
from agentd.runtime.journals import journal_files, session_of
from agentd.runtime.operator_side import OperatorSide
from agentd.runtime.parts import Parts
from agentd.runtime.registrations import LiveKitUnreachable
from agentd.runtime.status import DrainStatus
from agentd.runtime.supervisor_settings import SupervisorSettings
from agentd.runtime.surroundings import Surroundings
from agentd.runtime.tick import TICK_S, tick
from agentd.runtime.upgrade import reap

logger = logging.getLogger(__name__)


class NoValidAgent(AgentdError):
    """There is nothing to serve; `problems` say why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)) or "there are no agent files")


class Supervisor(OperatorSide):
    """Implements `agentd.runtime.status.Daemon`."""

    def __init__(self, settings: SupervisorSettings, around: Surroundings) -> None:
        super().__init__(Parts(settings, around))

    async def run(self) -> bool:
        """Until drained. True: every call came to its own end; False: calls were cut.

        Raises NoValidAgent and LiveKitUnreachable, once the calls of an earlier daemon are over.
        """
        whole = True
        async with asyncio.TaskGroup() as group:
            self.parts.group = group
            pool = group.create_task(self.pool.run(), name="pool")
            others = [group.create_task(self.rollout.run(), name="rollout")]
            others.append(group.create_task(self.parts.announcements.run(), name="announcements"))
            try:
                earlier = await self._start(group, others)
                failure = await self._first_generation(group)
                if failure is not None and len(self.calls.table):
                    logger.error("no agent served: calls under way go on", extra={"reason": str(failure)})
                    self.drain()
                if failure is None and not self.parts.drain.asked:
                    self._serves(group, others, earlier)
                if failure is None or self.parts.drain.asked:
                    whole = await self.parts.drain.wait(self.settings.drain_timeout_s)
                    self.parts.chronicle.ended(whole=whole)
                    self.pool.stop("shutdown")
                    await asyncio.wait([pool], timeout=2 * CUT_GRACE_S)
                    await self.parts.drain.tell()
            finally:
                self.parts.group = None
                self.parts.budgets.close()
                self.parts.registrations.cancel()
                for task in (pool, *others):
                    task.cancel()
        if failure is not None:
            raise failure
        return whole

    async def _start(self, group: asyncio.TaskGroup, others: list[asyncio.Task[None]]) -> Sequence[Path]:
        """What goes on by itself from here on, and the calls of an earlier daemon: those in its workers are taken over,
        the journals of the others are returned."""
        parts, around = self.parts, self.parts.around
        others.append(group.create_task(parts.upgrade.run(), name="upgrade"))
        others.append(group.create_task(reap(around.children), name="reap"))
        adopted = await adopt_workers(self.settings.state_dir, self.pool, self.calls)
        files = await asyncio.to_thread(journal_files, self.settings.state_dir)  # before a call of our own has one
        earlier = [each.path for each in files if session_of(each.path) not in adopted]
        for owner in (self.probation, self.canaries, self.gate):
            await asyncio.to_thread(owner.load)
            others.append(group.create_task(owner.file.run(), name="state file"))
        others.append(group.create_task(every(TICK_S, partial(tick, parts)), name="tick"))
        if around.changes is not None:  # before the first reading, so that no change falls between the two
            others.append(group.create_task(self._watch(around.changes), name="watch"))
        await parts.durability.look()
        others.append(group.create_task(parts.durability.run(), name="durability"))
        others.append(group.create_task(self.probation.run(), name="probation"))
        parts.chronicle.started(parts.instance)
        return earlier

    async def _first_generation(self, group: asyncio.TaskGroup) -> AgentdError | None:
        """Returns when agents serve, or with what keeps them from it; a drain that is asked for ends the waiting."""
        serving = group.create_task(self._until_served(), name="first generation")
        ended = group.create_task(self.parts.drain.until_asked(), name="end of the start")
        await asyncio.wait((serving, ended), return_when=asyncio.FIRST_COMPLETED)
        failure = serving.result() if serving.done() else None
        serving.cancel()
        ended.cancel()
        return failure

    async def _until_served(self) -> AgentdError | None:
        await self.rollout.reload()
        if not self.rollout.agents:
            return NoValidAgent(self.rollout.problems)
        if self.settings.require_livekit_s is not None:
            try:
                await self.parts.registrations.within(self.settings.require_livekit_s)
            except LiveKitUnreachable as error:
                if not len(self.calls.table):
                    return error
                extra = {"reason": str(error), "sessions": len(self.calls.table)}
                logger.error("LiveKit not reached: calls under way go on", extra=extra)  # noqa: TRY400 -- one line says it
        return None

    def _serves(self, group: asyncio.TaskGroup, others: list[asyncio.Task[None]], earlier: Sequence[Path]) -> None:
        parts, around = self.parts, self.parts.around
        if around.room_exists is not None:
            url = self.settings.livekit_url
            left = left_open(earlier)
            recovery = recover_calls(left, self.calls, self.rollout.agents, url, around.mint, around.room_exists)
            others.append(group.create_task(recovery, name="cold recovery"))
        if parts.probes is not None:
            others.append(group.create_task(parts.probes.run(), name="probes"))
        if parts.retention is not None:
            others.append(group.create_task(parts.retention.run(), name="retention"))
        parts.started = True
        around.notify("ready")
        logger.info("daemon started", extra={"agents": ",".join(self.rollout.agents), "workers": self.settings.workers})

    async def _watch(self, changes: AsyncIterable[object]) -> None:
        async for _ in changes:
            self.rollout.request()

    # The end

    def drain(self) -> None:
        """Takes no more calls; the daemon ends when the last call has, or at the deadline."""
        self.parts.drain.begin()

    def drain_status(self) -> DrainStatus:
        return self.parts.drain.status()

    async def upgrade(self) -> None:
        await self.parts.upgrade.ask()
        self.parts.chronicle.upgrading(len(self.calls.table))

    def cut(self) -> None:
        """Ends the calls that a drain still waits for."""
        self.parts.drain.cut()

    def stop_signal(self) -> None:
        """SIGTERM or SIGINT: the first drains, the second cuts."""
        self.parts.drain.signal()
