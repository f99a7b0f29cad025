"""The agent's side of the turn machine: what it says, and when its sound is held, goes on, or is cut. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agentd.config.turns import Turn
from agentd.session import false_words
from agentd.session.events import (
    AgentWords,
    Decision,
    Interrupt,
    InterruptionsAllowed,
    Overlap,
    OverlapJudged,
    PauseSpeech,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    ToolsRunning,
    TurnEvent,
)
from agentd.session.situation import Situation
from agentd.session.turn_state import Agent, TurnState

ASKED_CHARACTERS = 300
"""Of what the agent said last, kept to see what it asked for."""


@dataclass(slots=True)
class Yielding:
    """State and settings of one session's turn machine, and what the agent's speech and the overlap with it do."""

    turn: Turn
    streaming: bool
    language: str = "en"
    warm: bool = False
    state: TurnState = field(default_factory=TurnState)
    now: float = 0.0  # of the last step

    @property
    def user_speaking(self) -> bool:
        return self.state.speaking_since is not None

    @property
    def _here(self) -> Situation:
        return Situation(self.turn, self.state, self.language, self.now)

    def _agent_event(self, event: TurnEvent) -> list[Decision]:
        match event:
            case ReplyStarted(interruptible):
                return self._reply_started(interruptible=interruptible)
            case ReplyAudible():
                warm_s = 0.0 if self.warm else self.turn.interruption.echo_warmup
                warm_until = self.state.warm_until
                self._set(agent=Agent.SPEAKING, warm_until=self.now + warm_s if warm_until is None else warm_until)
            case AgentWords(text):
                self._agent_words(text)
            case ToolsRunning(running):
                self._set(tools=running and self.state.agent is not Agent.SILENT)
            case InterruptionsAllowed(allowed):
                return self._allow_interruptions(allowed=allowed)
            case ReplyEnded():
                return self._reply_ended()
            case OverlapJudged():
                return self._overlap_judged(event)
        return []

    def _reply_started(self, *, interruptible: bool) -> list[Decision]:
        self._set(agent=Agent.THINKING, interruptible=interruptible, tools=False, false_holds=0, aside=None)
        self._set(replying_anew=True, hold_until=None, held_since=self.now, reply_since=self.now)
        listens = self._here.listens or self.state.pushing
        self._set(held=self.user_speaking and listens and self._here.can_interrupt and not self.state.noisy)
        return [PauseSpeech(rule="caller_is_speaking")] if self.state.held else []

    def _allow_interruptions(self, *, allowed: bool) -> list[Decision]:
        if self.state.agent is Agent.SILENT:
            return []
        held = self.state.held and not allowed
        self._set(interruptible=allowed)
        if not held:
            return []
        self._set(held=False, hold_until=None)
        return [ResumeSpeech(rule="tool_disallows_interruptions")]

    def _agent_words(self, text: str) -> None:
        before = "" if self.state.replying_anew else self.state.asked
        gap = "" if not before or before[-1].isspace() or text[:1].isspace() else " "
        said = false_words.remember(self.state.said, text, self.now)
        self._set(asked=(before + gap + text)[-ASKED_CHARACTERS:], replying_anew=False, said=said)

    def _reply_ended(self) -> list[Decision]:
        """An acknowledgement that came with the last words is the answer to them."""
        aside, boundary = self.state.aside, self.turn.interruption.backchannel_boundary
        decisions = self._overlapped("outlasted") if self.user_speaking else []
        self._silent()
        if aside is not None and not self.state.finals and self.now - aside.at <= boundary:
            self._set(finals=(aside.text,), words_at=self.now, answered_aside=True, spoken=True)
        return decisions

    def _silent(self) -> None:
        awake_until = self.state.awake_until
        if awake_until is not None:
            awake_until = self._here.awake_until()
        self._set(agent=Agent.SILENT, held=False, hold_until=None, interruptible=True, tools=False, aside=None)
        self._set(awake_until=awake_until, overlap_since=None)

    def _overlap_judged(self, event: OverlapJudged) -> list[Decision]:
        """The sound alone may end the overlap. Once in an utterance the opinion that it is nothing is believed, and
        once it is taken back; words decide in the end."""
        state = self.state
        if not self._here.overlaps or event.since != state.utterance_since:
            return []
        match event.outlook:
            case "interrupts":
                return self._interrupt("interruption_heard", event.value)
            case "ignored" if state.held and not state.overheard:
                self._set(held=False, hold_until=None, overheard="ignored")
                return [ResumeSpeech(rule="no_interruption_heard", value=event.value)]
            case "open" if state.overheard == "ignored" and self._here.may_hold:
                self._set(held=True, held_since=self.now, overheard="reconsidered")
                return [PauseSpeech(rule="speech_goes_on", value=event.value)]
        return []

    def _interrupt(self, rule: str, value: str) -> list[Decision]:
        overlapped = self._overlapped("interruption")
        self._silent()
        return [Interrupt(rule=rule, value=value), *overlapped]

    def _resume(self, rule: str, value: str = "") -> list[Decision]:
        held, overlapped = self.state.held, self._overlapped(rule)
        false_holds = self.state.false_holds + (held and rule != "acknowledgement")
        self._set(held=False, hold_until=None, false_holds=false_holds)
        return [*([ResumeSpeech(rule=rule, value=value)] if held else []), *overlapped]

    def _overlapped(self, outcome: str) -> list[Decision]:
        since = self.state.overlap_since
        self._set(overlap_since=None)
        return [] if since is None else [Overlap(rule=outcome, since=since, until=self.now)]

    def _is_due(self, at: float | None) -> bool:
        return at is not None and self.now >= at

    def _set(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
