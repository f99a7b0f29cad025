"""What the turn machine remembers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from agentd.session.false_words import Said


class Agent(Enum):
    SILENT = auto()
    THINKING = auto()
    SPEAKING = auto()


@dataclass(frozen=True, slots=True)
class Aside:
    """An acknowledgement that was ignored at `at`: the caller's answer, if the agent is about to end."""

    text: str
    at: float


@dataclass(frozen=True, slots=True)
class TurnState:
    """All that the machine remembers; replaced, never changed."""

    # The agent.
    agent: Agent = Agent.SILENT
    reply_since: float = 0.0
    interruptible: bool = True
    tools: bool = False  # the reply waits for tools
    held: bool = False  # the agent's sound is paused
    held_since: float = 0.0
    hold_until: float | None = None  # then a pause without words was a false interruption
    false_holds: int = 0  # pauses of this reply that were for nothing
    noisy: bool = False  # what the VAD takes for speech is noise: only words count, until there are some
    echoing: bool = False  # the agent has heard itself in this call: only words count
    warm_until: float | None = None  # the caller's echo canceller has adapted by then
    said: tuple[Said, ...] = ()  # its last words, for comparing
    asked: str = ""  # what the last reply said, for telling what it asked for
    replying_anew: bool = False  # the next words of the agent begin another reply

    # The caller.
    speaking_since: float | None = None
    turn_since: float | None = None  # the first speech of the turn
    utterance_since: float = 0.0
    lull_since: float | None = None  # a silence within the utterance
    lulls_s: float = 0.0  # those of the utterance that are over
    overheard: Literal["", "ignored", "reconsidered"] = ""  # what an interruption detector made of the utterance
    short_sound: bool = False  # the utterance was over so soon that the agent went on
    last_speech: float = 0.0
    last_duration_s: float = 0.0
    finals: tuple[str, ...] = ()
    interim: str = ""
    words_at: float = 0.0
    language: str | None = None  # that the recogniser heard
    punctuated: bool = False  # it sets full stops
    recognizing: int = 0  # utterances handed to a batch recogniser and not yet answered
    judging: int = 0  # utterances handed to a turn detector and not yet answered
    probability: float | None = None  # of the turn being complete, after its last utterance
    pause_s: float | None = None  # mean of the caller's pauses within turns
    provider_ended: bool = False
    late_final: bool = False  # interim words were committed, and their final has not come yet
    late_words: str = ""  # those words, where the caller was speaking on
    spoken: bool = False  # the VAD heard speech since the last turn; without, words alone tell the time
    deaf_to_speech: bool = False  # the utterance began while the agent could not be interrupted
    dropped: int = 0  # answers of a batch recogniser that belong to a turn that was thrown away
    pushing: bool = False  # the caller holds the button
    commit_asked: float | None = None  # somebody ended the turn, and its words are still to come
    commit_in_speech: bool = False  # they did so in mid-word, and that utterance still belongs to it
    monologue: bool = False  # the limit of this turn's length was acted on
    aside: Aside | None = None
    answered_aside: bool = False  # the turn is an acknowledgement that came with the agent's last words
    overlap_since: float | None = None  # both speak
    awake_until: float | None = None  # None: the wake phrase was not heard
