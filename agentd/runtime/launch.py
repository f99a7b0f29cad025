"""How a worker is started: as a process, or inside this one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agentd.ipc import FrameLink, memory_links, own_path, spawn_child
from agentd.runtime.door import SCRATCH_VARIABLE
from agentd.runtime.entry import last_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running worker, and how to talk with it. `last_words`: why it ended, once it has; "": it does not say."""

    link: FrameLink
    pid: int
    last_words: Callable[[], str] = lambda: ""


Launch = Callable[[str], AbstractAsyncContextManager[Launched]]
"""Starts the worker of this name; leaving the context ends it at once and for good."""

Adoption = AbstractAsyncContextManager[Launched]
"""A worker that runs already; leaving the context ends it at once and for good."""


@asynccontextmanager
async def launch_process(name: str, module: str = "agentd.runtime.worker") -> AsyncIterator[Launched]:
    """A worker in a process of its own session: a Ctrl-C at the terminal is the supervisor's to handle.

    Its temporary files go into a directory that is removed with it, for a killed process tidies up nothing.
    """
    with TemporaryDirectory(prefix=f"agentd-{name}-", ignore_cleanup_errors=True) as scratch:
        path = os.pathsep.join([*map(str, own_path()), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "TMPDIR": scratch, SCRATCH_VARIABLE: scratch, "PYTHONPATH": path}
        argv = [sys.executable, "-P", "-m", "agentd.runtime.entry", module]
        child = await spawn_child(argv, env=environment, start_new_session=True)
        try:
            yield Launched(link=child.link, pid=child.process.pid, last_words=lambda: last_words(Path(scratch)))
        finally:
            child.link.abort()
            await child.process.stop(grace_s=0)
            await child.link.wait_closed()


@asynccontextmanager
async def launch_inside(name: str) -> AsyncIterator[Launched]:
    """A worker on this loop, for `workers: 0`: tests and debuggers."""
    from agentd.runtime.worker import run_inside  # the process then holds all that a worker holds

    ours, theirs = memory_links()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_inside(theirs), name=name)
        try:
            yield Launched(link=ours, pid=os.getpid())
        finally:
            ours.close()
            task.cancel()
