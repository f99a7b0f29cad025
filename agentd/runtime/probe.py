"""Whether registrations still receive offers: "registered" is not "dispatchable" (docs/operations/nodes.md).

A worker's socket may be open to a LiveKit node that is cut off from the others: it looks registered and gets no call,
for ever. So the daemon opens a room of its own now and then, has the agent dispatched into it with a mark in the
metadata, and sees whether the offer comes. It is declined: nobody joins. A registration that misses one offer after
another is stale, and registers anew.

Other daemons may hold the same name, and LiveKit draws among them. Who is offered another daemon's probe declines it,
so that the server goes on to the next, and deletes its room: by that the one that asked knows that it was its offer
that went elsewhere, and judges nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agentd.aio import Channel, now
from agentd.errors import TransportError
from agentd.runtime.status import Measure, MeasureSink
from agentd.transport.protocol import Decline, Job

logger = logging.getLogger(__name__)

ROOM_PREFIX = "agentd-probe-"
MARK = "agentd_probe"
"""The key in the metadata of a probe's dispatch; its value is the name of its room."""

OFFER_WITHIN_S = 5.0  # 25 times what an idle server takes
MISSES_UNTIL_STALE = 2
RENEWED_AGAIN_S = 30.0
AT_ONCE = 4
_ELSEWHERE_WAITING = 100

Outcome = Literal["received", "missed", "elsewhere", "failed"]
"""`elsewhere`: another daemon was offered it; `failed`: LiveKit could not be asked, or the agent is full by now."""


class ProbeRooms(Protocol):
    """Rooms of probes, on the LiveKit server. All raise TransportError."""

    async def open(self, room: str, agent: str, metadata: str) -> None:
        """Makes the room, with a dispatch of the agent."""
        ...

    async def stands(self, room: str) -> bool: ...
    async def close(self, room: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one registration. `next_at`: when it is to be probed again, on the loop's clock."""

    next_at: float
    misses: int = 0

    @property
    def stale(self) -> bool:
        return self.misses >= MISSES_UNTIL_STALE


def judged(standing: Standing, outcome: Outcome, at: float, interval_s: float) -> Standing:
    """The standing after a probe. Pure. A miss is tried again at once, a stale registration after each time it was
    renewed, at growing intervals."""
    if outcome == "received":
        return Standing(next_at=at + interval_s)
    if outcome != "missed":
        return replace(standing, next_at=at + interval_s)
    misses = standing.misses + 1
    pause_s = 0.0
    if misses >= MISSES_UNTIL_STALE:
        pause_s = min(interval_s, RENEWED_AGAIN_S * 2.0 ** min(misses - MISSES_UNTIL_STALE, 16))
    return Standing(next_at=at + pause_s, misses=misses)


class Probes:
    """Owned by the supervisor. `known`: the names that we serve; `registered`: those that may be probed; `full`: if
    LiveKit offers the name nothing because we said so; `renew` has it registered anew. `interval_s` None: only answers
    other daemons' probes.
    """

    def __init__(
        self,
        rooms: ProbeRooms,
        *,
        interval_s: float | None,
        known: Callable[[], Collection[str]],
        registered: Callable[[], Collection[str]],
        full: Callable[[str], bool],
        renew: Callable[[str], None],
        measures: MeasureSink,
    ) -> None:
        self._rooms = rooms
        self._interval_s = interval_s
        self._known = known
        self._registered = registered
        self._full = full
        self._renew = renew
        self._measures = measures
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._standings: dict[str, Standing] = {}
        self._awaited: dict[str, asyncio.Event] = {}  # by room
        self._elsewhere: Channel[str] = Channel(_ELSEWHERE_WAITING)  # rooms of others' probes; the oldest go first

    @property
    def stale(self) -> frozenset[str]:
        """Names whose registration was found to receive nothing."""
        return frozenset(name for name, standing in self._standings.items() if standing.stale)

    def offered(self, agent: str, job: Job) -> Decline | None:
        """The answer to a probe's offer; None: it is a call's. Any offer shows that the registration receives."""
        room = probe_room(job)
        if room in self._awaited:
            self._awaited[room].set()
            return Decline(terminate=True)
        if room:
            self._elsewhere.force(room)
            return Decline()
        if self._interval_s is not None:
            self._standings[agent] = Standing(next_at=now() + self._interval_s)
        return None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_others(), name="others' probes")
            if self._interval_s is not None:
                group.create_task(self._rounds(self._interval_s), name="probes")

    async def _close_others(self) -> None:
        async for room in self._elsewhere:
            try:
                await self._rooms.close(room)
            except TransportError as error:
                logger.info("another daemon's probe could not be answered", extra={"reason": str(error)})

    async def _rounds(self, interval_s: float) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        while True:
            due = self._due(interval_s)
            async with asyncio.TaskGroup() as group:
                for agent in due:
                    group.create_task(self._probe(agent, interval_s, places), name=f"probe {agent}")
            soonest = min((standing.next_at for standing in self._standings.values()), default=now() + interval_s)
            await asyncio.sleep(min(interval_s, max(1.0, soonest - now())))

    def _due(self, interval_s: float) -> list[str]:
        """Forgets who is gone; who is new has an interval's time."""
        known, at = self._known(), now()
        new = Standing(next_at=at + interval_s)
        self._standings = {name: self._standings.get(name, new) for name in known}
        registered = self._registered()
        return [n for n in known if n in registered and self._standings[n].next_at <= at and not self._full(n)]

    async def _probe(self, agent: str, interval_s: float, places: asyncio.Semaphore) -> None:
        async with places:
            outcome = await self._asked(agent)
        was = self._standings[agent]
        standing = self._standings[agent] = judged(was, outcome, now(), interval_s)
        self._measures.apply(Measure(name="worker_probes_total", labels={"agent": agent, "outcome": outcome}))
        extra = {"agent": agent, "outcome": outcome, "misses": standing.misses}
        if standing.stale and outcome == "missed":
            logger.error("registration was stale: it received no offers and was renewed", extra=extra)
            self._measures.apply(Measure(name="worker_renewals_total", labels={"agent": agent}))
            self._renew(agent)
        elif was.stale and not standing.stale:
            logger.warning("registration received offers again", extra=extra)
        elif outcome != "received":
            logger.info("registration probed", extra=extra)

    async def _asked(self, agent: str) -> Outcome:
        self._count += 1
        room = f"{ROOM_PREFIX}{self._boot}-{self._count}"
        came = self._awaited[room] = asyncio.Event()
        try:
            await self._rooms.open(room, agent, json.dumps({MARK: room}))
            try:
                return await self._outcome(room, agent, came)
            finally:
                await self._rooms.close(room)
        except TransportError as error:
            logger.info("probe failed", extra={"agent": agent, "reason": str(error)})
            return "received" if came.is_set() else "failed"
        finally:
            del self._awaited[room]

    async def _outcome(self, room: str, agent: str, came: asyncio.Event) -> Outcome:
        """Raises TransportError."""
        try:
            async with asyncio.timeout(OFFER_WITHIN_S):
                await came.wait()
        except TimeoutError:
            if not await self._rooms.stands(room):
                return "elsewhere"
            return "failed" if self._full(agent) or agent not in self._registered() else "missed"
        return "received"


def probe_room(job: Job) -> str:
    """The room of a probe; "" for a call's job. Pure."""
    if not job.room_name.startswith(ROOM_PREFIX):
        return ""
    try:
        metadata = json.loads(job.metadata)
    except ValueError:
        return ""
    return job.room_name if isinstance(metadata, dict) and metadata.get(MARK) == job.room_name else ""
