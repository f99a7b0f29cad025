"""The tools that a reply calls: side by side, each to its end, whatever becomes of the reply.

Barge-in cuts the speech and not the call, unless the tool says otherwise: what it has done is known to the history in
every case, so that nothing is done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from agentd.aio import now
from agentd.ids import new_id
from agentd.providers.llm import ToolCall
from agentd.session.callbacks import Callback
from agentd.session.conversation import Conversation
from agentd.session.events import InterruptionsAllowed, ToolsRunning, Voice
from agentd.session.history import ToolRound, tools_id
from agentd.session.open_calls import OpenCall, canonical
from agentd.session.tool_gates import stopped
from agentd.session.tool_run import CallingReply, ToolRun, callback_offered
from agentd.tools.spec import ToolOutcome

SAME_CALLS = 3
"""So often in one reply the model may want the same: then it is to answer without tools."""

INTERRUPTED = "The call was cancelled because the caller interrupted."

REPAIRS = 2
"""How often in a row the model may mend calls that no tool could take; then it answers without tools."""

_REPAIRABLE = ("invalid_arguments", "unknown_tool")


class Caller(CallingReply, Protocol):
    """A reply that calls tools."""

    @property
    def voice(self) -> Voice: ...

    @property
    def interruptible(self) -> bool: ...


class ToolCalls:
    """Those of one reply. `background` owns the calls: they outlive an interruption."""

    def __init__(
        self,
        conversation: Conversation,
        reply: Caller,
        background: asyncio.TaskGroup,
        tell: Callable[[ToolsRunning | InterruptionsAllowed], None],
    ) -> None:
        self._conversation = conversation
        self._reply = reply
        self._background = background
        self._tell = tell
        self._holding: set[str] = set()  # keys of calls that run and forbid interruptions
        self._wrong = 0  # rounds in a row in which every call was one that no tool could take
        self._wanted: Counter[tuple[str, str]] = Counter()
        self.broken_off: tuple[str, str] | None = None
        """Why the model is to answer without tools, if it is: the rule, and what has led to it."""

    @property
    def forbid_interruptions(self) -> bool:
        return bool(self._holding)

    def begin(self, calls: Sequence[ToolCall]) -> ToolRound:
        """Puts the calls into the history and on record, before any of them is made."""
        conversation, reply = self._conversation, self._reply
        tool_round = conversation.history.begin_tools(calls, tools_id(reply.number))
        for call in calls:  # in one go: that they stand side by side in the journal says that they are one round
            open_call = self._opened(call)
            conversation.calls.begin(open_call)
            offered = {"expires_at": open_call.callback.expires_at} if open_call.callback else {}
            conversation.record(
                "tool.called",
                reply=reply.number,
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                speaker=conversation.people.identity(reply.voice),
                key=open_call.key,
                **offered,
            )
        return tool_round

    def _opened(self, call: ToolCall) -> OpenCall:
        tools, base = self._conversation.tools, self._conversation.setup.callback_url
        options = tools.options(call.name)
        lasts_s = callback_offered(options) if base else None
        at_s = time.time()
        return OpenCall(
            call=call,
            tools=tools,
            options=options,
            reply=self._reply.number,
            entry=tools_id(self._reply.number),
            key=new_id("tc_", at_s),
            began=now(),
            voice=self._reply.voice,
            callback=Callback(at_s + lasts_s) if lasts_s is not None else None,
        )

    async def run(self, tool_round: ToolRound) -> bool:
        """Until no answer is waited for; whether one of them wants words of the model. Cancelling it leaves the calls
        running, but for those that are to end with it."""
        found = [self._conversation.calls.of_call(call) for call in tool_round.calls]
        calls = [call for call in found if call is not None]
        for call in calls:
            run = ToolRun(self._conversation, call, self._background, self._reply, partial(self._hold, call))
            call.task = self._background.create_task(run.run(self._loop(call)))
        self._tell(ToolsRunning(True))
        try:
            await self._wait_with_fillers(calls)
        except asyncio.CancelledError:
            self._interrupted(calls)
            raise
        self._tell(ToolsRunning(False))
        self._count_wrong(calls)
        return any(call.words.result() for call in calls)

    def _count_wrong(self, calls: Sequence[OpenCall]) -> None:
        wrong = [call for call in calls if call.outcome in _REPAIRABLE]
        self._wanted.subtract(_what(call) for call in wrong)  # they are mended or not: a matter of their own
        self._wrong = self._wrong + 1 if len(wrong) == len(calls) else 0
        if self._wrong > REPAIRS:
            self.broken_off = ("tool_args_invalid", "")

    def _hold(self, call: OpenCall) -> None:
        """The caller may not interrupt until this call has ended, or is waited for no longer."""
        if call.words.done():
            return
        if not self._holding:
            self._tell(InterruptionsAllowed(False))
        self._holding.add(call.key)
        call.words.add_done_callback(lambda _: self._let_go(call.key))

    def _let_go(self, key: str) -> None:
        if key in self._holding:
            self._holding.discard(key)
            if not self._holding:
                self._tell(InterruptionsAllowed(self._reply.interruptible))

    def _interrupted(self, calls: Sequence[OpenCall]) -> None:
        for call in calls:
            ends = call.options.cancel_on_interrupt and not call.background
            if ends and call.task is not None and call.task.cancel():
                call.why_cancelled = INTERRUPTED
                ToolRun(self._conversation, call, self._background).give_up()  # a task that has not begun never will

    def _loop(self, call: OpenCall) -> ToolOutcome | None:
        """What the model is told that wants the same again and again."""
        self._wanted[_what(call)] += 1
        if self._wanted[_what(call)] < SAME_CALLS:
            return None
        again = f"{SAME_CALLS} times the same call of {call.call.name}"
        self.broken_off = ("tool_loop", again)
        text = "You have made this very call already. It was not made again: answer with what you have."
        return stopped(call.call, text, outcome="loop", rule="tool_loop", value=again)

    async def _wait_with_fillers(self, calls: Sequence[OpenCall]) -> None:
        waiting = {call.words for call in calls}
        soonest = [
            (filler.after, filler.every, call) for call in calls if (filler := call.options.while_waiting) is not None
        ]
        if soonest:
            delay_s, every_s, call = min(soonest, key=lambda each: each[0])
            texts = self._conversation.fillers(call.call.name)
            timeout_s: float | None = delay_s
            while timeout_s is not None and waiting:
                _, waiting = await asyncio.wait(waiting, timeout=timeout_s)
                if waiting and self._reply.quiet:
                    await self._reply.say_for_tool(next(texts))
                timeout_s = every_s
        if waiting:
            await asyncio.wait(waiting)


def _what(call: OpenCall) -> tuple[str, str]:
    """The tool and its arguments, however they are written."""
    return call.call.name, canonical(call.call.arguments)
