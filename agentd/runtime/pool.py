"""The worker processes: started by exec, watched by heartbeats, replaced when they die.

One task a slot: launch -> settings -> the listener's welcome (prepares the agents) -> ready -> messages, until the
link ends or the worker is silent for too long. Whatever ended it, the process is killed and reaped before the
listener hears of the death: of one journal there is never a second writer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from agentd.aio import now
from agentd.errors import WorkerDied, reason_of
from agentd.runtime.launch import Adoption, Launch, Launched
from agentd.runtime.messages import Stop, WorkerSettings
from agentd.runtime.recycling import RecycleLimits, due
from agentd.runtime.worker_handle import Listener, WorkerHandle

logger = logging.getLogger(__name__)

RESTART_BACKOFF_S = 0.5
RESTART_BACKOFF_LONGEST_S = 30.0
RESCUE_FIRST_S = 1.5
"""While other workers join the dead one's rooms, its successor does not compete for the processors: starting one
takes a second of a core, and callers hear silence meanwhile."""
STEADY_S = 30.0  # a worker that lived this long did not fail at its start


class Pool:
    """`run` keeps `count` workers alive until `stop`, and what is added to them and taken from them meanwhile."""

    def __init__(
        self,
        *,
        count: int,
        capacity: int,
        launch: Launch,
        settings: Callable[[str], WorkerSettings],
        listener: Listener,
        rng: random.Random | None = None,
    ) -> None:
        self._count = count
        self._named = count  # numbers that were given to workers
        self._number = 1  # of the pool that takes calls
        self._capacity = capacity
        self._launch = launch
        self._settings = settings
        self._listener = listener
        self._rng = rng or random.Random()
        self._stopping = False
        self._left: list[tuple[WorkerHandle, Adoption]] = []  # adopted before `run` has begun
        self._group: asyncio.TaskGroup | None = None
        self.workers: dict[str, WorkerHandle] = {}

    @property
    def ready(self) -> tuple[WorkerHandle, ...]:
        return tuple(worker for worker in self.workers.values() if worker.state == "ready")

    @property
    def taking(self) -> tuple[WorkerHandle, ...]:
        """Those that take calls, and those that will in the place of others, with what serves then."""
        return tuple(worker for worker in self.workers.values() if worker.state in ("ready", "standby"))

    @property
    def draining(self) -> tuple[WorkerHandle, ...]:
        """Those that only end the calls that they have."""
        return tuple(worker for worker in self.workers.values() if worker.state == "draining")

    def is_newest(self, worker: WorkerHandle) -> bool:
        """Whether it runs the code of those that take calls."""
        return worker.pool == self._number

    def get(self, name: str) -> WorkerHandle | None:
        """A worker that holds calls: a ready one, or one that only ends those that it has."""
        worker = self.workers.get(name)
        return worker if worker is not None and worker.state in ("ready", "draining") else None

    def overdue(self, grace_s: float) -> tuple[str, ...]:
        """The workers that nobody has ended although they have been silent for `grace_s` longer than they may be."""
        living = [worker for worker in self.workers.values() if worker.state != "dead"]
        return tuple(worker.name for worker in living if worker.overdue_s(self._listener) > grace_s)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for number in range(1, self._count + 1):
                group.create_task(self._slot(f"worker-{number}"), name=f"worker-{number}")
            left, self._left = self._left, []
            for worker, adoption in left:
                group.create_task(self._adopted(worker, adoption), name=worker.name)

    def adopt(self, name: str, pid: int, adoption: Adoption) -> WorkerHandle:
        """Takes over a worker that an earlier supervisor left, until the last of its calls has ended."""
        worker = self.workers[name] = WorkerHandle(name, self._capacity, 0)
        worker.state, worker.pid = "draining", pid
        if self._group is None:
            self._left.append((worker, adoption))
        else:
            self._group.create_task(self._adopted(worker, adoption), name=name)
        return worker

    def recycle(self, limits: RecycleLimits) -> None:
        """Begins to replace the worker that most needs it, one at a time: its successor is made ready first."""
        replacing = any(worker.successor or worker.standby is not None for worker in self.workers.values())
        if self._group is None or self._stopping or replacing:
            return
        aged = [worker.aged() for worker in self.ready]
        if (found := due(aged, limits)) is None:
            return
        successor = self.workers[found[0]].successor = self._next_name()
        extra = {"worker": found[0], "successor": successor, "reason": found[1]}
        logger.info("worker replacement began", extra=extra)
        self._group.create_task(self._slot(successor), name=successor)

    @property
    def staying(self) -> int:
        """Workers that take calls or will, of each pair of a worker and its successor one."""
        return sum(
            worker.state != "draining" and not worker.successor and worker.standby is None
            for worker in self.workers.values()
        )

    def add(self) -> str:
        """Starts one more worker; its name. `run` must have begun."""
        assert self._group is not None, "the pool runs"
        name = self._next_name()
        self.workers[name] = WorkerHandle(name, self._capacity, 0, self._number)  # counted from now on
        self._group.create_task(self._slot(name), name=name)
        return name

    def let_go(self, name: str) -> bool:
        """Has a ready worker take no more calls, and end after its last. False: it is about to be replaced."""
        worker = self.workers[name]
        if worker.state != "ready" or worker.successor or self._is_successor(name):
            return False
        worker.state, worker.leaving = "draining", True
        return True

    def _is_successor(self, name: str) -> bool:
        return any(worker.successor == name for worker in self.workers.values())

    def _next_name(self) -> str:
        self._named += 1
        return f"worker-{self._named}"

    @property
    def alive(self) -> int:
        """Pools of which a worker takes or holds calls."""
        return len({worker.pool for worker in self.workers.values() if worker.state in ("ready", "draining")})

    async def stand_by(self) -> WorkerHandle:
        """One worker more, which has prepared what it can and is given no calls yet. Raises WorkerDied."""
        if self._group is None or self._stopping:
            raise WorkerDied("the daemon ends")
        worker = WorkerHandle(self._next_name(), self._capacity, 0, self._number + 1)
        worker.standby = asyncio.get_running_loop().create_future()
        self._group.create_task(self._slot(worker.name, worker), name=worker.name)
        if reason := await worker.standby:
            raise WorkerDied(reason)
        return worker

    def replace(self, successors: Sequence[WorkerHandle], drain_s: float) -> None:
        """In one step these take all calls; those that were there take none, and end after their last one, or when
        `drain_s` have passed."""
        self._number += 1
        for worker in self.workers.values():
            if worker in successors or worker.state == "draining":
                continue
            worker.successor = successors[0].name
            worker.drain_by = now() + drain_s
            if worker.state == "ready":
                worker.state = "draining"
            elif worker.state == "starting":
                self._dismiss(worker)
        for worker in successors:
            worker.instate(self._listener)

    def discard(self, successors: Sequence[WorkerHandle]) -> None:
        """Ends workers that stand by."""
        for worker in successors:
            self._dismiss(worker)

    def retire(self) -> None:
        """Lets workers take no more calls whose successors are ready and hold what they hold; ends those that have no
        calls left, or whose time is up."""
        for worker in self.workers.values():
            successor = self.workers.get(worker.successor)
            if worker.state == "ready" and successor is not None and successor.state == "ready":
                worker.state = "draining" if worker.revisions <= successor.revisions else "ready"
            if worker.state == "draining" and not worker.retiring:
                over = worker.drain_by is not None and now() >= worker.drain_by
                if over or not self._listener.sessions_of(worker):
                    self._dismiss(worker, "drain_deadline" if over else "retired")

    @staticmethod
    def _dismiss(worker: WorkerHandle, reason: str = "retired") -> None:
        worker.retiring = True
        worker.post(Stop(reason=reason))

    def stop(self, reason: str) -> None:
        """Workers end their calls and exit; `run` returns when they have. One without calls that is loading what it
        needs, which may take minutes, is ended at once."""
        self._stopping = True
        for worker in self.workers.values():
            loading = worker.state == "starting" or worker.preparing
            if loading and not self._listener.sessions_of(worker):
                worker.retiring = True
                worker.close()
            else:
                worker.post(Stop(reason=reason))

    async def _slot(self, name: str, first: WorkerHandle | None = None) -> None:
        failures = restarts = 0
        while not self._stopping:
            worker = first or WorkerHandle(name, self._capacity, restarts, self._number)
            self.workers[name], first = worker, None
            began = now()
            serve = partial(self._serve, worker)
            reason = await self._life(worker, self._launch(name), serve)
            self._ended(worker, reason)
            if self._stopping:
                return
            if worker.successor or worker.leaving or worker.standby is not None:
                del self.workers[name]
                return
            failures = 0 if now() - began > STEADY_S else failures + 1
            restarts += 1
            delay_s = restart_delay_s(failures, self._rng)
            await asyncio.sleep(max(delay_s, RESCUE_FIRST_S) if self.ready else delay_s)
            if worker.successor:  # others have taken its place meanwhile
                del self.workers[name]
                return

    async def _serve(self, worker: WorkerHandle, launched: Launched) -> None:
        await worker.serve(launched, self._settings(worker.name), self._listener)

    async def _adopted(self, worker: WorkerHandle, adoption: Adoption) -> None:
        reason = await self._life(worker, adoption, lambda launched: worker.hold(launched, self._listener))
        self._ended(worker, reason)
        del self.workers[worker.name]

    def _ended(self, worker: WorkerHandle, reason: str) -> None:
        if worker.standby is not None and not worker.standby.done():
            worker.standby.set_result(reason)
        elif worker.retiring or worker.standby is not None:
            self._listener.retired(worker)
        else:
            self._listener.died(worker, reason)

    async def _life(self, worker: WorkerHandle, launch: Adoption, serve: Callable[[Launched], Awaitable[None]]) -> str:
        """One worker from its start to its end; why it ended. The worker monitor: nothing of it ends the daemon."""
        try:
            async with launch as launched:
                try:
                    await serve(launched)
                except Exception:  # whatever it was, the worker may have said why itself
                    if said := launched.last_words():
                        raise WorkerDied(f"{worker.name}: {said}") from None
                    raise
                finally:
                    worker.close()
        except Exception as error:  # the worker monitor: a fault of one worker must not end the others
            worker.close()
            return reason_of(error)
        return "it ended"


def restart_delay_s(failures: int, rng: random.Random) -> float:
    """At once after a steady life and after the first failure; then doubling, with jitter."""
    if failures <= 1:
        return 0.0
    return min(RESTART_BACKOFF_LONGEST_S, RESTART_BACKOFF_S * 2.0 ** (failures - 2)) * rng.uniform(0.5, 1.0)
