"""What hooks do, carried out in a session."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from agentd.aio import now
from agentd.config.hooks import HandoffAction
from agentd.providers.llm import ToolCall
from agentd.session.causes import Causes, caused_by
from agentd.session.conversation import Conversation
from agentd.session.hook_runs import record_run
from agentd.session.job_desk import JobDesk
from agentd.session.numbered_hooks import NumberedHook
from agentd.session.shutdown import ShutdownCallbacks
from agentd.session.tool_actions import carry_out
from agentd.tools.acts import (
    Act,
    BeginTask,
    EndSession,
    GenerateReply,
    HandOff,
    PressKeys,
    SayText,
    SetTools,
    UpdateInstructions,
)
from agentd.tools.spec import Action, Event, HookOutcome, ToolContext

log = logging.getLogger(__name__)

ENDED_BY = "ended_by_agent"
_BEGINS_TEMPLATE = re.compile(r"\{(?=[{%#])")


class HookActions:
    """`do` puts an act before the session; `callbacks`: what hooks want called at its end."""

    def __init__(self, conversation: Conversation, do: Callable[[Act], object], callbacks: ShutdownCallbacks) -> None:
        self._conversation = conversation
        self._do = do
        self._callbacks = callbacks

    async def run(self, hook: NumberedHook, event: Event, causes: Causes) -> HookOutcome:
        """All that the hook is to do about the event, in order, up to what fails; the outcome is recorded."""
        began, outcome = now(), HookOutcome(outcome="cancelled")
        with caused_by(causes | {hook.number}):
            try:
                outcome = await self._run_all(hook, event)
            except Exception as error:  # the hook boundary, as that of a tool call: a fault must not end the call
                log.exception("hook_failed", extra={"hook": hook.place})
                outcome = HookOutcome(outcome="error", message=f"{type(error).__name__}: {error}")
            finally:
                self._record(hook, event, outcome, now() - began)
        return outcome

    async def _run_all(self, hook: NumberedHook, event: Event) -> HookOutcome:
        until, outcome = now() + hook.hook.timeout_s, HookOutcome()
        for name in hook.hook.do.named:
            outcome = await self._run_one(name, hook, event, max(0.01, until - now()))
            if outcome.outcome != "ok":
                break
        return outcome

    async def _run_one(self, name: str, hook: NumberedHook, event: Event, timeout_s: float) -> HookOutcome:
        actions, conversation = hook.hook.do, self._conversation
        match name:
            case "set":
                conversation.set_variables(actions.set)
            case "tool" if actions.tool is not None:
                return await self._tool(hook, actions.tool.name, actions.tool.arguments, event, timeout_s)
            case "python" if actions.python is not None:
                return await self._code(hook, actions.python, event, timeout_s)
            case "webhook" if actions.webhook is not None:
                return await self._code(hook, actions.webhook.ref, event, timeout_s)
            case "instructions" if actions.instructions is not None:
                told = actions.instructions
                edit: Literal["append", "replace"] = "append" if told.append else "replace"
                conversation.adjust(
                    UpdateInstructions(text=self._rendered(told.append or told.replace, event), edit=edit)
                )
            case "tools" if actions.tools is not None:
                conversation.adjust(SetTools(enable=actions.tools.enable, disable=actions.tools.disable))
            case "handoff" if actions.handoff is not None:
                self._do(self._handoff(hook, actions.handoff, event))
            case "task" if actions.task is not None:
                self._do(BeginTask(task=actions.task, by="hook"))
            case "dtmf":
                self._do(PressKeys(keys=self._rendered(actions.dtmf, event)))
            case "say":
                if text := self._rendered(actions.say, event):
                    self._do(SayText(text=text))
            case "generate":
                self._do(GenerateReply(instructions=literal(self._rendered(actions.generate, event))))
            case "end" if actions.end is not None:
                self._do(EndSession(reason=ENDED_BY, goodbye=self._rendered(actions.end.say, event)))
        return HookOutcome()

    def _handoff(self, hook: NumberedHook, handoff: HandoffAction, event: Event) -> HandOff:
        return HandOff(
            agent=handoff.agent,
            history=handoff.history,
            say=self._rendered(handoff.say, event),
            variables=handoff.variables,
            enter=handoff.enter,
            rule="hook",
            value=hook.setting,
        )

    async def _code(self, hook: NumberedHook, ref: str, event: Event, timeout_s: float) -> HookOutcome:
        """A Python function, or a webhook."""
        outcome = await hook.tools.run_hook(ref, event, self._context(hook), timeout_s)
        self._carry_out(hook, outcome.actions)
        return outcome

    async def _tool(
        self, hook: NumberedHook, name: str, arguments: Mapping[str, Any], event: Event, timeout_s: float
    ) -> HookOutcome:
        given = json.dumps(self._filled(arguments, event), ensure_ascii=False, default=str)
        call = ToolCall(id=f"hook-{event.type}", name=name, arguments=given)
        audit = self._conversation.setup.audit  # the model is not told of it, so that it is no tool.called
        audit("tool.hooked", {"name": name, "id": call.id, "arguments": given, "rule": event.type})
        try:
            async with asyncio.timeout(timeout_s):
                ran = await hook.tools.run(call, self._context(hook))
        except TimeoutError:
            return HookOutcome(outcome="timeout", message=f"{name}: no answer within {timeout_s:g} s")
        self._carry_out(hook, ran.actions)
        return HookOutcome(outcome=ran.outcome, message=ran.result.content if ran.outcome != "ok" else "")

    def _carry_out(self, hook: NumberedHook, actions: Iterable[Action]) -> None:
        for asked in actions:
            action = replace(asked, rule="hook", value=hook.setting) if isinstance(asked, HandOff) else asked
            carry_out(action, self._conversation, self._do)

    def _context(self, hook: NumberedHook) -> ToolContext:
        async def say(text: str) -> None:
            self._do(SayText(text=text))

        desk = JobDesk(self._conversation, self._do, lambda ref: self._callbacks.add(ref, hook))
        return replace(self._conversation.tool_context(say), job=desk)

    def _filled(self, value: Any, event: Event) -> Any:
        """Templates in the text of free JSON."""
        if isinstance(value, str):
            return self._rendered(value, event)
        if isinstance(value, Mapping):
            return {key: self._filled(each, event) for key, each in value.items()}
        return [self._filled(each, event) for each in value] if isinstance(value, list) else value

    def _rendered(self, template: str | None, event: Event) -> str:
        return self._conversation.render(template, event=dict(event.data)).strip() if template else ""

    def _record(self, hook: NumberedHook, event: Event, outcome: HookOutcome, duration_s: float) -> None:
        record_run(
            self._conversation,
            outcome,
            hook=hook.number,
            on=hook.hook.on,
            event=event.type,
            place=hook.place,
            where=f"hook {hook.place}",
            duration_s=duration_s,
        )


def literal(text: str) -> str:
    """A text for where a template is expected: it says what it says, whatever braces are in it."""
    return _BEGINS_TEMPLATE.sub("{{ '{' }}", text)
