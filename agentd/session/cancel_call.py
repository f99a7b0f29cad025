"""The tool with which the model cancels a call that goes on in the background; it is there while there is one."""

from __future__ import annotations

import json
import textwrap

from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.session.open_calls import OpenCalls
from agentd.tools.spec import ToolOutcome

CANCEL_CALL = "cancel_call"


def schemas(calls: OpenCalls) -> tuple[ToolSchema, ...]:
    """None, or one that names the calls."""
    running = calls.cancellable
    if not running:
        return ()
    told = "; ".join(
        f"{each.call.id}: {each.call.name} {textwrap.shorten(each.call.arguments, 80)}" for each in running
    )
    call = {"type": "string", "enum": [each.call.id for each in running], "description": told}
    return (
        ToolSchema(
            name=CANCEL_CALL,
            description="Cancels a call that is still under way. Use it when the caller does not want it any more.",
            parameters={
                "type": "object",
                "properties": {"call": call},
                "required": ["call"],
                "additionalProperties": False,
            },
        ),
    )


def cancel_call(call: ToolCall, calls: OpenCalls) -> ToolOutcome:
    wanted = _wanted(call.arguments)
    running = next((each for each in calls.cancellable if each.call.id == wanted), None)
    if running is None:
        known = ", ".join(each.call.id for each in calls.cancellable) or "none"
        text = f"There is no call {wanted!r} that can be cancelled; it may have ended. Under way: {known}."
        return _answer(call, text, is_error=True)
    running.cancel("The call was cancelled, as was asked for.")
    return _answer(call, f"The call of {running.call.name} is cancelled. What it has done already stays done.")


def _wanted(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return ""
    return str(value.get("call", "")) if isinstance(value, dict) else ""


def _answer(call: ToolCall, text: str, *, is_error: bool = False) -> ToolOutcome:
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=is_error)
    return ToolOutcome(result=result, outcome="error" if is_error else "ok")
