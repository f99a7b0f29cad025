"""Functions that hooks want called when the call is over: after its last hooks, before its process is let go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentd.aio import now
from agentd.errors import ToolError
from agentd.session.conversation import Conversation
from agentd.session.hook_runs import record_run
from agentd.session.job_desk import JobDesk
from agentd.session.numbered_hooks import NumberedHook
from agentd.tools.acts import Act
from agentd.tools.spec import AT_SHUTDOWN, Event, SetVariables, ToolRunner

SHUTDOWN_S = 10.0
"""For all of them, side by side; as livekit-agents 1.8.9's shutdown_process_timeout."""

MOST_CALLBACKS = 32


@dataclass(frozen=True, slots=True)
class Callback:
    """`hook`: the number of the one that added it; `tools`: whose code it is in."""

    ref: str
    hook: int
    tools: ToolRunner


class ShutdownCallbacks:
    """One session's. They are on record, so that a call which outlives its process calls them all the same. `do` puts
    an act before the session."""

    def __init__(self, conversation: Conversation, do: Callable[[Act], object]) -> None:
        self._conversation = conversation
        self._do = do
        restored = conversation.setup.restored
        self._callbacks = {
            ref: Callback(ref, hook, conversation.tools)
            for ref, hook in (restored.callbacks.items() if restored is not None else ())
        }
        self._over = False

    def add(self, ref: str, hook: NumberedHook) -> None:
        """One that was added before is called once. Raises ToolError."""
        if self._over:
            self._too_late(ref)
        if ref in self._callbacks:
            return
        if len(self._callbacks) >= MOST_CALLBACKS:
            raise ToolError(f"a call has at most {MOST_CALLBACKS}")
        self._callbacks[ref] = Callback(ref, hook.number, hook.tools)
        self._conversation.record("shutdown.added", ref=ref, hook=hook.number)

    def needs(self, tools: ToolRunner) -> bool:
        """Whether the code of one of them is there."""
        return any(each.tools is tools for each in self._callbacks.values())

    async def run(self, reason: str) -> None:
        """Side by side; those that are not done after `SHUTDOWN_S` are ended."""
        self._over = True
        if self._callbacks:
            await asyncio.gather(*(self._run(each, reason) for each in self._callbacks.values()))

    async def _run(self, callback: Callback, reason: str) -> None:
        conversation, began = self._conversation, now()
        event = Event(
            type=AT_SHUTDOWN,
            session=conversation.setup.id,
            agent=conversation.definition.name,
            at=time.time(),
            data={"reason": reason},
        )
        desk = JobDesk(conversation, self._do, self._too_late)
        context = replace(conversation.tool_context(None), job=desk)
        outcome = await callback.tools.run_hook(callback.ref, event, context, SHUTDOWN_S)
        for action in outcome.actions:
            if isinstance(action, SetVariables):  # nothing else can be done any more
                conversation.set_variables(action.values)
        record_run(
            conversation,
            outcome,
            hook=callback.hook,
            on=AT_SHUTDOWN,
            event=AT_SHUTDOWN,
            place=callback.ref,
            where=f"shutdown callback {callback.ref}",
            duration_s=now() - began,
        )

    def _too_late(self, ref: str) -> None:
        raise ToolError("the call is over, and what was to be called then has been")
