"""Where the silence before an answer went: the moments of a turn become stages that add up to it. Pure.

The silence is cut into pieces that follow each other, each given to what held the answer up in it; what went on
beside it costs nothing. So a model that was asked early counts only from the end of the turn, and a recogniser only
when its words came after everything else was ready.

eou       waiting until the turn had ended: the VAD's and the endpointing's silence, and the agent's own earlier speech
stt       words that were still to come, where the turn ended with their coming
llm_ttft  from there until the first sentence could be handed to synthesis, without `tools`
tools     tools that ran before there was anything to say
tts_ttfb  until the first sample of it went out, without `hold`
hold      ready sound that was held because the caller made a sound, or was away
e2e       all of it: from the caller's last speech (or the agent's, if that was later) to the first sample that went out
"""

from __future__ import annotations

from dataclasses import dataclass, field

STAGES = ("eou", "stt", "llm_ttft", "tools", "tts_ttfb", "hold")
TOTAL = "e2e"
RARE = frozenset({"tools", "hold"})  # told only where they took time

WITH_THE_WORDS_S = 0.005
"""A turn that ends this soon after its last words has waited for them: both happen in one step of the session."""

_TICKS = 10_000  # a second, in the unit of which every stage is a whole number: sums are exact


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTiming:
    """The end of a caller's turn, in seconds on the session's clock. `speech_ended`: when the VAD was sure of it."""

    last_speech: float
    speech_ended: float | None
    words_at: float | None
    committed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTiming:
    """What a reply did when, on the same clock; None: it did not happen.

    `agent_silent`: when an earlier reply was heard last. `began`: when this one had its turn to speak. `first_sound`:
    synthesis gave it; `held_until`: the last time at which its sound was let go; `audible`: its first sample went out.
    `tools`: begin and end of each round of calls.
    """

    began: float
    agent_silent: float | None = None
    first_segment: float | None = None
    first_sound: float | None = None
    held_until: float | None = None
    audible: float | None = None
    tools: tuple[tuple[float, float], ...] = ()


@dataclass(slots=True)
class ReplyMarks:
    """ReplyTiming in the making. Owned by the reply."""

    began: float
    agent_silent: float | None
    first_segment: float | None = None
    first_sound: float | None = None
    held_until: float | None = None
    audible: float | None = None
    held: float | None = None  # its sound is held since then
    tools: list[tuple[float, float]] = field(default_factory=list)

    def latencies(self, turn: TurnTiming | None) -> dict[str, float]:
        reply = ReplyTiming(
            began=self.began,
            agent_silent=self.agent_silent,
            first_segment=self.first_segment,
            first_sound=self.first_sound,
            held_until=self.held_until,
            audible=self.audible,
            tools=tuple(self.tools),
        )
        return stages(turn, reply)


def stages(turn: TurnTiming | None, reply: ReplyTiming) -> dict[str, float]:
    """Seconds by stage, and of a reply to a turn their sum as e2e; nothing when no sound was heard.

    A reply that answers no turn has only what it took by itself.
    """
    if reply.audible is None:
        return {}
    since = reply.began if turn is None else max(turn.last_speech, reply.agent_silent or turn.last_speech)
    line = _Line(since, reply.audible)
    answering = line.at(reply.began)
    segment = line.at(reply.first_segment, answering)
    held = reply.held_until is not None and reply.first_sound is not None and reply.held_until > reply.first_sound
    sound = line.at(reply.first_sound, segment) if held else line.end
    tools = min(sum(line.between(begin, end, answering, segment) for begin, end in reply.tools), segment - answering)
    stt = _words_waited_for(turn, line, answering) if turn else 0
    ticks = {
        "eou": answering - stt,
        "stt": stt,
        "llm_ttft": segment - answering - tools,
        "tools": tools,
        "tts_ttfb": sound - segment,
        "hold": line.end - sound,
    }
    if turn is None:
        del ticks["eou"], ticks["stt"]
    else:
        ticks[TOTAL] = line.end
    return {name: value / _TICKS for name, value in ticks.items() if value or name not in RARE}


def _words_waited_for(turn: TurnTiming, line: _Line, until: int) -> int:
    if turn.words_at is None or turn.committed - turn.words_at > WITH_THE_WORDS_S:
        return 0
    return line.between(turn.speech_ended or turn.last_speech, turn.words_at, 0, until)


class _Line:
    """Ticks from `since` to `end`, neither of which anything can lie beyond."""

    def __init__(self, since: float, end: float) -> None:
        self._since = since
        self.end = max(0, round((end - since) * _TICKS))

    def at(self, moment: float | None, not_before: int = 0) -> int:
        """Missing: as early as it can be."""
        ticks = not_before if moment is None else round((moment - self._since) * _TICKS)
        return min(max(ticks, not_before), self.end)

    def between(self, begin: float, end: float, first: int, last: int) -> int:
        """How much of [begin, end] lies within [first, last]."""
        return max(0, min(self.at(end), last) - max(self.at(begin), first))
