"""The hooks of one session: one event at a time, in order, beside the conversation, which never waits for them.

What a hook has brought about is not given to it again (`agentd.session.causes`), so no hook can go on for ever. When
events come faster than the hooks take them, the oldest are lost, and the journal says how many.
"""

from __future__ import annotations

import asyncio
import logging

from agentd.aio import cancel_and_wait
from agentd.config.conditions import holds
from agentd.session.causes import causes
from agentd.session.conversation import Conversation
from agentd.session.hook_actions import HookActions
from agentd.session.hook_queue import LAST, HookQueue, Waiting
from agentd.session.numbered_hooks import NumberedHook, numbered_hooks
from agentd.tools.spec import Event

log = logging.getLogger(__name__)

BACKLOG_S = 5.0  # after the end of a call, for what still waits
CLOSE_S = 5.0  # then for the hooks on its close, if they have not had their turn
ENTERING = frozenset({"session_started", "participant_linked"})
RESUMED_FIELDS = frozenset({"incarnation", "gap", "returned"})
"""A hook whose condition names one of these wants to be told of a call that goes on in another process."""


class Hooks:
    """`take` may be called from anywhere on the loop; it never waits."""

    def __init__(self, conversation: Conversation, actions: HookActions) -> None:
        self._conversation = conversation
        self._actions = actions
        self._hooks = numbered_hooks(conversation)
        self._tasks: asyncio.TaskGroup | None = None
        restored = conversation.setup.restored
        self._entered = restored.entered if restored else frozenset()
        self._queue = HookQueue()
        self._stirred = asyncio.Event()
        self._closed = False
        self._giving = ""  # the type of the event that a hook has now
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._begin()

    def follow_agent(self) -> None:
        """Another agent has the call: what happens from now on is for its hooks. What waits is for those before."""
        self._hooks = numbered_hooks(self._conversation)
        self._begin()

    def _begin(self) -> None:
        if self._task is None and self._tasks is not None and any(each.types for each in self._hooks):
            self._task = self._tasks.create_task(self._run())

    def take(self, event: Event) -> None:
        """Queues it for the hooks that want it."""
        if self._task is None or self._closed:
            return
        wanting = tuple(each for each in self._hooks if self._wants(each, event))
        if event.type == "participant_linked":
            self._entered = frozenset(each for each in self._entered if each[1] != event.type)
        if wanting:
            self._queue.add(Waiting(event, wanting, causes()))
            self._stirred.set()

    async def finish(self) -> None:
        """The call is over: its last events are given to the hooks, within `BACKLOG_S` and `CLOSE_S`."""
        self._closed = True
        self._stirred.set()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=BACKLOG_S)
        if self._giving in LAST:
            await asyncio.wait([self._task], timeout=CLOSE_S)
        if self._task.done():
            return
        await cancel_and_wait(self._task)
        self._queue.leave_only(LAST)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._run()
        except TimeoutError:
            log.warning("hooks_on_close_cut", extra={"after_s": CLOSE_S})

    def _wants(self, each: NumberedHook, event: Event) -> bool:
        condition = each.hook.if_
        if event.type not in each.types or each.number in causes() or not holds(condition, event.data):
            return False
        had = (each.key, event.type) in self._entered
        return not had or not RESUMED_FIELDS.isdisjoint(condition)

    async def _run(self) -> None:
        """Until the call is over and nothing waits."""
        while True:
            self._tell_dropped()
            if not len(self._queue):
                if self._closed:
                    return
                self._stirred.clear()
                await self._stirred.wait()
                continue
            await self._give(self._queue.take())

    async def _give(self, waiting: Waiting) -> None:
        event = waiting.event
        self._giving = event.type
        for each in waiting.hooks:
            if event.type in ENTERING:
                self._conversation.record("hook.entered", hook=each.key, event=event.type)
            await self._actions.run(each, event, waiting.causes)

    def _tell_dropped(self) -> None:
        if dropped := self._queue.take_dropped():
            self._conversation.record("hook.dropped", events=sum(dropped.values()), types=dropped)
