"""How an agent takes turns, as its file says it. See `agentd.config.definition`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointingRule:
    """After the agent asked for something, other delays hold."""

    when_agent: str = setting(
        "What the agent's last words ask for: number, phone, date, time, name, email, address, spelling, or a regular "
        "expression that is found in them.",
        min_length=1,
        interpolate=False,
    )
    min_delay: Duration | None = setting("Silence that ends such a turn.", default=None, minimum=0, maximum=60)
    digits: int | None = setting(
        "Digits of the number: until they are heard max_delay holds, then the turn's own min_delay.",
        default=None,
        minimum=1,
        maximum=40,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """How long to wait in silence before the caller's turn counts as ended."""

    mode: Literal["fixed", "dynamic"] = setting(
        "fixed, or dynamic: adapted to the caller's pauses within their turns.", default="fixed"
    )
    min_delay: Duration = setting(
        "Silence that ends a turn. With a turn_detector the default is 300ms.",
        default=Duration(0.5),
        minimum=0,
        maximum=30,
    )
    max_delay: Duration = setting(
        "The longest wait, when the words or a turn detector say that more will come. With a turn_detector the default "
        "is 2500ms.",
        default=Duration(3.0),
        minimum=0,
        maximum=60,
    )
    unsure_delay: Duration | None = setting(
        "Silence that ends a turn that may go on: digits are dictated, there is no full stop, or a turn detector alone "
        "says so. Without it 1400ms, or max_delay where that is shorter.",
        default=None,
        minimum=0,
        maximum=60,
    )
    transcript: bool = setting(
        'Wait up to max_delay where the words are unfinished ("my number is", "and", digits missing), and unsure_delay '
        "where they may be.",
        default=True,
    )
    rules: tuple[EndpointingRule, ...] = setting(
        "Delays that depend on what the agent asked for; the first that fits holds.", default=()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionProfile:
    """Overrides of `interruption` for one state of the agent."""

    enabled: bool | None = setting("Whether speech interrupts in this state.", default=None)
    min_duration: Duration | None = setting("Speech needed to interrupt in this state.", default=None, minimum=0)
    min_words: int | None = setting("Words needed to interrupt in this state.", default=None, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionProfiles:
    thinking: InterruptionProfile | None = setting("While the reply is being made.", default=None)
    speaking: InterruptionProfile | None = setting("While the agent speaks.", default=None)
    tool: InterruptionProfile | None = setting("While a tool runs, whatever is being said meanwhile.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What of the caller's speech stops the agent's."""

    enabled: bool = setting("Whether the caller can interrupt at all.", default=True)
    detection: Literal["auto", "words", "duration", "detector"] = setting(
        "What confirms an interruption: words that are recognised; duration (min_duration of speech, or words before); "
        "detector (an interruption_detector's opinion of the sound, or words before); auto takes an "
        "interruption_detector if there is one, else words.",
        default="auto",
    )
    min_duration: Duration = setting(
        "Speech that interrupts without words, under `detection: duration`, and without `resume_false`.",
        default=Duration(0.5),
        minimum=0,
        maximum=10,
    )
    min_words: int = setting("Recognised words needed to interrupt; 0 needs none.", default=0, minimum=0, maximum=50)
    resume_false: bool = setting(
        "Go on with the sentence when what interrupted it turns out to be no speech.", default=True
    )
    short_sound: Duration = setting(
        "A sound over the agent's speech that is over within this time, and is followed by nothing, no longer holds "
        "the agent, which goes on before the words are known; words still cut it. 0 for none.",
        default=Duration(0.5),
        minimum=0,
        maximum=3,
    )
    false_timeout: Duration = setting(
        "Time without words after which an interruption was a false one.", default=Duration(2.0), minimum=0, maximum=30
    )
    acknowledgements: tuple[str, ...] | None = setting(
        "Phrases that are heard but do not interrupt: uh-huh, right. Compared without case and punctuation. The "
        "language's own by default (en, de, fr, es); [] for none.",
        default=None,
    )
    phrases: tuple[str, ...] | None = setting(
        "Phrases that interrupt at once when the caller begins with them, whatever min_words says: stop, wait. The "
        "language's own by default (en, de, fr, es); [] for none.",
        default=None,
    )
    backchannel_boundary: Duration = setting(
        "An acknowledgement this close to the end of what the agent says is the caller's answer.",
        default=Duration(1.0),
        minimum=0,
        maximum=10,
    )
    uninterruptible: Literal["discard", "keep"] = setting(
        "What becomes of speech while the agent cannot be interrupted: ignored, or a turn afterwards.",
        default="discard",
    )
    echo_warmup: Duration = setting(
        "After the agent's first sound in a call only words silence it, until the caller's echo canceller has adapted.",
        default=Duration(3.0),
        minimum=0,
        maximum=30,
    )
    while_: InterruptionProfiles | None = setting(
        "Overrides while thinking, speaking or running a tool.", default=None, key="while"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemptive:
    """Making the reply before the turn has surely ended; nothing of it is heard, and no tool runs, before it has."""

    llm: bool = setting("Ask the model as soon as the caller's words are known.", default=True)
    tts: bool = setting("Make the sound of it early too.", default=False)
    max_speech: Duration = setting("Not for utterances longer than this.", default=Duration(10.0), minimum=0)
    max_retries: int = setting(
        "Early starts in one turn; what the caller goes on from is thrown away.", default=3, minimum=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxSpeech:
    """When a caller talks on and on."""

    after: Duration = setting("How long a turn may last.", minimum=1, maximum=3600)
    say: str | None = setting(
        "Said then, over the caller, who keeps the turn; without it the agent answers what it has heard so far.",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WakePhrase:
    """Nothing is a turn until this was heard."""

    phrases: tuple[str, ...] = setting("Any of these wakes the agent.", min_length=1)
    awake: Duration = setting(
        "How long it stays awake after the last turn or reply.", default=Duration(30.0), minimum=1, maximum=3600
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose turn it is."""

    detection: Literal["auto", "model", "vad", "stt", "realtime", "manual"] = setting(
        "What decides that the caller is done: vad (silence and words), model (a turn_detector besides), stt (the "
        "recogniser's own end of turn), realtime (the realtime model's), manual (a button); auto takes a turn_detector "
        "if there is one, else vad.",
        default="auto",
        reload="next_session",
    )
    endpointing: Endpointing = setting("When a turn ends.", default_factory=Endpointing)
    interruption: Interruption = setting("When the agent stops.", default_factory=Interruption)
    preemptive: Preemptive = setting("Making the reply early.", default_factory=Preemptive)
    max_speech: MaxSpeech | None = setting("A limit for the caller's monologues.", default=None)
    wake_phrase: WakePhrase | None = setting("What the caller must say first.", default=None)
