"""What hears, thinks and speaks for the agent that has the call: a realtime model, or a recogniser, a language model
and a synthesiser. One may follow the other at a handoff.

A realtime model's connection stays where the next agent has the same one (same model, same voice, same settings): it is
configured anew. Any other is opened before the call is handed over, so that an agent whose model cannot be reached does
not get the call, and is told the history that goes along; so a voice may change that no connection lets change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from agentd.providers.realtime import Configuration
from agentd.session import resilience
from agentd.session.conversation import Conversation
from agentd.session.events import CommitTurn, Ignore, TurnEvent
from agentd.session.listening import Listening
from agentd.session.realtime import Opened
from agentd.session.realtime_listening import ModelListening
from agentd.session.realtime_side import RealtimeSide
from agentd.session.reply import Reply
from agentd.session.setup import Equipment

Way = Literal["", "kept", "opened", "closed"]
"""What becomes of realtime models' connections at a handoff; "": there are none."""

Ear = Listening | ModelListening


class Sides:
    """One session's. `realtime`: the side of the realtime model that has the call; None: a pipeline has it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.realtime = RealtimeSide(conversation) if conversation.definition.realtime else None
        self._tasks: asyncio.TaskGroup | None = None
        self._link: asyncio.Task[None] | None = None
        self._opened: Opened | None = None  # for the agent that is to have the call next

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """`tasks` keep the model connected."""
        self._tasks = tasks
        if self.realtime is not None:
            self._link = tasks.create_task(self.realtime.run())

    async def end(self) -> None:
        """The call is over: nobody will use what was opened for another agent."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.connection.aclose()

    # What the session is made with.

    def listening(self, conversation: Conversation, emit: Callable[[TurnEvent], None], **more: Any) -> Ear:
        """An ear, as `Listening(conversation, emit, **more)`."""
        make = self.realtime.listening if self.realtime is not None else Listening
        return make(conversation, emit, **more)

    def suits(self, ear: Ear) -> bool:
        """Whether `listening` would make one of its kind."""
        if self.realtime is not None:
            return self.realtime.suits(ear)
        return isinstance(ear, Listening)

    def reply(self, *arguments: Any) -> Reply:
        """As `Reply(*arguments)`."""
        return self.realtime.reply(*arguments) if self.realtime is not None else Reply(*arguments)

    # The caller's turns, of which a realtime model has heard the sound.

    def ignored(self, decision: Ignore) -> None:
        """Words that are no turn."""
        if self.realtime is not None:
            self.realtime.ignored(decision)

    def ended(self, turn: CommitTurn, heard: str) -> None:
        """The caller's turn is over; hooks may still look at it. `heard`: what was said, where not all may be kept."""
        if self.realtime is not None:
            self.realtime.ended(turn, heard)

    def added(self, turn: CommitTurn, number: int, text: str | None) -> None:
        """What became of it: it stands in the conversation under this number with this text, or (None) nowhere."""
        if self.realtime is not None:
            self.realtime.added(turn, number, text)

    # Another agent.

    def way_to(self, equipment: Equipment) -> Way:
        """What becomes of the connection where the call goes on with this."""
        if equipment.definition.realtime is None:
            return "" if self.realtime is None else "closed"
        kept = self.realtime is not None and self.realtime.is_of(equipment.providers)
        return "kept" if kept else "opened"

    async def make_ready(self, equipment: Equipment) -> None:
        """Connects what is to go on with the call. Raises ProviderError where it cannot be."""
        await self.end()
        if self.way_to(equipment) != "opened":
            return
        definition, conversation = equipment.definition, self._conversation
        wanted = Configuration(
            language=conversation.language,
            detects_turns=definition.turn.detection == "realtime",
            speaks=definition.tts is None,
        )
        connection = await resilience.request(
            "realtime", equipment.providers.realtime, lambda model: model.connect(wanted), conversation.record
        )
        model = equipment.providers.realtime[0].provider
        self._opened = Opened(model=model, connection=connection, configuration=wanted)

    def follow_agent(self) -> None:
        """The conversation goes on as another agent. To be called at once when it does, at a turn's boundary."""
        if self._conversation.definition.realtime is None:
            self._leave()
        elif self.realtime is not None and self.realtime.is_of(self._conversation.setup.providers):
            self.realtime.follow_agent()
        else:
            self._leave()
            self.realtime = RealtimeSide(self._conversation, self._take_opened())
            if self._tasks is not None:
                self._link = self._tasks.create_task(self.realtime.run())

    def _take_opened(self) -> Opened | None:
        """What was opened, if it is for the agent that has the call now."""
        opened = self._opened
        if opened is None or opened.model is not self._conversation.setup.providers.realtime[0].provider:
            return None
        self._opened = None
        return opened

    def _leave(self) -> None:
        """The connection is closed beside the conversation, which does not wait for it."""
        if self.realtime is not None:
            self.realtime.leave()
        if self._link is not None:
            self._link.cancel()
        self.realtime = self._link = None
