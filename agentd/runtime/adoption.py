"""A daemon takes over the workers that an earlier one left with calls: after its upgrade, its crash or its kill.

They keep their calls, which notice nothing, and take no others: they may run another version, and hold other agents'
code. When the last call of one has ended, it ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agentd.aio import now
from agentd.runtime.calls import Calls
from agentd.runtime.door import Found, door_key, doors, knock
from agentd.runtime.jobs import Session
from agentd.runtime.launch import Launched
from agentd.runtime.messages import HeldSession, SessionChanged
from agentd.runtime.pool import Pool

logger = logging.getLogger(__name__)

GONE_POLL_S = 0.01


async def adopt_workers(state_dir: Path, pool: Pool, calls: Calls) -> frozenset[str]:
    """The sessions that go on in workers of an earlier daemon. Of a worker that cannot be adopted nothing is left: its
    calls are then for cold recovery."""
    paths = doors(state_dir)
    if not paths:
        return frozenset()
    began = time.monotonic()
    key = door_key(state_dir)
    adopted: set[str] = set()
    workers = 0
    for path, found in zip(paths, await asyncio.gather(*(knock(path, key) for path in paths)), strict=True):
        if isinstance(found, Found):
            workers += 1
            adopted |= _take_over(found, path, pool, calls)
        else:
            await _discard(path, found)
    extra = {"workers": workers, "sessions": len(adopted), "duration_s": round(time.monotonic() - began, 3)}
    logger.warning("workers adopted", extra=extra)
    return frozenset(adopted)


def _take_over(found: Found, path: Path, pool: Pool, calls: Calls) -> set[str]:
    name = f"{found.presence.worker}.{found.pid}"
    pool.adopt(name, found.pid, _until_gone(found, path))
    sessions = [session for held in found.presence.sessions if (session := session_of(held, name)) is not None]
    for session in sessions:
        calls.take_over(session)
    return {session.id for session in sessions}


def session_of(held: HeldSession, worker: str) -> Session | None:
    """None: it is over, and only its end is still to be told."""
    start = held.start
    if start.definition is None:
        return None
    look = held.look or SessionChanged(session=start.session, incarnation=start.incarnation)
    return Session(
        id=start.session,
        job=start.job,
        agent=start.agent,
        definition=start.definition,
        generation=0,
        room=start.room,
        url=start.url,
        identity=start.identity,
        journal=start.journal,
        worker=worker,
        started_at=start.started_at,
        participant=start.participant,
        metadata=start.metadata,
        variables=start.variables,
        registration=start.registration,
        canary_of="" if start.called == start.agent else start.called,
        incarnation=start.incarnation,
        own_token=held.own_token,
        acting=look.acting,
        state=look.state,
        caller=look.caller,
        turns=look.turns,
        latencies=look.latencies,
        lost_at=None,
        queued_at=now() if start.queue is not None else None,
        waited_s=start.waited_s,
        llm_step=start.llm_step,
    )


async def _discard(path: Path, pid: int | None) -> None:
    """Of one journal there is never a second writer."""
    if pid is not None:
        logger.error("worker not adopted", extra={"worker_pid": pid, "reason": "it does not answer at its door"})
        await end_process(pid)
    _forget(path)


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


@asynccontextmanager
async def _until_gone(found: Found, path: Path) -> AsyncIterator[Launched]:
    try:
        yield Launched(link=found.link, pid=found.pid)
    finally:
        found.link.abort()
        await end_process(found.pid)
        await found.link.wait_closed()
        _forget(path)
        if found.presence.scratch:
            await asyncio.to_thread(shutil.rmtree, found.presence.scratch, ignore_errors=True)


async def end_process(pid: int) -> None:
    """Kills it and waits until it is gone: a child of ours, as after an upgrade, or not, as after a crash."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
    while _runs(pid):  # noqa: ASYNC110 (the kernel tells its end to its parent alone, which may be another)
        await asyncio.sleep(GONE_POLL_S)


def _runs(pid: int) -> bool:
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return _exists(pid)
    return ended == 0


def _exists(pid: int) -> bool:
    """Whether it still runs; one that has ended and waits for whoever is its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's: the number was given anew
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return state[:1] not in (["Z"], ["X"])
    return not Path("/proc/self").exists()
