"""A room of two, the agent and one caller who is there from the beginning, where there is no LiveKit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from agentd.aio import Channel
from agentd.audio import AudioFrame
from agentd.runtime.pair_control import PairControl
from agentd.session.room import AgentState, CallerLeft, CallerLinked, RoomEvent, TextReceived
from agentd.tools.spec import Caller, NoFrontEnd


class PairRoom:
    """What is the same for a console and for a test of an agent: the rest of `agentd.session.room.Room` is theirs."""

    phone = None

    def __init__(self, name: str, caller: Caller, *, frames: int) -> None:
        """`frames`: of the caller's sound, so many wait to be heard."""
        self.control = PairControl(name, caller)
        self.front_end = NoFrontEnd()
        self.state: AgentState = "initializing"
        self._caller = caller
        self._frames: Channel[AudioFrame] = Channel(frames)
        self._events: Channel[RoomEvent] = Channel(100)
        self._events.force(CallerLinked(caller=caller))

    def audio_in(self, identity: str = "") -> AsyncIterator[AudioFrame]:
        return aiter(self._frames)

    def events(self) -> AsyncIterator[RoomEvent]:
        return aiter(self._events)

    def offer(self, methods: Sequence[str], answer: Callable[[str, str, str], str]) -> None:
        """Nobody here could call them."""

    async def set_state(self, state: AgentState) -> None:
        self.state = state

    async def send_keys(self, keys: str) -> None:
        """There is no line to send them on."""

    async def end(self, *, delete: bool) -> None:
        """The session's end is that of whatever holds it."""

    def type(self, text: str) -> None:
        self._events.force(TextReceived(text=text))

    def leave(self) -> None:
        self._events.force(CallerLeft(identity=self._caller.identity, reason="CLIENT_INITIATED", final=True))
