"""One call of a tool, from the rules that may stop it to its result, whoever waits for that.

A call that a reply waits for can go on in the background: because its tool is to run there, or because its result
comes by callback. Then the reply goes on, and the result becomes a turn of the agent's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from agentd.aio import now
from agentd.config.tools import WebhookTool
from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.cancel_call import CANCEL_CALL, cancel_call
from agentd.session.conversation import Conversation
from agentd.session.open_calls import OpenCall
from agentd.session.tool_actions import carry_out
from agentd.tools.acts import HandOff, SayText
from agentd.tools.spec import (
    Action,
    CallbackOffer,
    EndCall,
    LateAnswer,
    Progress,
    Say,
    SetLanguage,
    SetVariables,
    ToolContext,
    ToolOutcome,
)

BACKGROUND_AFTER_S = 0.1  # what answers sooner, or is refused, need not be announced
MOST_PROGRESS = 200  # of one call: more is a fault of the tool


class CallingReply(Protocol):
    """What a reply is to the tools that it has called."""

    number: int
    end_call: str | None
    hands_over: bool

    @property
    def quiet(self) -> bool: ...

    async def say_for_tool(self, text: str, /) -> None: ...

    async def language_changed(self) -> None: ...


class ToolRun:
    """`reply`: the one that has made the call; None: it has ended with its process. `tasks` owns what the call says."""

    def __init__(
        self,
        conversation: Conversation,
        call: OpenCall,
        tasks: asyncio.TaskGroup,
        reply: CallingReply | None = None,
        hold: Callable[[], None] | None = None,
    ) -> None:
        self._hold = hold
        self._conversation = conversation
        self._call = call
        self._tasks = tasks
        self._reply = reply
        self._progress_left = MOST_PROGRESS
        self._saying: asyncio.Task[None] | None = None  # how far it is

    async def run(self, stopped: ToolOutcome | None = None, *, again: bool = False) -> None:
        """To its end. `stopped`: what is answered in the tool's place; `again`: it was let through before."""
        conversation, call = self._conversation, self._call
        context = self._context()
        stopped = stopped or (None if again else conversation.gates.stop(call.call, call.options, context))
        call.made = stopped is None
        timer = None
        if call.made and call.options.run == "background":
            setting = f"tools.{call.call.name}.run=background"
            loop = asyncio.get_running_loop()
            timer = loop.call_later(BACKGROUND_AFTER_S, self._go_to_background, "background", setting)
        try:
            outcome = stopped or await self._answer(replace(context, callback=self._offer()))
        except asyncio.CancelledError:
            self.give_up()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if outcome.pending is not None:
            await self.wait_for_callback(outcome)
        else:
            await self.take(outcome)

    async def wait_for_callback(self, outcome: ToolOutcome) -> None:
        """Until the result was brought, or the time for it is over."""
        call = self._call
        if call.ended is not None:  # it came before the answer that announced it
            return
        if call.callback is None:
            await self.take(not_awaited(call))
            return
        if outcome.pending is not None and outcome.pending.timeout_s is not None:
            call.callback.expires_at = min(call.callback.expires_at, time.time() + outcome.pending.timeout_s)
        for action in outcome.actions:
            await self._carry_out(action)
        setting = f"tools.{call.call.name}.callback_timeout={call.callback.expires_at - time.time():.0f} s left"
        self._go_to_background("pending", setting)
        try:
            await asyncio.sleep(max(0.0, call.callback.expires_at - time.time()))
        except asyncio.CancelledError:
            self.give_up()
            raise
        await self.take(overdue(call))

    def deliver(self, answer: LateAnswer) -> None:
        """Its result was brought; it is on record when this returns."""
        call = self._call
        outcome = call.tools.read(call.call, answer)
        outcome = replace(outcome, pending=None, duration_s=round(now() - call.began, 4))
        call.background = True  # whoever waited for the answer of the tool waits no longer
        if self._end(outcome):
            self._tasks.create_task(self._act_on(outcome))
        if call.task is not None:
            call.task.cancel()

    def give_up(self, outcome: ToolOutcome | None = None) -> None:
        """It was cancelled, or has this end."""
        if self._end(outcome or cancelled(self._call)):
            self._settle(True)

    async def take(self, outcome: ToolOutcome) -> None:
        """Attaches the result, and does what it asks for."""
        if self._end(outcome):
            await self._act_on(outcome)

    async def _answer(self, context: ToolContext) -> ToolOutcome:
        conversation, call = self._conversation, self._call.call
        if call.name == CANCEL_CALL and not any(tool.name == CANCEL_CALL for tool in conversation.tools.schemas):
            return cancel_call(call, conversation.calls)
        return await self._call.tools.run(call, context)

    async def _act_on(self, outcome: ToolOutcome) -> None:
        for action in outcome.actions:
            await self._carry_out(action)
        if self._call.background and outcome.reply:
            self._conversation.calls.untold.add(self._call.key)
            self._conversation.announce()
        self._settle(outcome.reply)

    def _go_to_background(self, rule: str, value: str) -> None:
        call = self._call
        if call.ended is None and not call.background:
            call.background = True
            self._conversation.history.detach(call.entry, call.call.id)
            self._conversation.record(
                "tool.detached",
                reply=call.reply,
                id=call.call.id,
                name=call.call.name,
                rule=rule,
                value=value,
                **({"expires_at": call.callback.expires_at} if call.callback and rule == "pending" else {}),
            )
        self._settle(True)

    def _settle(self, words: bool) -> None:
        if not self._call.words.done():
            self._call.words.set_result(words)

    def _end(self, outcome: ToolOutcome) -> bool:
        """Attaches and records the result; False: there was one."""
        conversation, call, result = self._conversation, self._call, outcome.result
        if not conversation.calls.end(call, outcome.outcome, result.content, now()):
            return False
        conversation.history.complete(call.entry, call.call, result)
        variables = {k: v for each in outcome.actions if isinstance(each, SetVariables) for k, v in each.values.items()}
        conversation.record(
            "tool.completed",
            reply=call.reply,
            id=result.call_id,
            name=result.name,
            content=result.content,
            is_error=result.is_error,
            outcome=outcome.outcome,
            duration_s=round(outcome.duration_s, 4),
            **({"rule": outcome.rule, "value": outcome.value} if outcome.rule else {}),
            **({"variables": variables} if variables else {}),
            **({"ignored": outcome.ignored} if outcome.ignored else {}),
            **self._end_of_call(outcome),
            **({"announced": True} if call.background and outcome.reply and outcome.outcome != "cancelled" else {}),
        )
        return True

    def _end_of_call(self, outcome: ToolOutcome) -> dict[str, str]:
        """The reason for which the conversation ends with the reply that waits for this."""
        reasons = [each.reason for each in outcome.actions if isinstance(each, EndCall)]
        return {"end_call": reasons[-1]} if reasons and not self._call.background else {}

    # What the call may do meanwhile.

    def _context(self) -> ToolContext:
        call = self._call
        context = self._conversation.tool_context(self._say, call.voice)
        return replace(context, key=call.key, progress=self._progressed, update=self._updated, hold=self._hold)

    def _offer(self) -> CallbackOffer | None:
        """A new token; what was granted is on record before the tool learns of it."""
        call, base = self._call, self._conversation.setup.callback_url
        if call.callback is None or not base:
            return None
        token = call.callback.grant()
        self._conversation.record(
            "tool.callback",
            reply=call.reply,
            id=call.call.id,
            name=call.call.name,
            digests=sorted(call.callback.digests),
        )
        until = datetime.fromtimestamp(call.callback.expires_at, UTC).isoformat(timespec="seconds")
        url = f"{base.rstrip('/')}/v1/callbacks/{self._conversation.setup.id}/{call.key}"
        return CallbackOffer(url=url, token=token, expires_at=until.replace("+00:00", "Z"))

    async def _say(self, text: str) -> None:
        if self._reply is None or self._call.background:
            self._conversation.act(SayText(text=text))
        else:
            await self._reply.say_for_tool(text)

    async def _updated(self, text: str) -> None:
        """Progress in one text, for whoever follows the call and for the caller."""
        self._progressed(Progress(status=text, say=text))

    def _progressed(self, progress: Progress) -> None:
        if self._progress_left == 0 or self._call.ended is not None:
            return
        self._progress_left -= 1
        say = self._mouth() if progress.say else None
        self._conversation.record(
            "tool.progress",
            reply=self._call.reply,
            id=self._call.call.id,
            name=self._call.call.name,
            status=progress.status,
            say=progress.say,
            spoken=say is not None,
        )
        if say is not None:
            say(progress.say)

    def _mouth(self) -> Callable[[str], object] | None:
        """How something can be said now that need not be said; None: something else is being said."""
        reply = self._reply
        if reply is not None and not self._call.background:
            free = reply.quiet and (self._saying is None or self._saying.done())
            return partial(self._say_in, reply) if free else None
        return (lambda text: self._conversation.act(SayText(text=text))) if self._conversation.is_silent() else None

    def _say_in(self, reply: CallingReply, text: str) -> None:
        self._saying = self._tasks.create_task(reply.say_for_tool(text))

    async def _carry_out(self, action: Action) -> None:
        """What the reply does itself, as part of what it says; the rest is the session's."""
        reply = None if self._call.background else self._reply
        match action:
            case Say(text=text) if reply is not None:
                await reply.say_for_tool(text)
            case EndCall(say=goodbye, reason=reason) if reply is not None:
                if goodbye:
                    await reply.say_for_tool(goodbye)
                reply.end_call = reason
            case SetLanguage():
                await self._change_language(action, reply)
            case HandOff():
                if reply is not None:
                    reply.hands_over = True
                named = action if action.value else replace(action, value=self._call.call.name)
                carry_out(named, self._conversation, self._conversation.act)
            case _:
                carry_out(action, self._conversation, self._conversation.act)

    async def _change_language(self, action: SetLanguage, reply: CallingReply | None) -> None:
        try:
            carry_out(action, self._conversation, self._conversation.act)
        except KeyError:  # the call is another agent's by now, who does not speak it
            message = f"the agent does not declare the language {action.language}"
            self._conversation.record("error", where="set_language", message=message)
        else:
            if reply is not None:
                await reply.language_changed()


def callback_offered(options: object) -> float | None:
    """How long the result of a call of this tool may take, where its requests can tell of a callback."""
    if isinstance(options, WebhookTool) and options.envelope == "agentd" and not options.args_at_root:
        return float(options.callback_timeout) if options.args_in == "body" else None
    return None


def cancelled(call: OpenCall) -> ToolOutcome:
    return _failed(call.call, call.why_cancelled, "cancelled")


def overdue(call: OpenCall) -> ToolOutcome:
    return replace(_failed(call.call, "Its result did not come in time.", "timeout"), duration_s=now() - call.began)


def not_awaited(call: OpenCall) -> ToolOutcome:
    text = "The tool wants to answer later, and there is no way for it to: its result will not come."
    return _failed(call.call, text, "error")


def _failed(call: ToolCall, text: str, outcome: str) -> ToolOutcome:
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
    return ToolOutcome(result=result, outcome=outcome)
