"""What front ends see of a session, written to the room in order and beside the conversation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agentd.aio import Channel
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER, Voice
from agentd.session.room import AgentState, Room

log = logging.getLogger(__name__)

CAPACITY = 200  # writes waiting for a slow room; the oldest go first
WRITE_S = 5.0
END_S = 10.0


class RoomWriter:
    """The agent's state and the caller's captions. A room that hangs delays them, and nothing else."""

    def __init__(self, conversation: Conversation, room: Room) -> None:
        self._conversation = conversation
        self._room = room
        self._writes: Channel[Callable[[], Awaitable[None]]] = Channel(CAPACITY)
        self._captions: dict[Voice, int] = {}  # how many are finished
        self.state: AgentState = "initializing"

    async def run(self) -> None:
        """Until cancelled."""
        async for write in self._writes:
            await self._within(WRITE_S, write)

    def set_state(self, state: AgentState) -> None:
        if state == self.state:
            return
        self.state = state
        self._conversation.record("state", state=state)
        self._writes.force(lambda: self._room.set_state(state))

    def show_user(self, text: str, *, final: bool, voice: Voice = THE_CALLER) -> None:
        """Somebody's words; `final` ones end their caption."""
        setup, number = self._conversation.setup, self._captions.get(voice, 0)
        whose = "" if voice == THE_CALLER else f"{voice.identity}-{'other' if voice.other else 'own'}-"
        segment = f"{setup.id}-{setup.incarnation}-user-{whose}{number}"
        self._writes.force(lambda: self._room.user_caption(segment, text, final=final, identity=voice.identity))
        if final:
            self._captions[voice] = number + 1

    async def end(self, *, delete: bool) -> None:
        """Leaves the room, or deletes it; given up after `END_S`, as the session ends in any case."""
        await self._within(END_S, lambda: self._room.end(delete=delete))

    async def _within(self, seconds: float, write: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await write()
        except TimeoutError:
            log.warning("room_write_gave_up", extra={"after_s": seconds})
