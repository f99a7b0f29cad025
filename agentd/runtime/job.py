"""In a worker: one job, from joining its room to the end of its session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from agentd.config.definition import AgentDefinition
from agentd.errors import AgentdError
from agentd.runtime.journals import mark_ended, open_journal
from agentd.runtime.messages import StartJob
from agentd.runtime.other_agents import OtherAgents
from agentd.runtime.prepared import PreparedAgent
from agentd.session.callbacks import Delivery
from agentd.session.journal import Journal
from agentd.session.rates import Rates
from agentd.session.records import Record
from agentd.session.restore import Restored
from agentd.session.room import Room
from agentd.session.setup import Audit, Equipment, SessionSetup, unaudited
from agentd.tools.acts import Act, EndSession
from agentd.tools.spec import Event, LateAnswer

logger = logging.getLogger(__name__)


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

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """Takes the result of a tool's call, on record when this returns; None: it is not ready to."""
        ...


@dataclass(frozen=True, slots=True)
class Common:
    """What all jobs of a worker share. `callback_url`: how the world reaches the daemon; "": not at all."""

    rates: Rates = field(default_factory=Rates)
    callback_url: str = ""


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
        self._end_reason: str | None = None

    @property
    def turn(self) -> int | None:
        """The number of the caller's last turn; None before the first, and when there is no session."""
        return self._session.turn if self._session else None

    async def run(
        self,
        rooms: Rooms,
        sessions: Sessions,
        joined: Callable[[], Awaitable[None]],
        rejoining: Callable[[], None],
    ) -> str:
        """Calls `joined` when the room is; answers why the session ended. Raises what joining or the session raise."""
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
                return await session.run()
        except Exception as error:
            mark_ended(self.start.journal, failure_reason(error))
            raise
        finally:
            self._session = None
            journal.close()

    def do(self, act: Act) -> bool:
        """False: the session has not begun or is over, and only its end can be asked for."""
        if self._session is not None:
            self._session.do(act)
        elif isinstance(act, EndSession):
            self._end_reason = act.reason
        return self._session is not None

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """None: the session has not begun or is over."""
        return self._session.deliver(key, token, answer) if self._session is not None else None

    async def _equipment(self, restored: Restored | None) -> Equipment:
        """Of the agent that has the call: the one that it was handed to, where it was and that one can be had."""
        name = restored.agents[-1] if restored is not None and restored.agents else self.start.agent
        try:
            return await self._others.equip(name)
        except AgentdError as error:
            logger.warning("session goes on with its first agent", extra={"wanted": name, "reason": str(error)})
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
        )


def failure_reason(error: BaseException) -> str:
    """A short, stable word for metrics: the innermost error's class."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"error_{type(error).__name__}"
