"""Models that listen and speak by themselves: sound goes in, sound and its words come out.

A connection holds a conversation of its own, made of items that have names. The session tells it what to change in
it (commands), and learns what is heard and said (events). Turns are the session's: the model answers when it is told
to `Respond`, also where it tells by itself when the caller's speech begins and ends. Nothing is retried inside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from agentd.audio import AudioFrame
from agentd.errors import ProviderError
from agentd.providers.llm import ChatItem, ToolCall, ToolChoice, ToolSchema, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Common to every realtime model; a plugin's own settings extend it."""

    @property
    def pace(self) -> float:
        """How fast the voice speaks by these settings; 1.0 is normal."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a connection is told once, and again when it changes.

    `detects_turns`: the model tells when speech begins and ends, and keeps each utterance; else `CommitSound` does.
    `speaks`: it answers with sound and its words; else with words alone. `language`: BCP 47, of the caller's speech.
    """

    instructions: str = ""
    tools: tuple[ToolSchema, ...] = ()
    language: str | None = None
    detects_turns: bool = False
    speaks: bool = True


# Commands.


@dataclass(frozen=True, slots=True)
class Configure:
    """From the next answer on."""

    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class AddItem:
    """Puts `item` under the name `id` behind the item `after`; None: at the beginning."""

    id: str
    item: ChatItem
    after: str | None


@dataclass(frozen=True, slots=True)
class RemoveItem:
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateItem:
    """Of this item of the model's no more than its first `heard_s` seconds were heard."""

    id: str
    heard_s: float


@dataclass(frozen=True, slots=True)
class CommitSound:
    """The sound since the last utterance is one, whatever the model hears in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Have an answer made. `response`: the name that its events bear. `instructions`: instead of the configured ones.

    `apart`: outside of the conversation, which the model does not see for it and does not remember it in.
    """

    response: str
    instructions: str | None = None
    tool_choice: ToolChoice = "auto"
    apart: bool = False


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response: str


Command = Configure | AddItem | RemoveItem | TruncateItem | CommitSound | Respond | CancelResponse


# Events.


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """`at_s`: in seconds of the sound that this connection was given."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The model thinks that the caller is done. `at_s`: the end of the speech, without the silence after it."""

    at_s: float


@dataclass(frozen=True, slots=True)
class UtteranceKept:
    """The last utterance is the item `item` of the conversation now."""

    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceWords:
    """All words of this utterance so far; `final`: these are all. None: they could not be found out."""

    item: str
    text: str | None
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemBegun:
    """The model has begun this item of an answer."""

    response: str
    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsMade:
    """More of the words; those of sound come before it, with it or behind it."""

    response: str
    item: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundMade:
    """More of the sound, faster than it is heard, at the provider's `sample_rate_hz`."""

    response: str
    item: str
    frame: AudioFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """A whole call of a tool; its result is to be given as an item."""

    response: str
    item: str
    call: ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEnded:
    """Nothing more of this answer comes. `error`: why it is not whole; a cancelled one has none."""

    response: str
    usage: Usage | None = None
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused:
    """This command had no effect. Of a `Respond` no `ResponseEnded` follows. None: nobody knows which."""

    command: Command | None
    error: ProviderError


RealtimeEvent = (
    SpeechBegan
    | SpeechStopped
    | UtteranceKept
    | UtteranceWords
    | ItemBegun
    | WordsMade
    | SoundMade
    | CallMade
    | ResponseEnded
    | CommandRefused
)


class RealtimeConnection(Protocol):
    """One call's conversation, empty at first. Iterating gives events until `aclose`."""

    async def hear(self, frame: AudioFrame) -> None:
        """Takes a 16 kHz frame of the caller's sound, in order with the commands. Raises nothing when the connection
        is lost: iteration says so."""
        ...

    async def send(self, command: Command) -> None:
        """The same for a command."""
        ...

    def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        """Events in order. Raises ProviderError when the connection is lost or has lasted as long as it may."""
        ...

    async def aclose(self) -> None: ...


class Realtime(Protocol):
    """A provider client, shared by all calls of a worker."""

    @property
    def sample_rate_hz(self) -> int:
        """Of what it says."""
        ...

    async def connect(self, configuration: Configuration) -> RealtimeConnection:
        """Opens and configures a connection for one call. Raises ProviderError."""
        ...

    async def aclose(self) -> None: ...
