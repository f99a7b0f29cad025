"""Calls of tools whose results come otherwise than to the reply that made them: by callback, or in another process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from agentd.aio import now
from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.callbacks import Callback, Delivery
from agentd.session.conversation import Conversation
from agentd.session.known_calls import KnownCall
from agentd.session.open_calls import UNKNOWN, OpenCall
from agentd.session.tool_run import ToolRun
from agentd.tools.spec import LateAnswer, Pending, ToolOutcome

LOST_CALL = "The outcome of this call is unknown: the process that made it ended. Do not assume that it failed."


@dataclass(slots=True)
class LateCalls:
    """Those of one session. `tasks` owns what is done about them."""

    conversation: Conversation
    tasks: asyncio.TaskGroup

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery:
        """Somebody brings the result of the call of this key. What is taken is on record when this returns."""
        call = self.conversation.calls.of_key(key)
        if call is None or call.callback is None or not call.callback.knows(token):
            return "refused"
        if call.ended is not None and call.outcome != UNKNOWN:
            return "late" if call.outcome in ("timeout", "cancelled") else "used"
        if time.time() >= call.callback.expires_at:
            return "late"
        ToolRun(self.conversation, call, self.tasks).deliver(answer)
        return "taken"

    def resume(self, known: tuple[KnownCall, ...]) -> None:
        """Takes over the calls of an earlier incarnation. One that was under way is awaited if its result comes by
        callback, made again under its own key if that does no harm, and else nobody knows whether it was done."""
        for each in known:
            call = self._opened(each)
            self.conversation.calls.begin(call)
            if each.outcome is not None:
                self.conversation.calls.end(call, each.outcome, each.content, call.began + each.duration_s)
                call.made = each.made
            else:
                self._go_on(call, each)

    def _go_on(self, call: OpenCall, known: KnownCall) -> None:
        run = ToolRun(self.conversation, call, self.tasks)
        result = ToolResult(call_id=call.call.id, name=call.call.name, content=LOST_CALL, is_error=True)
        lost = ToolOutcome(result=result, outcome=UNKNOWN)
        if known.pending:
            call.task = self.tasks.create_task(run.wait_for_callback(ToolOutcome(result=result, pending=Pending())))
        elif call.tools.repeatable(call.call.name):
            self.conversation.record(
                "tool.repeated", reply=call.reply, id=call.call.id, name=call.call.name, key=call.key
            )
            call.task = self.tasks.create_task(run.run(again=True))
        else:
            run.give_up(lost)

    def _opened(self, known: KnownCall) -> OpenCall:
        tools = self.conversation.tools
        expires_at = known.expires_at
        return OpenCall(
            call=ToolCall(id=known.id, name=known.name, arguments=known.arguments),
            tools=tools,
            options=tools.options(known.name),
            reply=known.reply,
            entry=known.entry,
            key=known.key,
            began=now() - max(0.0, time.time() - known.at),
            voice=self.conversation.people.voice(known.speaker),
            background=known.background,
            callback=Callback(expires_at, set(known.digests)) if expires_at is not None else None,
        )
