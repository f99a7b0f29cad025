"""A turn of the caller's that has ended: hooks may look at it, then it is in the conversation, and an answer is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agentd.aio import now
from agentd.session.consent import Consents
from agentd.session.conversation import Conversation
from agentd.session.early import EarlyAnswer
from agentd.session.events import CommitTurn
from agentd.session.hook_actions import literal
from agentd.session.plan import Plan
from agentd.session.speeches import Speeches
from agentd.session.tasks import THE_MODEL, Tasks
from agentd.session.timing import TurnTiming
from agentd.session.turn_hooks import HeldTurn, TurnChecked, TurnHooks
from agentd.tools.spec import TurnChange


class CallerTurns:
    """One session's. For its own task. `added` is told what became of each turn: its number and its text, or None when
    it was dropped."""

    def __init__(
        self,
        conversation: Conversation,
        speeches: Speeches,
        hooks: TurnHooks,
        consents: Consents,
        tasks: Tasks,
        added: Callable[[CommitTurn, int, str | None], None],
    ) -> None:
        self._told = added
        self._tasks = tasks
        self._conversation = conversation
        self._speeches = speeches
        self._hooks = hooks
        self._consents = consents

    def __len__(self) -> int:
        """How many turns hooks still look at."""
        return len(self._hooks)

    def commit(
        self, turn: CommitTurn, speech_ended: float | None, early: EarlyAnswer | None, tasks: asyncio.TaskGroup
    ) -> None:
        """`speech_ended`: when the VAD was sure of it; `early`: what was made of the answer by now."""
        language = self._conversation.hear_language(turn)
        timing = TurnTiming(
            last_speech=turn.ended_at, speech_ended=speech_ended, words_at=turn.words_at, committed=now()
        )
        held = HeldTurn(turn=turn, language=language, timing=timing, early=early)
        if not self._hooks.hold(held, tasks):
            self._add(held, TurnChange())

    def checked(self, checked: TurnChecked) -> bool:
        """The hooks have looked at it; False: there is to be no reply."""
        self._hooks.done(checked)
        held, change = checked.held, checked.change
        changed = change.drop or change.context or change.text not in (None, held.turn.text)
        if changed and held.early is not None:
            held.early.drop("hook", checked.setting)
            held = replace(held, early=None)
        if change.drop:
            self._conversation.record("decision", rule="hook", action="DropTurn", value=checked.setting)
            self._told(held.turn, 0, None)
        else:
            self._add(held, change, checked.place)
        return not change.drop

    def end(self) -> None:
        """The call is over."""
        self._hooks.end()

    def _add(self, held: HeldTurn, change: TurnChange, place: str = "") -> None:
        """As it was said, or as hooks want it."""
        conversation, turn = self._conversation, held.turn
        text = turn.text if change.text is None else change.text
        changed = {"heard": turn.text, "hook": place} if text != turn.text else {}
        number = conversation.take_turn(replace(turn, text=text), held.language, **changed)
        if conversation.people.take_turns or conversation.muting.voice:
            self._speeches.supersede(turn.voice)
        self._told(turn, number, text)
        answered = self._consents.answered(turn, held.language)  # as it was said, not as hooks want it
        answer = self._tasks.answer(turn, text) if answered is None else THE_MODEL
        if held.early is not None and (answered is not None or answer is not THE_MODEL):
            held.early.drop("consent" if answered is not None else "task")
            held = replace(held, early=None)
        if answer.later:
            return
        instructions = (literal(change.context), answered.instruction if answered else "")
        self._speeches.add(
            Plan(
                purpose="answer",
                text=answer.text or "",
                generate=answer.text is None,
                calls=answered.calls if answered else (),
                instruction="\n\n".join(text for text in instructions if text) or None,
                turn=turn,
                timing=held.timing,
                early=held.early,
                interruptible=turn.rule != "max_speech",  # which takes the turn from a caller who goes on talking
                number=number,
                voice=turn.voice,
            )
        )
