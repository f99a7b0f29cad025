"""The tools that a reply calls: side by side, each to its end, whatever becomes of the reply.

Barge-in cuts the speech and not the call, unless the tool says otherwise: what it has done is known to the history in
every case, so that nothing is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.conversation import Conversation
from agentd.session.events import InterruptionsAllowed, ToolsRunning, Voice
from agentd.session.history import ToolRound, tools_id
from agentd.session.tool_actions import carry_out
from agentd.tools.spec import Action, EndCall, Say, SetLanguage, ToolOutcome

REPAIRS = 2
"""How often in a row the model may mend calls that no tool could take; then it answers without tools."""

_REPAIRABLE = ("invalid_arguments", "unknown_tool")


class CallingReply(Protocol):
    """What a reply is to the tools that it has called."""

    number: int
    end_call: str | None

    @property
    def voice(self) -> Voice: ...

    @property
    def interruptible(self) -> bool: ...

    @property
    def quiet(self) -> bool: ...

    async def say_for_tool(self, text: str) -> None: ...

    async def language_changed(self) -> None: ...


class ToolCalls:
    """Those of one reply. `background` owns the calls: they outlive an interruption."""

    def __init__(
        self,
        conversation: Conversation,
        reply: CallingReply,
        background: asyncio.TaskGroup,
        tell: Callable[[ToolsRunning | InterruptionsAllowed], None],
    ) -> None:
        self._conversation = conversation
        self._reply = reply
        self._background = background
        self._tell = tell
        self._holding: set[str] = set()  # calls that run and forbid interruptions
        self._wrong = 0  # rounds in a row in which every call was one that no tool could take

    @property
    def forbid_interruptions(self) -> bool:
        return bool(self._holding)

    @property
    def beyond_repair(self) -> bool:
        return self._wrong > REPAIRS

    def begin(self, calls: Sequence[ToolCall]) -> ToolRound:
        """Puts the calls into the history and on record, before any of them is made."""
        conversation, reply = self._conversation, self._reply
        tool_round = conversation.history.begin_tools(calls, tools_id(reply.number))
        for call in calls:  # in one go: that they stand side by side in the journal says that they are one round
            conversation.record(
                "tool.called",
                reply=reply.number,
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                speaker=conversation.people.identity(reply.voice),
            )
        return tool_round

    async def run(self, tool_round: ToolRound) -> bool:
        """Until all have answered; whether one of the answers wants words of the model. Cancelling it leaves them
        running, but for those that are to end with it."""
        calls = tool_round.calls
        tasks = [self._background.create_task(self._run_one(tool_round, call)) for call in calls]
        self._tell(ToolsRunning(True))
        try:
            await self._wait_with_filler(calls, tasks)
        except asyncio.CancelledError:
            for call, task in zip(calls, tasks, strict=True):
                if self._conversation.tools.options(call.name).cancel_on_interrupt and task.cancel():
                    self._complete(tool_round, _cancelled(call))  # here, as a task that has not begun never will
            raise
        self._tell(ToolsRunning(False))
        outcomes = [task.result() for task in tasks]
        self._count_wrong([outcome.outcome for outcome in outcomes])
        return any(outcome.reply for outcome in outcomes)

    def _count_wrong(self, outcomes: list[str]) -> None:
        self._wrong = self._wrong + 1 if all(outcome in _REPAIRABLE for outcome in outcomes) else 0
        if self.beyond_repair:
            self._conversation.record("decision", rule="tool_args_invalid", action="AnswerWithoutTools", value="")

    async def _wait_with_filler(self, calls: Sequence[ToolCall], tasks: list[asyncio.Task[ToolOutcome]]) -> None:
        fillers = [filler for call in calls if (filler := self._conversation.filler(call.name)) is not None]
        if fillers:
            after_s, text = min(fillers)
            _, waiting = await asyncio.wait(tasks, timeout=after_s)
            if waiting and self._reply.quiet:
                await self._reply.say_for_tool(text)
        await asyncio.wait(tasks)

    async def _run_one(self, tool_round: ToolRound, call: ToolCall) -> ToolOutcome:
        conversation, reply = self._conversation, self._reply
        context = replace(
            conversation.tool_context(reply.say_for_tool, reply.voice),
            update=lambda text: self._progress(call, text),
            hold=lambda: self._hold(call.id),
        )
        stopped = conversation.gates.stop(call, conversation.tools.options(call.name), context)
        try:
            outcome = stopped or await conversation.tools.run(call, context)
        except asyncio.CancelledError:
            self._complete(tool_round, _cancelled(call))
            raise
        finally:
            self._let_go(call.id)
        self._complete(tool_round, outcome)
        for action in outcome.actions:
            await self._carry_out(action)
        return outcome

    async def _carry_out(self, action: Action) -> None:
        """What the reply does itself, as part of what it says; the rest is the session's."""
        match action:
            case Say(text=text):
                await self._reply.say_for_tool(text)
            case EndCall(say=goodbye, reason=reason):
                if goodbye:
                    await self._reply.say_for_tool(goodbye)
                self._reply.end_call = reason
            case SetLanguage():
                carry_out(action, self._conversation, self._conversation.act)
                await self._reply.language_changed()
            case _:
                carry_out(action, self._conversation, self._conversation.act)

    async def _progress(self, call: ToolCall, text: str) -> None:
        """Said where the caller hears nothing else."""
        self._conversation.record("tool.progress", reply=self._reply.number, id=call.id, name=call.name, text=text)
        if self._reply.quiet:
            await self._reply.say_for_tool(text)

    def _hold(self, call_id: str) -> None:
        if not self._holding:
            self._tell(InterruptionsAllowed(False))
        self._holding.add(call_id)

    def _let_go(self, call_id: str) -> None:
        if call_id in self._holding:
            self._holding.discard(call_id)
            if not self._holding:
                self._tell(InterruptionsAllowed(self._reply.interruptible))

    def _complete(self, tool_round: ToolRound, outcome: ToolOutcome) -> None:
        result = outcome.result
        if tool_round.has_result(result.call_id):
            return
        tool_round.complete(result)
        self._conversation.record(
            "tool.completed",
            reply=self._reply.number,
            id=result.call_id,
            name=result.name,
            content=result.content,
            is_error=result.is_error,
            outcome=outcome.outcome,
            duration_s=round(outcome.duration_s, 4),
        )


def _cancelled(call: ToolCall) -> ToolOutcome:
    text = "The call was cancelled because the caller interrupted."
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
    return ToolOutcome(result=result, outcome="cancelled")
