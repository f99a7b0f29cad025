"""What the turn machine's state means at one moment: who has the turn, what counts, what is due when. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentd.config.turns import Turn
from agentd.session import endpointing, false_words, waking
from agentd.session.endpointing import Wait
from agentd.session.interruption import Phase, Policy, Verdict, policy, verdict
from agentd.session.phrasebook import Phrasebook, phrasebook
from agentd.session.turn_state import Agent, TurnState

LATE_WORDS_S = 2.0
"""How long after the endpointing delay a streaming recogniser may take to finalise words that it has shown as
interim ones, before the turn is committed with those. From Deepgram's and ElevenLabs' usual finals (0.2 to 1 s)."""

NOISE_S = 10.0
"""Sound that brings no word for this long is none of the caller's words, whatever the VAD says: people who talk pause
for breath well before, which ends an utterance and has it recognised."""

SHORT_LULL_S = 0.064
"""Silence after a short sound by which it is over: two windows of a voice activity detector."""

FALSE_HOLDS = 2
"""So often is a reply paused for nothing. Then it is a noisy place, and only words stop the rest of it."""


@dataclass(frozen=True, slots=True)
class Situation:
    """`language`: the agent's own."""

    turn: Turn
    state: TurnState
    language: str
    now: float

    # Who has the turn.

    @property
    def agent_has_turn(self) -> bool:
        return self.state.agent is not Agent.SILENT

    @property
    def can_interrupt(self) -> bool:
        return self.state.interruptible and self.policy.settings.enabled

    @property
    def must_finish(self) -> bool:
        """The agent speaks and must not be cut."""
        return self.agent_has_turn and not self.can_interrupt

    @property
    def text(self) -> str:
        """The caller's turn so far."""
        return " ".join(part for part in (*self.state.finals, self.state.interim) if part)

    @property
    def is_quiet(self) -> bool:
        """The caller is silent, and what they said is known."""
        return self.state.speaking_since is None and not self.state.recognizing

    # What counts.

    @property
    def policy(self) -> Policy:
        phase: Phase = "speaking" if self.state.agent is Agent.SPEAKING else "thinking"
        language = self.state.language or self.language
        return policy(self.turn.interruption, "tool" if self.state.tools else phase, language)

    @property
    def book(self) -> Phrasebook:
        return phrasebook(self.state.language or self.language)

    @property
    def is_awake(self) -> bool:
        until = self.state.awake_until
        going_on = bool(self.text) or (self.agent_has_turn and until is not None)
        return self.turn.wake_phrase is None or going_on or (until is not None and self.now < until)

    @property
    def listens(self) -> bool:
        """Speech means something: it does not wait for the wake phrase, nor for a button."""
        return self.turn.detection != "manual" and self.is_awake

    @property
    def is_deaf(self) -> bool:
        """Words of an utterance that lies within speech that cannot be interrupted are not taken."""
        keeps = self.turn.interruption.uninterruptible == "keep"
        return self.state.deaf_to_speech and self.must_finish and not keeps

    @property
    def may_hold(self) -> bool:
        """Whether the onset of speech silences the agent before there are words."""
        state, settings = self.state, self.policy.settings
        if not self.agent_has_turn or state.held or self.must_finish or not self.listens:
            return False
        if state.noisy or state.echoing or state.false_holds >= FALSE_HOLDS or self.warms_up:
            return False
        return settings.resume_false and (settings.detection == "duration" or not settings.min_words)

    @property
    def overlaps(self) -> bool:
        """Both speak, and an opinion of the sound, if there is one to be had, decides what becomes of it."""
        state, settings = self.state, self.policy.settings
        if state.overlap_since is None or state.speaking_since is None or not self.agent_has_turn:
            return False
        if self.must_finish or not self.listens or state.noisy or state.echoing or self.warms_up:
            return False
        return settings.detection == "detector" or (settings.detection == "auto" and not settings.min_words)

    @property
    def warms_up(self) -> bool:
        """The caller's echo canceller has not adapted to the agent's voice yet."""
        until = self.state.warm_until
        return self.state.agent is Agent.SPEAKING and until is not None and self.now < until

    def verdict(self, text: str) -> Verdict:
        return verdict(text, self.policy)

    def is_own(self, text: str, since: float, until: float) -> bool:
        return false_words.is_own_echo(text, since, until, self.state.said, self.book)

    def goes_on(self, since: float) -> bool:
        """Speech from then on belongs to the turn before it, though that may have been taken for ended."""
        state = self.state
        pending = bool(self.text or state.recognizing)
        cut_in = state.agent is Agent.THINKING and not self.must_finish
        return (pending or cut_in) and state.last_speech < since <= state.last_speech + self.turn.endpointing.max_delay

    # What is due when.

    @property
    def interrupt_at(self) -> float | None:
        """When the length of the speech alone interrupts; None in a silence."""
        settings, since, state = self.policy.settings, self.state.speaking_since, self.state
        if since is None or state.lull_since is not None or not self._counts_duration or not self.listens:
            return None
        if not self.agent_has_turn or not self.can_interrupt or state.echoing or state.noisy or self.warms_up:
            return None
        return max(since, state.reply_since) + settings.min_duration + state.lulls_s

    @property
    def _counts_duration(self) -> bool:
        settings = self.policy.settings
        nothing_else = settings.detection == "auto" and not settings.resume_false and not settings.min_words
        return settings.detection == "duration" or nothing_else

    @property
    def resume_at(self) -> float | None:
        """When the agent goes on because no words came."""
        if not self.state.held:
            return None
        noise_at = self.state.held_since + NOISE_S
        return noise_at if self.state.hold_until is None else min(noise_at, self.state.hold_until)

    @property
    def short_at(self) -> float | None:
        """When a sound over the agent's speech was a short one, which need not hold it: "uh-huh", a cough. None before
        the agent is heard, and where its length or a detector's opinion alone is to count."""
        state, settings = self.state, self.policy.settings
        if not state.held or state.agent is not Agent.SPEAKING or state.lull_since is None or state.interim:
            return None
        if state.speaking_since is None or self.text or settings.detection not in ("auto", "words"):
            return None
        short = state.lull_since - state.speaking_since <= settings.short_sound
        return state.lull_since + SHORT_LULL_S if short else None

    @property
    def limit_at(self) -> float | None:
        """When a monologue has lasted long enough."""
        limit, state = self.turn.max_speech, self.state
        if limit is None or state.monologue or state.turn_since is None or not self.listens:
            return None
        if state.speaking_since is None or self.agent_has_turn or not (limit.say or self.text):
            return None
        return state.turn_since + limit.after

    @property
    def ending(self) -> tuple[float, Wait] | None:
        """When the caller's turn ends, as far as is known now, and why."""
        state = self.state
        if state.commit_asked is not None:
            return self._asked_ending(state.commit_asked)
        if self.turn.detection == "manual" or self.must_finish or not self.text or self._must_wait:
            return None
        if state.speaking_since is not None:
            at = max(state.words_at, state.speaking_since) + NOISE_S
            return at, Wait(seconds=NOISE_S, rule="noise", value="")
        if state.recognizing or state.judging:
            return None
        wait = self._wait()
        return (state.last_speech if state.spoken else state.words_at) + wait.seconds, wait

    @property
    def _must_wait(self) -> bool:
        """What is too little to interrupt the agent with ends no turn either, while it speaks: that would cut it."""
        return self.state.agent is Agent.SPEAKING and self.verdict(self.text) == "too_few"

    def _asked_ending(self, asked_at: float) -> tuple[float, Wait] | None:
        """Ended by hand: at once, or with the words that are still on their way."""
        state = self.state
        if self.must_finish:
            return None
        outstanding = state.commit_in_speech or state.recognizing or state.interim or not self.text
        late_s = LATE_WORDS_S if outstanding else 0.0
        return asked_at + late_s, Wait(seconds=late_s, rule="manual", value=f"turn.detection={self.turn.detection}")

    def _wait(self) -> Wait:
        """The silence that ends this turn."""
        state, settings = self.state, self.turn.endpointing
        if state.answered_aside:
            value = f"turn.interruption.backchannel_boundary={self.turn.interruption.backchannel_boundary}"
            return Wait(seconds=settings.min_delay, rule="answer_at_the_end", value=value)
        if self.turn.detection == "realtime" and state.provider_ended:
            return Wait(seconds=0.0, rule="realtime", value="turn.detection=realtime")
        if self.turn.detection == "stt":
            wait = endpointing.by_provider(settings, ended=state.provider_ended)
        else:
            heard = endpointing.Heard(
                text=self.text,
                asked=state.asked,
                probability=state.probability,
                pause_s=state.pause_s,
                punctuated=state.punctuated and not state.interim,
            )
            wait = endpointing.delay(heard, settings, self.book)
        late = replace(wait, seconds=wait.seconds + LATE_WORDS_S, rule="late_words")
        return late if state.interim else wait

    def awake_until(self) -> float | None:
        """How long the agent stays awake after this moment; None without a wake phrase."""
        return waking.awake_until(self.turn, self.now)
