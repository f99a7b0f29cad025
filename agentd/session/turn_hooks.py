"""Hooks before a reply: the caller's turn has ended, and waits until they have said what is to become of it.

An answer that was begun early goes on meanwhile, and is taken if no hook changes the turn. One that takes too long is
gone on without. Turns keep their order, and one that waits is in the journal: it is not lost with the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentd.config.conditions import holds
from agentd.session.causes import NOBODY
from agentd.session.conversation import Conversation
from agentd.session.early import EarlyAnswer
from agentd.session.events import CommitTurn
from agentd.session.hook_actions import HookActions
from agentd.session.numbered_hooks import NumberedHook, numbered_hooks
from agentd.session.timing import TurnTiming
from agentd.tools.spec import Event, HookOutcome, TurnChange


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTurn:
    """A turn that has ended and is not told to the model yet."""

    turn: CommitTurn
    language: str
    timing: TurnTiming
    early: EarlyAnswer | None


@dataclass(frozen=True, slots=True)
class TurnChecked:
    """The hooks have spoken, or their time is up. `setting`, `place`: of the last hook that changed something, by its
    name ("hooks[0]") and in its file."""

    held: HeldTurn
    change: TurnChange
    setting: str = ""
    place: str = ""


class TurnHooks:
    """One session's. `post` puts what came out before the session's task."""

    def __init__(self, conversation: Conversation, actions: HookActions, post: Callable[[TurnChecked], None]) -> None:
        self._conversation = conversation
        self._actions = actions
        self._post = post
        self._hooks: list[NumberedHook] = []
        self.follow_agent()
        self._in_order = asyncio.Lock()
        self._held: list[HeldTurn] = []

    def __len__(self) -> int:
        """How many turns wait."""
        return len(self._held)

    def follow_agent(self) -> None:
        """To be called when none waits: the agent's hooks look at the turns that come."""
        self._hooks = [each for each in numbered_hooks(self._conversation) if each.hook.is_before_reply]

    def hold(self, held: HeldTurn, tasks: asyncio.TaskGroup) -> bool:
        """Has the hooks look at it; False where there are none that want it."""
        wanted = any(holds(each.hook.if_, self._event(held, TurnChange()).data) for each in self._hooks)
        if not self._held and not wanted:
            return False
        self._held.append(held)
        turn = held.turn
        self._conversation.record(
            "turn.held",
            text=turn.text,
            source=turn.source,
            rule=turn.rule,
            language=held.language,
            **self._conversation.whose(turn.voice),
        )
        tasks.create_task(self._check(held, tasks))
        return True

    def done(self, checked: TurnChecked) -> None:
        self._held.remove(checked.held)

    def end(self) -> None:
        """The call is over."""
        for held in self._held:
            if held.early is not None:
                held.early.drop("session_ended")

    async def _check(self, held: HeldTurn, tasks: asyncio.TaskGroup) -> None:
        whole, last = TurnChange(), ("", "")
        async with self._in_order:
            for each in self._hooks:
                event = self._event(held, whole)
                if not holds(each.hook.if_, event.data):
                    continue
                task = tasks.create_task(self._actions.run(each, event, NOBODY))
                change = await self._answer(task, each.hook.timeout_s)
                if change is not None:
                    whole, last = _both(whole, change), (each.setting, each.place)
                if whole.drop:
                    break
            self._post(TurnChecked(held, whole, *last))

    async def _answer(self, task: asyncio.Task[HookOutcome], timeout_s: float) -> TurnChange | None:
        """None as well when there is none in time: the reply does not wait for the end of a process that hangs, which
        is ended by its own deadline."""
        _, late = await asyncio.wait([task], timeout=timeout_s)
        return None if late else task.result().change

    def _event(self, held: HeldTurn, change: TurnChange) -> Event:
        conversation = self._conversation
        data = {
            "text": held.turn.text if change.text is None else change.text,
            "turn": conversation.turns + 1 + (self._held.index(held) if held in self._held else 0),
            "language": held.language,
            "source": held.turn.source,
            "speaker": conversation.people.identity(held.turn.voice),
        }
        return Event(
            type="before_reply",
            session=conversation.setup.id,
            agent=conversation.definition.name,
            at=time.time(),
            data=data,
        )


def _both(first: TurnChange, second: TurnChange) -> TurnChange:
    contexts = "\n\n".join(text for text in (first.context, second.context) if text)
    text = first.text if second.text is None else second.text
    return replace(second, text=text, context=contexts)
