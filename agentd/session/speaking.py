"""The agent's side of a session: one reply at a time, begun from the queue, held, let go, cut."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agentd import logs
from agentd.session.causes import caused_by, causes
from agentd.session.conversation import Conversation
from agentd.session.history import user_id
from agentd.session.inbox import InboxEvent, ReplyDone, ReplySounds, ReplyTells
from agentd.session.plan import Plan
from agentd.session.reply import Reply
from agentd.session.room import Room
from agentd.session.room_writer import RoomWriter
from agentd.session.speeches import Speeches

log = logging.getLogger(__name__)

CLOSE_S = 1.0  # a provider may take its time to close what was cut; the caller's next words do not wait for it


class Speaking:
    """One session's replies. Owned by the session's task, which `post` reaches; `tasks` run them."""

    def __init__(
        self,
        conversation: Conversation,
        room: Room,
        speeches: Speeches,
        writer: RoomWriter,
        tasks: asyncio.TaskGroup,
        post: Callable[[InboxEvent], None],
        make: Callable[..., Reply],
    ) -> None:
        """`make`: a reply of the kind that the session has, from what a Reply is made of."""
        self._make = make
        self._conversation = conversation
        self._room = room
        self._speeches = speeches
        self._writer = writer
        self._tasks = tasks
        self._post = post
        self._task: asyncio.Task[None] | None = None
        self.reply: Reply | None = None
        """The one that is being said; None while the agent says nothing and is about to say nothing."""

    def begin_next(self, *, caller_has_turn: bool) -> Reply | None:
        """Begins what is next in the queue, if nothing is being said and something is to be said now."""
        if self.reply is not None:
            return None
        conversation = self._conversation
        if not conversation.calls.untold:
            self._speeches.drop_results()
        plan = self._speeches.begin(caller_has_turn=caller_has_turn, answers_wait=conversation.people.take_turns)
        if plan is None:
            return None
        if plan.number is not None:
            conversation.waiting.admit(plan.number)
        with caused_by(plan.causes):  # the reply's tasks, too
            return self._begin(plan)

    def _begin(self, plan: Plan) -> Reply:
        if plan.user_input:
            self._take_input(plan.user_input)
        reply: Reply = self._make(
            self._conversation,
            self._room,
            plan,
            self._tasks,
            lambda on: self._audible(reply, on),
            lambda event: self._post(ReplyTells(reply, event)),
        )
        self.reply = reply
        with logs.fields(turn=plan.number):  # of its tools, too, in later turns
            self._task = self._tasks.create_task(self._run(reply))
        if plan.generate:
            self._writer.set_state("thinking")
        return reply

    async def cut(self) -> Plan | None:
        """Silences what is being said, and returns soon even if a provider does not; what that was."""
        reply, task = self.reply, self._task
        self.reply = self._task = None
        if reply is not None:
            with caused_by(reply.plan.causes | causes()):
                reply.cut()
            self._speeches.finish(reply.plan, interrupted=True)
        if task is not None and not task.done():
            task.cancel()
            _, closing = await asyncio.wait([task], timeout=CLOSE_S)
            if closing:  # the session's task group still owns it
                log.warning("reply_closes_slowly", extra={"after_s": CLOSE_S})
        return reply.plan if reply is not None else None

    def finish(self, reply: Reply) -> None:
        """It was said to its end."""
        self.reply = self._task = None
        self._speeches.finish(reply.plan, interrupted=False)

    def hold(self) -> None:
        if self.reply is not None:
            self.reply.hold()

    def release(self) -> None:
        if self.reply is not None:
            self.reply.release()

    async def _run(self, reply: Reply) -> None:
        await reply.run()
        self._post(ReplyDone(reply))

    def _audible(self, reply: Reply, sounding: bool) -> None:
        if reply is not self.reply:
            return
        if sounding:
            self._post(ReplySounds(reply))
        self._writer.set_state("speaking" if sounding else "thinking")

    def _take_input(self, text: str) -> None:
        """Words that somebody gave as the caller's, for the reply that begins."""
        conversation = self._conversation
        turn = conversation.next_turn()
        conversation.history.add_user(text, user_id(turn))
        conversation.record(
            "turn.user",
            turn=turn,
            text=text,
            rule="generate_reply",
            value="",
            delay_s=0.0,
            source="request",
            language=None,
        )
