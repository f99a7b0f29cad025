"""Answers that a realtime model begins while the caller's words are still being written down.

The model has heard the caller to their end, so it need not wait for the transcript; the session does, because the words
decide whether there was a turn at all. Until then nothing of the answer is heard, remembered or done.
"""

from __future__ import annotations

from agentd.aio import now
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER
from agentd.session.floor import Floor
from agentd.session.history import agent_id, tools_id
from agentd.session.model_request import first_choice
from agentd.session.realtime import RealtimeLink
from agentd.session.realtime_answer import Answer, Question
from agentd.session.turn_state import Agent, TurnState


class RealtimeEarly:
    """One session's: at most one answer is begun early. Where the model does not end turns, none is."""

    def __init__(self, conversation: Conversation, link: RealtimeLink) -> None:
        self._conversation = conversation
        self._link = link
        self._set_up()
        self._answer: Answer | None = None
        self._began = 0.0
        self._committed = False
        self._attempts = 0  # of this turn
        self._number = 0  # of the one under way

    def _set_up(self) -> None:
        turn = self._conversation.definition.turn
        self._settings = turn.preemptive
        self._on = turn.detection == "realtime" and turn.preemptive.llm

    def follow_agent(self) -> None:
        """Another agent has the call, and begins early as its file says."""
        self.drop("handoff")
        self._set_up()

    def follow(self, machine: Floor) -> None:
        """To be called after each step of the machine."""
        state = machine.state
        quiet = state.speaking_since is None
        if self._answer is not None:
            if not self._committed and (not quiet or not state.recognizing or state.agent is not Agent.SILENT):
                self.drop("no_turn" if quiet else "more_words")
        elif self._on and self._conversation.busy.early and self._is_time(state):
            self._begin()

    def _is_time(self, state: TurnState) -> bool:
        """The model says that the caller is done, and the words are still to come."""
        done = state.speaking_since is None and state.recognizing > 0 and state.provider_ended
        few = state.last_duration_s <= self._settings.max_speech and self._attempts < self._settings.max_retries
        return done and few and state.agent is Agent.SILENT

    def committed(self) -> None:
        """The turn has ended: the next answer is this one's."""
        self._committed, self._attempts = self._answer is not None, 0

    def take(self, question: Question) -> Answer | None:
        """The answer that was begun, if it is what is asked for now and the model knew all that it should."""
        answer = self._answer
        if answer is None:
            return None
        same = self._committed and question == answer.question and not answer.failed
        if not same or not self._link.knows_all_but(question):
            self.drop("context_changed" if self._committed else "other_answer")
            return None
        self._record("used", answer, reply=self._conversation.replies)
        self._answer, self._committed = None, False
        return answer

    def drop(self, rule: str) -> None:
        """Nobody wants it any more."""
        answer, self._answer, self._committed = self._answer, None, False
        if answer is not None:
            self._link.discard(answer)
            self._record("dropped", answer, rule=rule, value="")

    def _begin(self) -> None:
        number = self._conversation.replies + 1
        choice = first_choice(self._conversation, THE_CALLER)
        question = Question(entry=agent_id(number, 0), tool_round=tools_id(number), tool_choice=choice)
        self._answer = self._link.ask_now(question)
        if self._answer is not None:
            self._began = now()
            self._attempts += 1
            self._number = self._attempts

    def _record(self, outcome: str, answer: Answer, **more: object) -> None:
        self._conversation.record(
            "preemption",
            attempt=self._number,
            outcome=outcome,
            ran_s=round(now() - self._began, 4),
            characters=answer.written,
            **more,
        )
