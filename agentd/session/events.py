"""What the turn machine sees, and what it decides. Frozen values; times are seconds on the session's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NOT_TRANSCRIBED = "(not transcribed)"
"""What stands for the words of an utterance that a realtime model has heard, and that nobody could write down."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Whose sound or words: a participant's by identity, or (`other`) somebody else's at their microphone."""

    identity: str = ""
    other: bool = False


THE_CALLER = Voice()
"""The linked participant, where the agent talks with no other."""


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
    judging: bool = False  # and to a turn detector, which will answer with TurnJudged


@dataclass(frozen=True, slots=True)
class LullBegan:
    """Within an utterance the caller is silent since `at`: too short a time yet to end it."""

    at: float


@dataclass(frozen=True, slots=True)
class LullEnded:
    """They speak again since `at`."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The utterance in which words were found. `speech_s`: speech windows in it; `probability`: the VAD's mean over
    them."""

    since: float
    until: float
    speech_s: float
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Interim:
    """Words that may still change, from a streaming recogniser. `text`: all of the unfinished part."""

    text: str


@dataclass(frozen=True, slots=True)
class Recognized:
    """Final words. Empty text: the recogniser heard none. `batch`: the answer to one SpeechEnded, whose `sound` it
    is. `punctuated`: by a recogniser that sets full stops."""

    text: str
    language: str | None = None
    batch: bool = False
    sound: Sound | None = None
    punctuated: bool = False


@dataclass(frozen=True, slots=True)
class ProviderEndOfTurn:
    """The recogniser thinks that the caller is done."""


@dataclass(frozen=True, slots=True)
class TextTyped:
    """A chat message: a whole turn by itself."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """A turn detector's answer to one SpeechEnded: the probability that the turn is complete; None: it has failed."""

    probability: float | None


Outlook = Literal["interrupts", "open", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapJudged:
    """An interruption detector's opinion of the utterance that began at `since`, over the agent's speech: that the
    caller wants the turn, that they do not, or that it is open. `value`: the configuration behind it."""

    since: float
    outlook: Outlook
    value: str = ""


@dataclass(frozen=True, slots=True)
class TurnBegun:
    """The caller begins a turn by hand: what was heard before does not belong to it."""


@dataclass(frozen=True, slots=True)
class CommitRequested:
    """Somebody ended the caller's turn by hand. Words that are still being recognised are waited for."""


@dataclass(frozen=True, slots=True)
class TurnDropped:
    """Somebody threw the caller's turn away."""


@dataclass(frozen=True, slots=True)
class LanguageSet:
    """The conversation goes on in this language."""

    language: str


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The agent begins to make a reply; nothing is heard yet."""

    interruptible: bool


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """The first sound of the reply goes out."""


@dataclass(frozen=True, slots=True)
class AgentWords:
    """These words of the reply have begun to sound."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolsRunning:
    """The reply waits for tools, or they have answered."""

    running: bool


@dataclass(frozen=True, slots=True)
class InterruptionsAllowed:
    """Whether the caller may cut the reply, from now on: a tool that it waits for can forbid it."""

    allowed: bool


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply was played to its end, or was cut."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


TurnEvent = (
    SpeechStarted
    | SpeechEnded
    | LullBegan
    | LullEnded
    | Interim
    | Recognized
    | ProviderEndOfTurn
    | TextTyped
    | TurnJudged
    | OverlapJudged
    | TurnBegun
    | CommitRequested
    | TurnDropped
    | LanguageSet
    | ReplyStarted
    | ReplyAudible
    | AgentWords
    | ToolsRunning
    | InterruptionsAllowed
    | ReplyEnded
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`rule`: why, by name; `value`: the configuration field behind it, "turn.endpointing.min_delay=0.5"; `voice`:
    whose turn it is about."""

    rule: str
    value: str = ""
    voice: Voice = THE_CALLER


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SayOver(Decision):
    """Say this, whether the caller speaks or not; the caller keeps the turn."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap(Decision):
    """Both spoke from `since` to `until`; `rule`: what became of it, "interruption" or why the agent goes on."""

    since: float
    until: float

    @property
    def duration_s(self) -> float:
        return round(max(0.0, self.until - self.since), 3)
