"""A worker's process outlives its supervisor for as long as it has calls, and waits for the next one."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from typing import Protocol

from agentd import __version__
from agentd.ipc import FrameLink
from agentd.runtime.door import SCRATCH_VARIABLE, Door
from agentd.runtime.messages import HeldSession, Presence, WorkerSettings
from agentd.runtime.tether import Tether

logger = logging.getLogger(__name__)


class OneWorker(Protocol):
    """`agentd.runtime.worker.Worker`."""

    @property
    def holds(self) -> int: ...

    def held(self) -> tuple[HeldSession, ...]: ...
    async def run(self) -> None: ...


MakeWorker = Callable[[WorkerSettings, FrameLink, Callable[[], None]], OneWorker]


async def run_alone(link: FrameLink, settings: WorkerSettings, make: MakeWorker) -> None:
    """Outlives its supervisor, if it is told how the next one finds it; then for as long as it has calls."""
    if settings.door is None:
        await make(settings, link, end_orphaned).run()
        return
    door = Door(settings.door.directory, settings.worker, settings.door.key)
    limit_s = settings.door.alone_s

    def presence() -> Presence:
        return Presence(
            worker=settings.worker, version=__version__, scratch=scratch_directory(), sessions=worker.held()
        )

    async def reunite() -> FrameLink | None:
        if not worker.holds or limit_s <= 0:
            return None
        logger.warning("supervisor lost: calls went on without it", extra={"sessions": worker.holds})
        try:
            async with asyncio.timeout(limit_s):
                found = await door.opened(presence)
        except TimeoutError:
            logger.error("no supervisor came", extra={"sessions": worker.holds})  # noqa: TRY400 -- expected, one line
            return None
        logger.warning("supervisor found", extra={"sessions": worker.holds})
        return found

    def orphaned() -> None:
        door.close()
        end_orphaned()

    worker = make(settings, Tether(link, reunite), orphaned)
    try:
        await worker.run()
    finally:
        door.close()


def scratch_directory() -> str:
    """Where this process keeps its temporary files: its supervisor made it, and removes it. "": nobody said."""
    return os.environ.get(SCRATCH_VARIABLE, "")


def end_orphaned() -> None:
    """The process ends at once, and takes along what nobody is left to remove."""
    if scratch := scratch_directory():
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)
