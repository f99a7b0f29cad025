"""The job of a call as hooks see it and act on it: its room, who is in that, and what the dispatch said. Values, and
what a session and a room must offer for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentd.tools.acts import GenerateReply, SayText

RESERVED_ATTRIBUTES = "lk."
"""LiveKit's own begin so; agentd sets those of the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomMember:
    """A participant. `linked`: the agent talks with them."""

    identity: str
    name: str = ""
    kind: str = "standard"
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    linked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """A room at one moment; `local` is the agent's own participant, `remote` are the others in the order of joining."""

    name: str = ""
    sid: str = ""
    metadata: str = ""
    local: RoomMember = RoomMember(identity="", kind="agent")
    remote: tuple[RoomMember, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """`metadata`: of the dispatch, as whoever asked for the agent wrote it."""

    id: str
    metadata: str
    room: RoomView


class RoomControl(Protocol):
    """A room as hooks see it and act on it. What acts raises ToolError, which says why it cannot be done."""

    def view(self) -> RoomView:
        """As it is; once it was left, as it was then."""
        ...

    async def set_attributes(self, attributes: Mapping[str, str], identity: str) -> None:
        """Of the participant; "": of the agent's own. Others that it has stay; one that is set to "" goes."""
        ...

    async def set_metadata(self, metadata: str, identity: str) -> None: ...

    async def send_text(self, text: str, topic: str, identities: Sequence[str]) -> None:
        """A text stream; to everybody where nobody is named."""
        ...


# What hooks ask for.


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAttributes:
    """See `RoomControl.set_attributes`."""

    attributes: Mapping[str, str]
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMetadata:
    """Of the participant; "": of the agent's own."""

    metadata: str
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishData:
    """A reliable packet; to everybody where nobody is named."""

    data: bytes
    topic: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """A text stream; to everybody where nobody is named."""

    text: str
    topic: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformRpc:
    """Call a method that this participant's program has registered."""

    identity: str
    method: str
    payload: str = ""
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AddShutdownCallback:
    """Call this function when the call is over."""

    ref: str


JobRequest = SetAttributes | SetMetadata | PublishData | SendText | PerformRpc | AddShutdownCallback


class Speech(Protocol):
    """Something that the agent is to say: `agentd.session.speech.SpeechHandle`."""

    @property
    def interrupted(self) -> bool: ...

    async def wait_for_playout(self) -> None: ...

    def cancel(self, *, force: bool = False) -> None: ...


class JobDesk(Protocol):
    """What a session offers one hook."""

    def view(self) -> JobView: ...

    def speak(self, act: SayText | GenerateReply) -> Speech: ...

    async def do(self, request: JobRequest) -> str:
        """The answer of an RPC, "" for all else. Raises ToolError."""
        ...
