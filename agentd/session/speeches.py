"""What a session is to say: the queue, the handles of those who asked, and the record of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentd.session.causes import caused_by, causes
from agentd.session.conversation import Conversation
from agentd.session.events import Voice
from agentd.session.inbox import Cancel, SessionEvent, Speak
from agentd.session.plan import Plan
from agentd.session.speech import AGAIN, SpeechHandle
from agentd.session.speech_queue import SpeechQueue

OWN = frozenset({"greeting", "idle", "warning"})
"""Purposes of what an agent says for itself."""


class Speeches:
    """`request` may be called from anywhere on the loop; all else is for the session's own task."""

    def __init__(self, conversation: Conversation, post: Callable[[SessionEvent], None]) -> None:
        """`post` puts an event before the session's task; it must not block."""
        self._conversation = conversation
        self._post = post
        self._queue = SpeechQueue()
        self._handles: dict[str, SpeechHandle] = {}
        self._made = 0
        self._closed = False

    def __len__(self) -> int:
        """How many wait to be said."""
        return len(self._queue)

    @property
    def answers(self) -> bool:
        """A turn of the caller's waits for its answer."""
        return any(plan.purpose == "answer" for plan in self._queue)

    def waits(self, speech: str) -> bool:
        """Whether it is still to begin."""
        return any(plan.speech == speech for plan in self._queue)

    def request(self, plan: Plan) -> SpeechHandle:
        """Has this said when its turn comes. After the session has ended the handle is done at once."""
        plan = self._named(plan)
        handle = SpeechHandle(plan.speech, lambda speech, force: self._post(Cancel(speech, force)))
        if self._closed:
            handle.finish(interrupted=True)
        else:
            self._handles[plan.speech] = handle
            self._post(Speak(plan))
        return handle

    def add(self, plan: Plan) -> None:
        """Queues it, and records that it was."""
        plan = self._named(plan)
        self._queue.add(plan)
        with caused_by(plan.causes):
            self._record_created(plan)

    def _record_created(self, plan: Plan) -> None:
        self._conversation.record(
            "speech.created",
            speech=plan.speech,
            purpose=plan.purpose,
            source="generate_reply" if plan.generate else "say",
            requested=plan.requested,
            priority=plan.priority,
            interruptible=plan.interruptible,
            in_history=plan.in_history,
            text=plan.text,
            instruction=plan.instruction,
            user_input=plan.user_input,
            end_call=plan.end_call,
            causes=sorted(plan.causes),
            turn=plan.number,
            again=plan.priority == AGAIN,
        )

    def restore(self, plan: Plan) -> None:
        """Queues what an earlier incarnation had queued and recorded."""
        self._queue.add(plan)

    def begin(self, *, caller_has_turn: bool, answers_wait: bool = False) -> Plan | None:
        """The next one, which is now being said; None when none is to be said now."""
        plan = self._queue.next(caller_has_turn=caller_has_turn, answers_wait=answers_wait)
        if plan is not None and plan.speech in self._handles:
            self._handles[plan.speech].begin()
        return plan

    def finish(self, plan: Plan, *, interrupted: bool) -> None:
        """It was said, or is not going to be."""
        with caused_by(plan.causes):
            self._conversation.record(
                "speech.finished", speech=plan.speech, requested=plan.requested, interrupted=interrupted
            )
        handle = self._handles.pop(plan.speech, None)
        if handle is not None:
            handle.finish(interrupted=interrupted)

    def cancel(self, speech: str) -> bool:
        """Takes it out of the queue; False when it is not there."""
        return self._drop(lambda plan: plan.speech == speech)

    def supersede(self, voice: Voice) -> None:
        """Takes out the answers to earlier turns of this voice: the answer to its next turn knows of them."""
        self._drop(lambda plan: plan.number is not None and plan.voice == voice)

    def drop_results(self) -> None:
        """Takes out what was to speak of results that were spoken of since."""
        self._drop(lambda plan: plan.purpose == "result")

    def drop_requested(self, *, force: bool) -> None:
        """Takes out what somebody asked for, but not what must be heard unless `force`. The agent's own stays."""
        self._drop(lambda plan: plan.requested and (force or plan.interruptible))

    def follow_agent(self) -> None:
        """Another agent has the call: what the one before would have said by itself is not said, and what it made of an
        answer is not used."""
        self._drop(lambda plan: plan.purpose in OWN)
        self.forget_early("handoff")

    def forget_early(self, rule: str) -> None:
        """The answers that wait are made anew, and not of what was begun before."""
        for plan in self._queue.take_out(lambda plan: plan.early is not None):
            assert plan.early is not None
            plan.early.drop(rule)
            self._queue.add(replace(plan, early=None))

    def close(self) -> None:
        """The session is over: nothing more is said."""
        self._closed = True
        self._drop(lambda plan: True)
        for handle in self._handles.values():
            handle.finish(interrupted=True)
        self._handles.clear()

    def _drop(self, which: Callable[[Plan], bool]) -> bool:
        dropped = self._queue.take_out(which)
        for plan in dropped:
            self.finish(plan, interrupted=True)
        return bool(dropped)

    def _named(self, plan: Plan) -> Plan:
        plan = replace(plan, causes=plan.causes | causes())
        if plan.speech:
            return plan
        self._made += 1
        return replace(plan, speech=f"speech-{self._conversation.setup.incarnation}-{self._made}")
