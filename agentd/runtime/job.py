"""In a worker: one job, from joining its room to the end of its session. Its caller may have to wait for a place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from agentd.config.busy import CallQueue, queue_of
from agentd.config.definition import AgentDefinition
from agentd.config.folder import Folder
from agentd.errors import AgentdError, innermost
from agentd.runtime.journals import mark_ended, open_journal
from agentd.runtime.messages import StartJob
from agentd.runtime.other_agents import OtherAgents
from agentd.runtime.prepared import PreparedAgent
from agentd.session.callbacks import Delivery
from agentd.session.journal import Journal
from agentd.session.queue_turn import ADMITTED, QUEUE_TIMEOUT, Waiting
from agentd.session.rates import Rates
from agentd.session.records import Record
from agentd.session.restore import Restored
from agentd.session.room import Room
from agentd.session.setup import Audit, Equipment, SessionSetup, unaudited
from agentd.session.trials import Trials
from agentd.tools.acts import Act, EndSession, GiveUp
from agentd.tools.spec import Event, LateAnswer

if TYPE_CHECKING:
    from agentd.session.foyer import Host

logger = logging.getLogger(__name__)

MOVED = "moved"
"""Why a worker ends the wait of a call that goes on in another one."""


class RunningSession(Protocol):
    """A session as its job sees it: `agentd.session.session.Session`, or a test's."""

    @property
    def turn(self) -> int | None: ...

    async def run(self) -> str:
        """Holds the call; the reason of its end."""
        ...

    def do(self, act: Act) -> object:
        """Carries it out in its own time."""
        ...

    def look_at_files(self) -> None:
        """What serves may be another revision than before."""
        ...

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """Takes the result of a tool's call, on record when this returns; None: it is not ready to."""
        ...


@dataclass(frozen=True, slots=True)
class Common:
    """What all jobs of a worker share. `callback_url`: how the world reaches the daemon; "": not at all."""

    rates: Rates = field(default_factory=Rates)
    callback_url: str = ""
    agents_dir: Path = Path()  # where hold sounds are
    trials: Trials = field(default_factory=Trials)


Rooms = Callable[[StartJob, AgentDefinition, Callable[[], None]], AbstractAsyncContextManager[Room]]
"""Joins the job's room; the callback is called before every time it is joined again."""

Sessions = Callable[[SessionSetup], RunningSession]
Observer = Callable[[StartJob, Record], None]
Publisher = Callable[[Event], None]


class Job:
    """One call in this worker. `do` may come at any time, also while the room is being joined."""

    def __init__(
        self,
        start: StartJob,
        agent: PreparedAgent,
        others: OtherAgents,
        observe: Observer,
        publish: Publisher,
        audit: Audit = unaudited,
        common: Common | None = None,
    ) -> None:
        """`others`: whom the call may be handed to."""
        self._common = common or Common()
        self.start = start
        self.agent = agent
        self._others = others
        self._observe = observe
        self._publish = publish
        self._audit = audit
        self._session: RunningSession | None = None
        self._last_turn: int | None = None
        self._end_reason: str | None = None
        self._busy = start.busy
        queue = start.queue
        self.waiting = Waiting(queue.position, queue.remaining_s) if queue is not None else None

    @property
    def turn(self) -> int | None:
        """The number of the caller's last turn, also when the session is over; None before the first."""
        return self._session.turn if self._session else self._last_turn

    async def run(
        self,
        rooms: Rooms,
        sessions: Sessions,
        joined: Callable[[], Awaitable[None]],
        rejoining: Callable[[], None],
    ) -> str:
        """Calls `joined` when the room is; answers why the session ended. Raises what joining or the session raise."""
        if self.waiting is None:
            return await self._held(rooms, sessions, joined, rejoining)
        from agentd.session.foyer import Foyer  # with all that speaks, which few workers need for this

        async with rooms(self.start, self.agent.definition, rejoining) as room:
            await joined()
            foyer = Foyer(room, await self._host(), self.waiting)
            if (reason := await foyer.wait()) != ADMITTED:
                await self._leave(room, reason)
                return reason
            return await self._held(_inside(cast("Room", foyer.room)), sessions, _told_already, rejoining)

    async def _held(
        self,
        rooms: Rooms,
        sessions: Sessions,
        joined: Callable[[], Awaitable[None]],
        rejoining: Callable[[], None],
    ) -> str:
        journal, restored = open_journal(self.start.journal)
        try:
            if restored is not None and restored.ended:  # its process died after the call's end: nobody is there
                return restored.end_reason
            equipment = await self._equipment(restored)
            async with rooms(self.start, self.agent.definition, rejoining) as room:
                self._session = session = sessions(self._setup(room, journal, restored, equipment))
                await joined()
                if self._end_reason is not None:
                    session.do(EndSession(reason=self._end_reason))
                session.look_at_files()
                return await session.run()
        except Exception as error:  # whatever ended it, the journal must say that it is over
            mark_ended(self.start.journal, failure_reason(error))
            raise
        finally:
            self._last_turn, self._session = self.turn, None
            journal.close()

    def do(self, act: Act) -> bool:
        """False: the session has not begun or is over, and only its end can be asked for."""
        if self._session is not None:
            self._session.do(act)
        elif isinstance(act, EndSession):
            self._end_reason = act.reason
            if self.waiting is not None:
                self.waiting.end(act.reason)
        elif isinstance(act, GiveUp):
            self._busy = act
        return self._session is not None

    def admitted(self, start: StartJob | None) -> None:
        """The caller who waits has a place: here, as `start` says, or in another worker."""
        if self.waiting is None or self.waiting.is_over:
            return
        if start is None:
            self.waiting.end(MOVED)
            return
        self.start, self._busy = start, start.busy
        self._others.begins(start)
        self.waiting.admit()

    def look_at_files(self) -> None:
        """What serves may be another revision than before; a session that begins looks by itself."""
        if self._session is not None:
            self._session.look_at_files()

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """None: the session has not begun or is over."""
        return self._session.deliver(key, token, answer) if self._session is not None else None

    async def _host(self) -> Host:
        from agentd.session.foyer import Host

        equipment = await self._others.equip(self.start.agent)
        definition = equipment.definition
        queue = queue_of(definition.when_busy)
        return Host(
            definition=definition,
            providers=equipment.providers,
            variables=self.start.variables,
            options=queue[1] if queue is not None else CallQueue(),
            hold=Folder(self._common.agents_dir).sound,
        )

    async def _leave(self, room: Room, reason: str) -> None:
        """The caller who waited is not to be answered; one who goes on elsewhere keeps the room."""
        delete = reason == QUEUE_TIMEOUT and self.agent.definition.room.on_end == "delete_room"
        await room.end(delete=delete)

    async def _equipment(self, restored: Restored | None) -> Equipment:
        """Of the agent that has the call: the one that it was handed to, where it was and that one can be had."""
        name = restored.agents[-1] if restored is not None and restored.agents else self.start.agent
        try:
            return await self._others.equip(name)
        except AgentdError as error:
            logger.warning("session went on with its first agent", extra={"wanted": name, "reason": str(error)})
            return await self._others.equip(self.start.agent)

    def _setup(self, room: Room, journal: Journal, restored: Restored | None, equipment: Equipment) -> SessionSetup:
        return SessionSetup(
            id=self.start.session,
            definition=equipment.definition,
            providers=equipment.providers,
            tools=equipment.tools,
            agents=self._others,
            room=room,
            journal=journal,
            room_name=self.start.room,
            job_id=self.start.job,
            metadata=self.start.metadata,
            variables=self.start.variables,
            requested=self.start.requested,
            observe=lambda record: self._observe(self.start, record),
            publish=self._publish,
            restored=restored,
            incarnation=self.start.incarnation,
            audit=self._audit,
            rates=self._common.rates,
            callback_url=self._common.callback_url,
            busy=self._busy,
            llm_step=self.start.llm_step,
            waited_s=self.start.waited_s,
            trials=self._common.trials,
        )


def _inside(room: Room) -> Rooms:
    """The room that is joined already."""

    @asynccontextmanager
    async def join(start: StartJob, definition: AgentDefinition, rejoining: Callable[[], None]) -> AsyncIterator[Room]:
        yield room

    return join


async def _told_already() -> None:
    """That the room is joined."""


def failure_reason(error: BaseException) -> str:
    """A short, stable word for metrics: the innermost error's class."""
    return f"error_{type(innermost(error)).__name__}"
