"""The supervisor's side of one worker process: what it is told, what it says, and for how long it may be silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal, Protocol

from agentd.aio import Channel, Closed, now
from agentd.config.definition import AgentDefinition
from agentd.errors import WorkerDied, WorkerUnresponsive
from agentd.ipc import FrameLink, LinkClosed, receive_object, send_object
from agentd.pickled import Unreadable
from agentd.runtime.launch import Launched
from agentd.runtime.messages import (
    Commit,
    FromWorker,
    Heartbeat,
    Pong,
    Prepare,
    Prepared,
    Rejection,
    ToWorker,
    WorkerSettings,
)
from agentd.runtime.recycling import GROWN_FROM_S, Aged

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_S = 1.0
SILENCE_S = 5.0
PREPARING_SILENCE_S = 60.0
"""A plugin that loads its model on the loop blocks it; without calls to harm, that is forgiven for this long."""

START_DEADLINE_S = 120.0
PREPARED_AT_ONCE = 16
"""Agents in one message: while a worker reads it no call's sound goes on; a thousand take 50 ms and more."""
OUTBOX_MESSAGES = 4096

WorkerState = Literal["starting", "standby", "ready", "hung", "draining", "dead"]


class WorkerHandle:
    """The supervisor's side of one worker process."""

    def __init__(self, name: str, capacity: int, restarts: int, pool: int = 0) -> None:
        """`pool`: of which it is one; a new one takes the place of the old when the code has changed."""
        self.name = name
        self.capacity = capacity
        self.restarts = restarts
        self.pool = pool
        self.state: WorkerState = "starting"
        self.pid = 0
        self.pong = Pong(number=0, lag_p99_s=0.0, lag_max_s=0.0, memory_bytes=0, cpu=0.0)
        self.revisions: set[tuple[str, str]] = set()  # what it has prepared: (agent, digest)
        self.serving: Mapping[str, str] = {}  # what new calls of its would get: agent -> digest
        self.lacking: Mapping[str, tuple[str, ...]] = {}  # agents that it could not make when it began, and why
        self._outbox: Channel[ToWorker] = Channel(OUTBOX_MESSAGES)
        self._answers: dict[int, asyncio.Future[Prepared]] = {}
        self.ready_at: float | None = None
        self._settled_bytes = 0  # its memory when it had loaded what it loads
        self.successor = ""  # the worker that replaces it
        self.leaving = False  # it is not replaced when it ends
        self.retiring = False  # its calls are over and it was told to end
        self.drain_by: float | None = None  # when the calls that it still has are ended
        self.standby: asyncio.Future[str] | None = None  # until it is given calls; "" once it is prepared
        self._heard_at = now()
        self._beats = 0
        self._requests = 0

    @property
    def preparing(self) -> bool:
        return bool(self._answers)

    def post(self, message: ToWorker) -> None:
        """In order, without waiting. What a dead worker was to be told is dropped: the listener hears of its death."""
        with suppress(Closed):
            if not self._outbox.send_nowait(message):
                logger.error("worker took no messages", extra={"worker": self.name})
                self._outbox.close()

    async def prepare(self, generation: int, definitions: tuple[AgentDefinition, ...]) -> tuple[Rejection, ...]:
        """The agents that it cannot make. Raises WorkerDied when the worker ends before it answers, TimeoutError."""
        rejected: list[Rejection] = []
        async with asyncio.timeout(START_DEADLINE_S):
            for first in range(0, len(definitions), PREPARED_AT_ONCE):
                rejected += await self._prepare(generation, definitions[first : first + PREPARED_AT_ONCE])
        refused = {rejection.agent for rejection in rejected}
        self.revisions |= {(each.name, each.digest) for each in definitions if each.name not in refused}
        return tuple(rejected)

    async def _prepare(self, generation: int, definitions: tuple[AgentDefinition, ...]) -> tuple[Rejection, ...]:
        if self.state == "dead":
            raise WorkerDied(f"{self.name} died while it prepared")
        answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._requests += 1
        request = self._requests
        self._answers[request] = answer
        self.post(Prepare(request=request, generation=generation, definitions=definitions))
        try:
            return (await answer).rejected
        finally:
            self._answers.pop(request, None)

    async def hold(self, launched: Launched, listener: Listener) -> None:
        """Like `serve`, for a worker that an earlier supervisor left: it ends its calls and takes no others."""
        self.state = "draining"
        self._heard_at = now()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(launched.link))
            group.create_task(self._read(launched.link, listener))
            group.create_task(self._beat(listener))

    async def serve(self, launched: Launched, settings: WorkerSettings, listener: Listener) -> None:
        """Until the link ends: always raises WorkerDied or WorkerUnresponsive, in a group."""
        self.pid = launched.pid
        self._heard_at = now()
        await send_object(launched.link, settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(launched.link))
            group.create_task(self._read(launched.link, listener))
            group.create_task(self._beat(listener))
            group.create_task(self._welcome(listener))

    def commit(self, generation: int, revisions: Mapping[str, str]) -> None:
        """These revisions serve from the next StartJob on; what else it had prepared, it may close."""
        self.serving = dict(revisions)
        self.post(Commit(generation=generation, revisions=revisions))
        self.revisions &= set(revisions.items())

    def close(self) -> None:
        self.state = "dead"
        self._outbox.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorkerDied(f"{self.name} died while it prepared"))

    async def _welcome(self, listener: Listener) -> None:
        await listener.welcome(self)
        if self.standby is None:
            self.instate(listener)
        else:
            self.state = "standby"
            self.standby.set_result("")

    def aged(self) -> Aged:
        """A ready worker, as recycling sees it."""
        assert self.ready_at is not None, "it is ready"
        age_s = now() - self.ready_at
        if age_s >= GROWN_FROM_S and not self._settled_bytes:
            self._settled_bytes = self.pong.memory_bytes
        return Aged(
            worker=self.name,
            age_s=age_s,
            memory_bytes=self.pong.memory_bytes,
            settled_bytes=self._settled_bytes,
        )

    def instate(self, listener: Listener) -> None:
        """It takes calls from now on."""
        self.standby = None
        self.state, self.ready_at = "ready", now()
        listener.ready(self)

    async def _write(self, link: FrameLink) -> None:
        try:
            async for message in self._outbox:
                await send_object(link, message)
        except LinkClosed as error:
            raise WorkerDied(f"{self.name} closed its link") from error
        raise WorkerUnresponsive(f"{self.name} left {OUTBOX_MESSAGES} messages unread")

    async def _read(self, link: FrameLink, listener: Listener) -> None:
        while True:
            try:
                message: FromWorker = await receive_object(link)
            except LinkClosed as error:
                raise WorkerDied(f"{self.name} (pid {self.pid}) ended") from error
            except Unreadable as error:  # of an adopted worker, which runs another version
                logger.error("message of another version left out", extra={"worker": self.name, "reason": str(error)})  # noqa: TRY400 -- one line says it
                continue
            self._heard_at = now()
            match message:
                case Pong():
                    self.pong = message
                case Prepared(request=request):
                    answer = self._answers.get(request)
                    if answer is not None and not answer.done():
                        answer.set_result(message)
                case _:
                    listener.message(self, message)

    async def _beat(self, listener: Listener) -> None:
        while True:
            if self.overdue_s(listener) > 0:
                self.state = "hung"
                silent_s = now() - self._heard_at
                raise WorkerUnresponsive(f"{self.name} (pid {self.pid}) was silent for {silent_s:.1f} s")
            self._beats += 1
            self.post(Heartbeat(number=self._beats))
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    def overdue_s(self, listener: Listener) -> float:
        """For how much longer it has been silent than it may be; below zero while it answers."""
        return now() - self._heard_at - self._patience_s(listener)

    def _patience_s(self, listener: Listener) -> float:
        idle = listener.sessions_of(self) == 0
        return PREPARING_SILENCE_S if idle and (self.preparing or self.state == "starting") else SILENCE_S


class Listener(Protocol):
    """The supervisor, as the pool sees it: `agentd.runtime.worker_listener`. Only `welcome` may wait."""

    async def welcome(self, worker: WorkerHandle) -> None:
        """Prepares a new worker; when it returns, the worker is ready for calls."""
        ...

    def ready(self, worker: WorkerHandle) -> None: ...
    def message(self, worker: WorkerHandle, message: FromWorker) -> None: ...
    def died(self, worker: WorkerHandle, reason: str) -> None: ...
    def retired(self, worker: WorkerHandle) -> None: ...
    def sessions_of(self, worker: WorkerHandle) -> int: ...
