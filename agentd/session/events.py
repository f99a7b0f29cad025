"""What the turn machine sees, and what it decides. Frozen values; times are seconds on the session's clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The VAD is sure that the caller speaks, since `since`."""

    since: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The VAD is sure that the caller is silent; the last speech was at `last_speech`."""

    last_speech: float
    duration_s: float
    recognizing: bool  # the utterance was handed to a batch recogniser, which will answer with Recognized


@dataclass(frozen=True, slots=True)
class Interim:
    """Words that may still change, from a streaming recogniser. `text`: all of the unfinished part."""

    text: str


@dataclass(frozen=True, slots=True)
class Recognized:
    """Final words. Empty text: the recogniser heard none. `batch`: the answer to one SpeechEnded."""

    text: str
    language: str | None = None
    batch: bool = False


@dataclass(frozen=True, slots=True)
class ProviderEndOfTurn:
    """The recogniser thinks that the caller is done."""


@dataclass(frozen=True, slots=True)
class TextTyped:
    """A chat message: a whole turn by itself."""

    text: str


@dataclass(frozen=True, slots=True)
class CommitRequested:
    """Somebody ended the caller's turn by hand."""


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The agent begins to make a reply; nothing is heard yet."""

    interruptible: bool


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first sound of the reply goes out."""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply was played to its end, or was cut."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


TurnEvent = (
    SpeechStarted
    | SpeechEnded
    | Interim
    | Recognized
    | ProviderEndOfTurn
    | TextTyped
    | CommitRequested
    | ReplyStarted
    | ReplyAudible
    | ReplyEnded
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`rule`: why, by name; `value`: the configuration field behind it, "turn.endpointing.min_delay=0.5"."""

    rule: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitTurn(Decision):
    """The caller's turn is over. `ended_at`: their last speech; `words_at`: when its last words were known."""

    text: str
    ended_at: float
    words_at: float
    language: str | None = None
    source: str = "speech"  # or "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSpeech(Decision):
    """Hold the agent's sound; it may go on from the same place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSpeech(Decision):
    """It was no interruption: go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt(Decision):
    """Cut the reply for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore(Decision):
    """Words were heard that are no turn."""

    text: str
