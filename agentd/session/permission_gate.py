"""Refuses calls of tools that the caller may not have called, whatever the model was told."""

from __future__ import annotations

from agentd.config.tools import ToolOptions
from agentd.providers.llm import ToolCall
from agentd.session.conversation import Conversation
from agentd.session.permission import objection
from agentd.session.tool_gates import refused
from agentd.tools.spec import ToolContext, ToolOutcome

REFUSED = "Not called: this caller may not have {} used. Do not call it again for them, and do not say that it was."


class PermissionGate:
    """Of one session. The tools are not offered either, see `Conversation.offered`: this is for a model that calls one
    all the same, and for a voice that has other rights than the caller's."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        rule = objection(options.allow_callers, context.caller)
        if rule is None:
            return None
        self._conversation.record(
            "decision", rule=rule, action="RefuseTool", value=f"tools.{call.name}.allow_callers", detail=call.id
        )
        return refused(call, REFUSED.format(call.name), "not_permitted")
