"""When an answer is begun before the caller's turn has surely ended, and when what was begun is thrown away. Pure.

An attempt begins as soon as the caller is silent, all of their words are known, and a short silence would end the
turn: not while it seems unfinished. It ends with more words, with speech of the agent's own, or with the end of the
turn, whose text must be the attempt's.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentd.config.turns import Preemptive
from agentd.session.endpointing import Wait
from agentd.session.events import Decision
from agentd.session.turns import Agent, TurnState

MORE_TO_COME = frozenset(
    {"unfinished", "digits_missing", "turn_detector", "max_delay", "late_words", "noise", "manual"}
)
"""Rules by which a turn ends although it did not seem to: an answer to what was said so far would mostly be in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEarly(Decision):
    """Ask the model now, as if the turn had ended with this text; nothing of it may be seen or heard yet."""

    text: str
    attempt: int  # of this turn, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DropEarly(Decision):
    """Throw the attempt away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipEarly(Decision):
    """Wait for the end of the turn, because a limit says so."""


@dataclass(slots=True)
class Preemption:
    """One session's attempts. `allowed`: whether more may begin; `running`: the text of the one under way; `tried`:
    the last that was decided on."""

    settings: Preemptive
    allowed: bool = True
    running: str | None = None
    tried: str | None = None
    attempts: int = 0

    def step(self, turn: TurnState, ending: Wait | None) -> list[Decision]:
        """To be called after each step of the turn machine. `ending`: the silence that would end the turn."""
        if not self.settings.llm:
            return []
        words = " ".join(turn.finals)
        complete = bool(words) and not turn.interim
        dropped = self._drop(turn, words, complete=complete)
        silent = turn.speaking_since is None and not turn.recognizing and turn.agent is Agent.SILENT
        likely = ending is not None and ending.rule not in MORE_TO_COME
        begun = self.running is not None or words == self.tried
        if not (complete and likely and silent and self.allowed) or begun:
            return dropped
        return [*dropped, self._begin(words, turn.last_duration_s)]

    def commit(self, text: str) -> DropEarly | None:
        """The turn has ended with this text; not None: the attempt under way was for another one."""
        running, self.running, self.tried, self.attempts = self.running, None, None, 0
        return DropEarly(rule="other_text") if running is not None and running != text else None

    def _drop(self, turn: TurnState, words: str, *, complete: bool) -> list[Decision]:
        if self.running is None:
            return []
        if turn.agent is not Agent.SILENT:
            self.running = self.tried = None  # the same words may be tried again in what is then the context
            return [DropEarly(rule="agent_speaks")]
        if complete and words == self.running:
            return []
        self.running = None
        return [DropEarly(rule="more_words")]

    def _begin(self, words: str, speech_s: float) -> Decision:
        self.tried = words
        if speech_s > self.settings.max_speech:
            return SkipEarly(rule="long_speech", value=f"turn.preemptive.max_speech={self.settings.max_speech}")
        if self.attempts >= self.settings.max_retries:
            return SkipEarly(rule="attempts", value=f"turn.preemptive.max_retries={self.settings.max_retries}")
        self.attempts += 1
        self.running = words
        value = "turn.preemptive.tts=true" if self.settings.tts else "turn.preemptive.llm=true"
        return StartEarly(rule="words_known", value=value, text=words, attempt=self.attempts)
