"""The turn machine: who speaks, when a turn has ended, what cuts the agent. Pure.

`step(event, now)` answers decisions; it has no clock, no I/O and no task. `deadline` says when it wants a Tick.

The caller's turn collects utterances. It is committed when the last speech is `endpointing.min_delay` ago, no
recognition is outstanding and there are words. The agent's sound is held at the onset of speech, long before it
is certain that the caller means to interrupt: words confirm the interruption, their absence lets the agent go on
from where it stopped. So barge-in is heard at once and a cough costs a short pause.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from agentd.config.definition import Turn
from agentd.session.events import (
    CommitRequested,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    Interrupt,
    PauseSpeech,
    ProviderEndOfTurn,
    Recognized,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    SpeechEnded,
    SpeechStarted,
    TextTyped,
    Tick,
    TurnEvent,
)
from agentd.session.words import count_words, same_phrase

LATE_WORDS_S = 2.0
"""How long after the endpointing delay a streaming recogniser may take to finalise words that it has shown as
interim ones, before the turn is committed with those. From Deepgram's and ElevenLabs' usual finals (0.2 to 1 s)."""

NOISE_S = 10.0
"""Sound that brings no word for this long is none of the caller's words, whatever the VAD says: people who talk pause
for breath well before, which ends an utterance and has it recognised."""


class Agent(Enum):
    SILENT = auto()
    THINKING = auto()
    SPEAKING = auto()


@dataclass(frozen=True, slots=True)
class TurnState:
    """All that the machine remembers; replaced, never changed."""

    agent: Agent = Agent.SILENT
    interruptible: bool = True
    held: bool = False  # the agent's sound is paused
    held_since: float = 0.0
    hold_until: float | None = None  # then a pause without words was a false interruption
    noisy: bool = False  # what the VAD takes for speech is noise: only words count, until there are some
    speaking_since: float | None = None  # of the caller
    last_speech: float = 0.0
    last_duration_s: float = 0.0
    finals: tuple[str, ...] = ()
    interim: str = ""
    words_at: float = 0.0
    language: str | None = None
    recognizing: int = 0  # utterances handed to a batch recogniser and not yet answered
    provider_ended: bool = False
    late_final: bool = False  # interim words were committed, and their final has not come yet
    spoken: bool = False  # the VAD heard speech since the last turn; without, words alone tell the time
    deaf_to_speech: bool = False  # the utterance began while the agent could not be interrupted


@dataclass(slots=True)
class TurnMachine:
    """One session's turns under `turn` settings. `streaming`: the recogniser sends interims and finals by itself."""

    turn: Turn
    streaming: bool
    state: TurnState = field(default_factory=TurnState)

    def step(self, event: TurnEvent, now: float) -> list[Decision]:
        """Takes one event; answers what is to be done, in order."""
        decisions = self._take(event, now)
        return decisions + self._passed(now)

    @property
    def deadline(self) -> float | None:
        """When the machine wants to be stepped although nothing happened."""
        due = (self._interrupt_at(), self._resume_at(), self._commit_at())
        return min((t for t in due if t is not None), default=None)

    @property
    def user_speaking(self) -> bool:
        return self.state.speaking_since is not None

    def _take(self, event: TurnEvent, now: float) -> list[Decision]:
        match event:
            case SpeechStarted(since):
                return self._speech_started(since, now)
            case SpeechEnded():
                return self._speech_ended(event)
            case Interim(text):
                return self._interim(text, now)
            case Recognized():
                return self._recognized(event, now)
            case ProviderEndOfTurn():
                self._set(provider_ended=True)
            case TextTyped(text):
                return self._text_typed(text, now)
            case CommitRequested():
                return self._commit("manual", "", now)
            case ReplyStarted(interruptible):
                held = self.user_speaking and interruptible and self.turn.interruption.enabled and not self.state.noisy
                self._set(agent=Agent.THINKING, interruptible=interruptible, held=held, hold_until=None, held_since=now)
                return [PauseSpeech(rule="caller_is_speaking")] if held else []
            case ReplyAudible():
                self._set(agent=Agent.SPEAKING)
            case ReplyEnded():
                self._set(agent=Agent.SILENT, held=False, hold_until=None, interruptible=True)
            case Tick():
                pass
        return []

    def _speech_started(self, since: float, now: float) -> list[Decision]:
        deaf = self._must_finish()
        self._set(speaking_since=since, provider_ended=False, deaf_to_speech=deaf, hold_until=None)
        self._set(late_final=False, spoken=True)
        interruption = self.turn.interruption
        if deaf or self.state.agent is Agent.SILENT or self.state.held or self.state.noisy:
            return []
        if interruption.min_words or not interruption.resume_false:
            return []
        self._set(held=True, held_since=now)
        return [PauseSpeech(rule="speech_onset", value="turn.interruption.resume_false=true")]

    def _speech_ended(self, event: SpeechEnded) -> list[Decision]:
        self._set(
            speaking_since=None,
            last_speech=event.last_speech,
            last_duration_s=event.duration_s,
            recognizing=self.state.recognizing + event.recognizing,
        )
        if not self.state.held:
            return []
        self._set(hold_until=event.last_speech + self.turn.interruption.false_timeout)
        return []

    def _interim(self, text: str, now: float) -> list[Decision]:
        if self._is_deaf() or self.state.late_final:
            return []
        if text:
            self._set(words_at=now, noisy=False)
        self._set(interim=text)
        return self._words_heard()

    def _recognized(self, event: Recognized, now: float) -> list[Decision]:
        if event.batch:
            self._set(recognizing=max(0, self.state.recognizing - 1))
        text = event.text.strip()
        if self._is_deaf():
            return [Ignore(rule="not_interruptible", text=text)] if text else []
        if self.state.late_final:
            self._set(late_final=False)
            return [Ignore(rule="late_words", text=text)] if text else []
        if not text:
            return self._no_words()
        if self._acknowledges(text):
            self._set(interim="")
            ignored = Ignore(rule="acknowledgement", value="turn.interruption.acknowledgements", text=text)
            return [ignored, *self._resume("acknowledgement")]
        self._set(finals=(*self.state.finals, text), interim="", words_at=now, noisy=False, language=event.language)
        return self._words_heard()

    def _is_deaf(self) -> bool:
        """Words of an utterance that lies within speech that cannot be interrupted are not taken."""
        return self.state.deaf_to_speech and self._must_finish()

    def _must_finish(self) -> bool:
        return self.state.agent is not Agent.SILENT and not self._can_interrupt()

    def _no_words(self) -> list[Decision]:
        """A batch recogniser found none, or was not asked because the sound was too short to hold any."""
        idle = not self.user_speaking and not self.state.recognizing
        return self._resume("no_words") if not self.streaming and idle and not self._text() else []

    def _acknowledges(self, text: str) -> bool:
        if self.state.agent is Agent.SILENT or self.state.finals:
            return False
        return any(same_phrase(text, phrase) for phrase in self.turn.interruption.acknowledgements)

    def _words_heard(self) -> list[Decision]:
        """Words confirm an interruption, if there are enough of them."""
        if self.state.agent is Agent.SILENT or not self._can_interrupt():
            return []
        text = self._text()
        if self._acknowledges_so_far(text):
            return []
        needed = self.turn.interruption.min_words
        if count_words(text) < max(needed, 1):
            return []
        return self._interrupt("words", f"turn.interruption.min_words={needed}")

    def _acknowledges_so_far(self, text: str) -> bool:
        return not self.state.finals and any(
            same_phrase(text, phrase) for phrase in self.turn.interruption.acknowledgements
        )

    def _text_typed(self, text: str, now: float) -> list[Decision]:
        """Cuts the agent, or waits like speech until it has said what must not be cut."""
        heard = self.state.agent is not Agent.SILENT and self._can_interrupt()
        decisions = self._interrupt("text_received", "room.text_input=true") if heard else []
        commit = CommitTurn(rule="text_received", text=text, ended_at=now, words_at=now, source="text")
        return [*decisions, commit]

    def _passed(self, now: float) -> list[Decision]:
        """What is due because time went by."""
        decisions: list[Decision] = []
        if _is_due(self._interrupt_at(), now):
            seconds = self.turn.interruption.min_duration
            decisions += self._interrupt("speech_duration", f"turn.interruption.min_duration={seconds}")
        if _is_due(self.state.hold_until, now):
            timeout = self.turn.interruption.false_timeout
            decisions += self._resume("false_interruption", f"turn.interruption.false_timeout={timeout}")
        elif _is_due(self._resume_at(), now):
            self._set(noisy=True)
            decisions += self._resume("noise")
        if _is_due(self._commit_at(), now):
            rule, value = self._commit_rule()
            decisions += self._commit(rule, value, now)
        return decisions

    def _interrupt_at(self) -> float | None:
        """When the length of the speech alone interrupts: where the agent's sound was not held at its onset."""
        interruption = self.turn.interruption
        since = self.state.speaking_since
        if since is None or interruption.resume_false or interruption.min_words:
            return None
        if self.state.agent is Agent.SILENT or not self._can_interrupt():
            return None
        return since + interruption.min_duration

    def _resume_at(self) -> float | None:
        """When the agent goes on because no words came."""
        if not self.state.held:
            return None
        noise_at = self.state.held_since + NOISE_S
        return noise_at if self.state.hold_until is None else min(noise_at, self.state.hold_until)

    def _commit_at(self) -> float | None:
        """When the caller's turn ends, as far as is known now."""
        state = self.state
        if not self._text() or self.turn.detection == "manual" or self._must_finish():
            return None
        if state.speaking_since is not None:
            return max(state.words_at, state.speaking_since) + NOISE_S
        if state.recognizing:
            return None
        delay: float = self.turn.endpointing.min_delay
        if self.turn.detection == "stt" and not state.provider_ended:
            delay = self.turn.endpointing.max_delay
        if state.interim:
            delay += LATE_WORDS_S
        return (state.last_speech if state.spoken else state.words_at) + delay

    def _commit_rule(self) -> tuple[str, str]:
        endpointing = self.turn.endpointing
        if self.user_speaking:
            return "noise", ""
        if self.state.interim:
            return "late_words", f"turn.endpointing.min_delay={endpointing.min_delay}"
        if self.turn.detection == "stt":
            if self.state.provider_ended:
                return "provider_end_of_turn", "turn.detection=stt"
            return "max_delay", f"turn.endpointing.max_delay={endpointing.max_delay}"
        return "silence", f"turn.endpointing.min_delay={endpointing.min_delay}"

    def _commit(self, rule: str, value: str, now: float) -> list[Decision]:
        text = self._text()
        if not text:
            return []
        state = self.state
        commit = CommitTurn(
            rule=rule,
            value=value,
            text=text,
            ended_at=state.last_speech if state.spoken else state.words_at,
            words_at=state.words_at,
            language=state.language,
        )
        interrupted = [] if state.agent is Agent.SILENT else self._interrupt("turn_committed", "")
        self._set(late_final=bool(state.interim) and self.streaming, spoken=self.user_speaking)
        self._set(finals=(), interim="", provider_ended=False, language=None)
        return [*interrupted, commit]

    def _interrupt(self, rule: str, value: str) -> list[Decision]:
        self._set(agent=Agent.SILENT, held=False, hold_until=None, interruptible=True)
        return [Interrupt(rule=rule, value=value)]

    def _resume(self, rule: str, value: str = "") -> list[Decision]:
        held = self.state.held
        self._set(held=False, hold_until=None)
        return [ResumeSpeech(rule=rule, value=value)] if held else []

    def _can_interrupt(self) -> bool:
        return self.state.interruptible and self.turn.interruption.enabled

    def _text(self) -> str:
        return " ".join(part for part in (*self.state.finals, self.state.interim) if part)

    def _set(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]


def _is_due(at: float | None, now: float) -> bool:
    return at is not None and now >= at
