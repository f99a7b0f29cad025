"""Results of tools that somebody brings to the daemon, on their way to the worker that holds the call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from agentd.runtime.jobs import JobTable
from agentd.runtime.messages import Deliver, Delivered
from agentd.runtime.status import BetweenWorkers
from agentd.runtime.worker_handle import WorkerHandle
from agentd.session.callbacks import Delivery
from agentd.tools.spec import LateAnswer

ANSWER_S = 5.0  # a worker that is silent for longer is taken for dead


@dataclass(slots=True)
class LateResults:
    """Owned by the supervisor; on its loop. `worker`: the ready one of this name."""

    table: JobTable
    worker: Callable[[str], WorkerHandle | None]
    _awaited: dict[int, tuple[str, asyncio.Future[Delivery | None]]] = field(default_factory=dict)  # and the worker
    _made: int = field(default_factory=lambda: secrets.randbits(48))  # no number of an earlier supervisor's

    async def deliver(self, session_id: str, key: str, token: str, answer: LateAnswer) -> Delivery:
        """What became of it, once that is on record. Raises KeyError for an unknown session, BetweenWorkers."""
        session = self.table.get(session_id)
        if session is None:
            raise KeyError(session_id)
        worker = self.worker(session.worker)
        if worker is None:
            raise _between(session_id)
        self._made += 1
        number, taken = self._made, asyncio.get_running_loop().create_future()
        self._awaited[number] = (worker.name, taken)
        worker.post(Deliver(request=number, session=session_id, key=key, token=token, answer=answer))
        try:
            async with asyncio.timeout(ANSWER_S):
                delivery: Delivery | None = await taken
        except TimeoutError:
            delivery = None
        finally:
            del self._awaited[number]
        if delivery is None:
            raise _between(session_id)
        return delivery

    def answered(self, message: Delivered) -> None:
        _, taken = self._awaited.get(message.request, ("", None))
        if taken is not None and not taken.done():
            taken.set_result(message.delivery)

    def worker_died(self, worker: str) -> None:
        """Whoever brought something may bring it again: to the next incarnation, which knows what was taken."""
        for name, taken in self._awaited.values():
            if name == worker and not taken.done():
                taken.set_result(None)


def _between(session_id: str) -> BetweenWorkers:
    return BetweenWorkers(f"the call {session_id} is between two workers: bring it again in a moment")
