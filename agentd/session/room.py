"""What a session needs of the place where it talks: LiveKit's room, the console, or a test's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from agentd.audio import AudioFrame
from agentd.tools.spec import Caller, FrontEnd, RoomControl

HandAction = Literal["begin", "end", "cancel"]
AgentState = Literal["initializing", "idle", "listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLinked:
    """The participant that the agent talks with, or one of those it talks with, is there. Also sent when the same
    identity returns. `outbound`: the agent called them."""

    caller: Caller
    returned: bool = False
    outbound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLeft:
    """`final`: left on purpose (CLIENT_INITIATED, ROOM_DELETED, USER_REJECTED): the session ends.

    Otherwise the caller's connection failed, and they may come back.
    """

    identity: str
    reason: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerChanged:
    """Somebody whom the agent talks with has another name, other attributes or other metadata: as they are now."""

    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerUnheard:
    """Somebody is in the room whom the agent would talk with, but for a limit of `limit` people."""

    identity: str
    name: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerMuted:
    """The caller's microphone went silent on purpose (`muted`), their track ended, or it is heard again."""

    muted: bool
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReceived:
    """A chat message of somebody whom the agent talks with."""

    text: str
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnByHand:
    """Somebody whom the agent talks with pressed, released or cancelled their button."""

    action: HandAction
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed:
    """Somebody whom the agent talks with pressed a key of their telephone: 0 to 9, *, #, A to D."""

    key: str
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomClosed:
    """Nothing more will come. `reason`: room_deleted, removed, connection_lost ..."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceUnheard:
    """The way to the caller broke: what waits to be played was not heard, nor what was played in the last `seconds`.

    Sound that is written meanwhile waits until there is a way again.
    """

    seconds: float = 0.0


RoomEvent = (
    CallerLinked
    | CallerLeft
    | CallerChanged
    | CallerUnheard
    | CallerMuted
    | TextReceived
    | TurnByHand
    | KeyPressed
    | VoiceUnheard
    | RoomClosed
)


class AudioOut(Protocol):
    """The agent's voice: a short queue of sound on its way to the caller.

    The queue is short (at most 200 ms) so that `clear` is heard at once.
    """

    @property
    def sample_rate_hz(self) -> int: ...

    async def write(self, frame: AudioFrame) -> None:
        """Appends sound; waits while the queue is full. Frames of any length."""
        ...

    @property
    def queued_s(self) -> float:
        """Seconds written and not yet sent out."""
        ...

    def clear(self) -> None:
        """Drops what is queued."""
        ...


class Caption(Protocol):
    """The agent's words of one segment, appearing as they are heard."""

    async def write(self, delta: str) -> None: ...

    async def close(self) -> None:
        """The segment is over: what was written is what was spoken."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """Whom to ring. `to`: tel:+442071234567, sip:desk@example.com, or what the trunk takes. `trunk`: LiveKit's name of
    the outbound trunk. `ringing_s`: how long it may ring."""

    to: str
    trunk: str = ""
    ringing_s: float = 30.0


class Phone(Protocol):
    """The telephones of one room. All but `hang_up` raise TransferFailed, which says why in words for the model."""

    async def refer(self, identity: str, number: Number) -> None:
        """Has the telephone of this participant, who came by one, call the number instead: they leave the room."""
        ...

    async def ring(self, number: Number, name: str) -> str:
        """Until somebody answers; the identity under which they are in the room. They and the others there do not
        hear each other yet, and of the agent they hear what is said to them alone."""
        ...

    async def aside(self, guest: str) -> AudioOut:
        """A voice that only this guest hears."""
        ...

    async def pressed(self, guest: str) -> str:
        """The next key that the guest presses."""
        ...

    async def introduce(self, guest: str) -> None:
        """From now on the guest and the others hear each other and the agent."""
        ...

    async def hang_up(self, guest: str) -> None:
        """The guest leaves, if they are there; never fails."""
        ...


class Room(Protocol):
    """One call's place. Connected when the session gets it; closed by whoever connected it."""

    @property
    def audio_out(self) -> AudioOut: ...

    def audio_in(self, identity: str = "") -> AsyncIterator[AudioFrame]:
        """The sound of the linked caller, or of one of several people by identity, at 16 kHz in frames of 32 to
        64 ms, over changes of track; ends with the room, or with somebody who has gone.

        While there is no track, nothing comes. Read by one task.
        """
        ...

    def events(self) -> AsyncIterator[RoomEvent]:
        """What happens in the room, in order, from the beginning; ends after RoomClosed. Read by one task."""
        ...

    def offer(self, methods: Sequence[str], answer: Callable[[str, str, str], str]) -> None:
        """Lets front ends call these, and no others from now on: `answer` gets identity, method and payload, and may
        raise RpcRefused."""
        ...

    @property
    def front_end(self) -> FrontEnd:
        """The programs of those who are here, for tools that they offer."""
        ...

    @property
    def control(self) -> RoomControl:
        """The room and everybody in it, for hooks."""
        ...

    async def set_state(self, state: AgentState) -> None: ...

    async def open_caption(self, segment_id: str) -> Caption:
        """Begins a caption of the agent's speech."""
        ...

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        """Shows the complete text so far of an utterance: the linked caller's, or somebody's by identity."""
        ...

    @property
    def phone(self) -> Phone | None:
        """The telephones here; None where there are none."""
        ...

    async def send_keys(self, keys: str) -> None:
        """Sends the tones of these keys, one after the other; a comma waits half a second."""
        ...

    async def end(self, *, delete: bool) -> None:
        """Ends the call for everybody (`delete`), or leaves."""
        ...
