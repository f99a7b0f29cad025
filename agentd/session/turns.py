"""The turn machine: who speaks, when a turn has ended, what cuts the agent. Pure.

`step(event, now)` answers decisions; it has no clock, no I/O and no task. `deadline` says when it wants a Tick.

The caller's turn collects utterances. It is committed when the last speech is as long ago as `endpointing` says, no
recognition is outstanding and there are words. The agent's sound is held at the onset of speech, long before it
is certain that the caller means to interrupt: words confirm the interruption, their absence lets the agent go on
from where it stopped. So barge-in is heard at once and a cough costs a short pause.

The policies stand by themselves: `endpointing` (how long to wait), `interruption` (what words do), `false_words` (what
nobody said), `waking` (what is a turn at all). `situation` reads the state, this file changes it: with the caller's
speech; `yielding` with the agent's.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentd.session import endpointing, false_words, waking
from agentd.session.endpointing import Wait
from agentd.session.events import (
    CommitRequested,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    LanguageSet,
    LullBegan,
    LullEnded,
    PauseSpeech,
    ProviderEndOfTurn,
    Recognized,
    ResumeSpeech,
    SayOver,
    SpeechEnded,
    SpeechStarted,
    TextTyped,
    Tick,
    TurnBegun,
    TurnDropped,
    TurnEvent,
    TurnJudged,
)
from agentd.session.situation import LATE_WORDS_S, NOISE_S
from agentd.session.turn_state import Agent, Aside, TurnState
from agentd.session.words import bare_words
from agentd.session.yielding import Yielding

__all__ = ["LATE_WORDS_S", "NOISE_S", "Agent", "TurnMachine", "TurnState"]


@dataclass(slots=True)
class TurnMachine(Yielding):
    """One session's turns under `turn` settings. `streaming`: the recogniser sends interims and finals by itself.
    `language`: the agent's; what the recogniser hears goes before it. `warm`: the caller's echo canceller has heard
    this agent before."""

    def step(self, event: TurnEvent, now: float) -> list[Decision]:
        """Takes one event; answers what is to be done, in order."""
        self.now = now
        decisions = self._take(event)
        return decisions + self._passed()

    def agent_cut(self, now: float) -> list[Decision]:
        """Somebody else has cut the agent."""
        self.now = now
        overlapped = self._overlapped("interruption")
        self._silent()
        return overlapped

    @property
    def deadline(self) -> float | None:
        """When the machine wants to be stepped although nothing happened."""
        here = self._here
        ends_at = here.ending[0] if here.ending else None
        due = (here.interrupt_at, here.resume_at, here.short_at, here.limit_at, ends_at)
        return min((t for t in due if t is not None), default=None)

    @property
    def ending(self) -> Wait | None:
        """The silence that would end the caller's turn as it stands; None while none would."""
        ending = self._here.ending
        return ending[1] if ending else None

    @property
    def overlaps(self) -> bool:
        """Whether an interruption detector's opinion is wanted now."""
        return self._here.overlaps

    @property
    def caller_has_turn(self) -> bool:
        """The caller speaks, or has said what is about to become a turn."""
        speaks = not self._here.is_quiet and not self.state.noisy
        return speaks or self._here.ending is not None

    def _take(self, event: TurnEvent) -> list[Decision]:
        match event:
            case SpeechStarted(since):
                return self._speech_started(since)
            case SpeechEnded():
                return self._speech_ended(event)
            case LullBegan(at):
                self._set(lull_since=at)
            case LullEnded(at):
                return self._lull_ended(at)
            case Interim(text):
                return self._interim(text)
            case Recognized():
                return self._recognized(event)
            case ProviderEndOfTurn():
                self._set(provider_ended=True)
            case TurnJudged(probability):
                probability = None if self.user_speaking else probability
                self._set(judging=max(0, self.state.judging - 1), probability=probability)
            case TextTyped(text):
                return self._text_typed(text)
            case TurnBegun():
                return self._turn_begun()
            case CommitRequested():
                self._set(commit_asked=self.now, commit_in_speech=self.user_speaking, pushing=False)
            case TurnDropped():
                return self._turn_dropped()
            case LanguageSet(language):
                self.language = language
            case Tick():
                pass
            case _:
                return self._agent_event(event)
        return []

    # The caller's sound.

    def _speech_started(self, since: float) -> list[Decision]:
        state = self.state
        if self._here.goes_on(since):
            self._set(pause_s=endpointing.next_pause(state.pause_s, since - state.last_speech, self.turn.endpointing))
        begins = not self._here.text and not state.recognizing
        self._set(turn_since=since if begins or state.turn_since is None else state.turn_since)
        self._set(speaking_since=since, utterance_since=since, provider_ended=False, probability=None, hold_until=None)
        self._set(late_final=False, spoken=True, deaf_to_speech=self._here.must_finish)
        self._set(lull_since=None, lulls_s=0.0, overheard="", short_sound=False)
        if state.agent is Agent.SPEAKING:
            self._set(overlap_since=since)
        if not self._here.may_hold:
            return []
        self._set(held=True, held_since=self.now)
        return [PauseSpeech(rule="speech_onset", value="turn.interruption.resume_false=true")]

    def _lull_ended(self, at: float) -> list[Decision]:
        """What seemed to be a short sound may go on: then the agent is held after all."""
        since = self.state.lull_since
        lull_s = 0.0 if since is None else max(0.0, at - since)
        self._set(lull_since=None, lulls_s=self.state.lulls_s + lull_s)
        if not self.state.short_sound or not self._here.may_hold:
            return []
        self._set(held=True, held_since=self.now, short_sound=False)
        return [PauseSpeech(rule="speech_goes_on", value=self._short_value)]

    @property
    def _short_value(self) -> str:
        return f"turn.interruption.short_sound={self.turn.interruption.short_sound}"

    def _speech_ended(self, event: SpeechEnded) -> list[Decision]:
        self._set(
            speaking_since=None,
            commit_in_speech=False,
            last_speech=event.last_speech,
            last_duration_s=event.duration_s,
            recognizing=self.state.recognizing + event.recognizing,
            judging=self.state.judging + event.judging,
        )
        if self.state.held:
            self._set(hold_until=event.last_speech + self.turn.interruption.false_timeout)
            return self._resume_if_acknowledged()
        return []

    def _interim(self, text: str) -> list[Decision]:
        if self._here.is_deaf or self.state.late_final or not self._here.is_awake:
            return []
        if text and not self._here.is_own(text, self.state.utterance_since, self.now):
            self._set(words_at=self.now, noisy=False, interim=text)
            return self._words_heard() or self._resume_if_acknowledged()
        self._set(interim="" if not text else self.state.interim)
        return []

    def _resume_if_acknowledged(self) -> list[Decision]:
        """The agent need not wait for the final words of what can only be an "uh-huh"."""
        text = self.state.interim
        if not text or self.state.finals or not self._here.is_quiet or self._here.verdict(text) != "acknowledgement":
            return []
        self._set(interim="", aside=Aside(text, self.now))
        return self._resume("acknowledgement", self._value("acknowledgements"))

    def _recognized(self, event: Recognized) -> list[Decision]:
        if event.batch:
            self._set(recognizing=max(0, self.state.recognizing - 1))
            if self.state.dropped:
                self._set(dropped=self.state.dropped - 1)
                return [Ignore(rule="turn_dropped", text=event.text)]
        text = self._uncommitted(event.text.strip())
        if rule := self._deafness(event, text):
            ignored: list[Decision] = [Ignore(rule=rule, text=text)] if text else []
            return ignored if rule in ("not_interruptible", "late_words") else [*ignored, *self._no_words(rule)]
        if not text:
            return self._no_words("no_words")
        self._set(punctuated=event.punctuated)
        return self._taken(text, event.language)

    def _uncommitted(self, text: str) -> str:
        """Without the words that a turn has taken already, while the caller went on speaking."""
        taken, tokens = bare_words(self.state.late_words), text.split()
        if not self.state.late_final or not taken or len(tokens) <= len(taken):
            return text
        if bare_words(" ".join(tokens[: len(taken)])) != taken:
            return text
        self._set(late_final=False, late_words="")
        return " ".join(tokens[len(taken) :])

    def _deafness(self, event: Recognized, text: str) -> str:
        """Why these words are not taken; "" when they are."""
        state, sound = self.state, event.sound
        if self._here.is_deaf:
            return "not_interruptible"
        if state.late_final:
            self._set(late_final=False)
            return "late_words"
        if false_words.is_made_up(text, sound, self._here.book):
            return "made_up"
        since, until = (sound.since, sound.until) if sound else (state.utterance_since, self.now)
        if self._here.is_own(text, since, until):
            self._set(echoing=True, interim="")
            return "own_echo"
        return ""

    def _taken(self, text: str, language: str | None) -> list[Decision]:
        woken = waking.listen(text, self.turn, awake=self._here.is_awake)
        if woken.wakes or (self.turn.wake_phrase and woken.text):
            self._set(awake_until=self._here.awake_until())
        if not woken.text:
            return [Ignore(rule=woken.rule, value="turn.wake_phrase", text=text)]
        text = woken.text
        if self._here.agent_has_turn and not self.state.finals and self._here.verdict(text) == "acknowledgement":
            return self._acknowledged(text)
        self._set(finals=(*self.state.finals, text), interim="", words_at=self.now, noisy=False, aside=None)
        self._set(language=language or self.state.language)
        return self._words_heard()

    def _acknowledged(self, text: str) -> list[Decision]:
        """Heard, and ignored entirely; but the last one counts if the agent ends right then."""
        state = self.state
        at = self.now if state.held else state.utterance_since
        self._set(interim="", aside=Aside(text, at) if state.agent is Agent.SPEAKING else None)
        value = self._value("acknowledgements")
        ignored = Ignore(rule="acknowledgement", value=value, text=text)
        return [ignored, *(self._resume("acknowledgement", value) if self._here.is_quiet else [])]

    def _no_words(self, rule: str) -> list[Decision]:
        """A batch recogniser found none or was not asked, as the sound was too short; or nobody said what it found."""
        if self.streaming and rule == "no_words":
            return []
        if self.state.short_sound:
            self._set(false_holds=self.state.false_holds + 1, short_sound=False)
        return self._resume(rule) if self._here.is_quiet and not self._here.text else []

    # What the words do.

    def _words_heard(self) -> list[Decision]:
        """Words confirm an interruption, if there are enough of them."""
        if not self._here.agent_has_turn or not self._here.can_interrupt or not self._here.listens:
            return []
        policy = self._here.policy
        match self._here.verdict(self._here.text):
            case "phrase":
                return self._interrupt("phrase", self._value("phrases"))
            case "words":
                return self._interrupt("words", f"{policy.where}.min_words={policy.settings.min_words}")
        return []

    def _text_typed(self, text: str) -> list[Decision]:
        """Cuts the agent, or waits like speech until it has said what must not be cut."""
        heard = self._here.agent_has_turn and self._here.can_interrupt
        decisions = self._interrupt("text_received", "room.text_input=true") if heard else []
        commit = CommitTurn(rule="text_received", text=text, ended_at=self.now, words_at=self.now, source="text")
        return [*decisions, commit]

    def _turn_begun(self) -> list[Decision]:
        self._forget()
        self._set(pushing=True)
        cut = self._here.agent_has_turn and self._here.can_interrupt
        return self._interrupt("turn_begun", f"turn.detection={self.turn.detection}") if cut else []

    def _turn_dropped(self) -> list[Decision]:
        self._forget()
        return self._resume("turn_dropped") if self._here.is_quiet else []

    def _forget(self) -> None:
        """What was said so far is no turn. A batch recogniser's answers to it are still to come."""
        state = self.state
        late = self.streaming and bool(state.interim)
        self._set(finals=(), interim="", dropped=state.recognizing, late_final=late, commit_asked=None, pushing=False)
        self._set(turn_since=None, monologue=False, answered_aside=False, spoken=self.user_speaking)

    # Time.

    def _passed(self) -> list[Decision]:
        """What is due because time went by."""
        decisions: list[Decision] = []
        if self._is_due(self._here.interrupt_at):
            policy = self._here.policy
            decisions += self._interrupt(
                "speech_duration", f"{policy.where}.min_duration={policy.settings.min_duration}"
            )
        if self._is_due(self.state.hold_until):
            timeout = self.turn.interruption.false_timeout
            decisions += self._resume("false_interruption", f"turn.interruption.false_timeout={timeout}")
        elif self._is_due(self._here.resume_at):
            self._set(noisy=True)
            decisions += self._resume("noise")
        if self._is_due(self._here.short_at):
            self._set(held=False, hold_until=None, short_sound=True)
            decisions += [ResumeSpeech(rule="short_sound", value=self._short_value)]
        if self._is_due(self._here.limit_at):
            decisions += self._limit_reached()
        ending = self._here.ending
        if ending is not None and self._is_due(ending[0]):
            decisions += self._commit(ending[1].rule, ending[1].value)
        return decisions

    def _limit_reached(self) -> list[Decision]:
        limit = self.turn.max_speech
        assert limit is not None
        value = f"turn.max_speech.after={limit.after}"
        if limit.say:
            self._set(monologue=True)
            return [SayOver(rule="max_speech", value=value, text=limit.say)]
        return self._commit("max_speech", value)

    # Decisions that change the state.

    def _commit(self, rule: str, value: str) -> list[Decision]:
        state, text = self.state, self._here.text
        if not text:
            self._set(commit_asked=None)
            return []
        commit = CommitTurn(
            rule=rule,
            value=value,
            text=text,
            ended_at=state.last_speech if state.spoken else state.words_at,
            words_at=state.words_at,
            language=state.language,
        )
        interrupted = self._interrupt("turn_committed", "") if self._here.agent_has_turn else []
        late, going_on = bool(state.interim) and self.streaming, self.user_speaking
        self._set(late_final=late, late_words=state.interim if going_on else "", spoken=going_on)
        self._set(finals=(), interim="", provider_ended=False, language=None, commit_asked=None, pushing=False)
        self._set(turn_since=state.speaking_since, monologue=False, answered_aside=False, probability=None)
        self._set(noisy=state.noisy or rule == "noise")
        return [*interrupted, commit]

    def _value(self, name: str) -> str:
        """The configuration behind a list of phrases: the file's, or the language's own."""
        own = getattr(self.turn.interruption, name) is None
        return f"turn.interruption.{name}" + (f"={self.state.language or self.language}" if own else "")
