"""A webhook's answer -> what the model reads and what agentd does. Pure; nothing in an answer is taken for granted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from agentd.providers.llm import ToolCall, ToolResult
from agentd.tools.http import Answer
from agentd.tools.spec import Action, EndCall, Say, SetVariables, ToolOutcome
from agentd.tools.text import for_model, for_speech

logger = logging.getLogger(__name__)

OnError = Literal["message", "hide", "passthrough"]
FAILED = "The tool failed."
_RESERVED = "agentd"
_MAX_ACTIONS = 16


def outcome(call: ToolCall, answer: Answer, on_error: OnError) -> ToolOutcome:
    """Any 2xx is success and its body the result; all else is an error."""
    if answer.truncated:
        logger.warning("a webhook's answer was too large", extra={"tool": call.name, "status": answer.status})
        return failure(call, "The tool's answer was too large to read." if on_error != "hide" else FAILED)
    if not 200 <= answer.status < 300:
        logger.warning("a webhook answered with an error", extra={"tool": call.name, "status": answer.status})
        return failure(call, _error_text(answer, on_error))
    content, directives = _success(answer)
    actions = tuple(_actions(directives, call.name))
    result = ToolResult(call_id=call.id, name=call.name, content=for_model(content))
    return ToolOutcome(result=result, actions=actions, reply=directives.get("reply") != "none")


def failure(call: ToolCall, text: str, label: str = "error") -> ToolOutcome:
    """An outcome that tells the model of an error."""
    result = ToolResult(call_id=call.id, name=call.name, content=for_model(text), is_error=True)
    return ToolOutcome(result=result, outcome=label)


def _success(answer: Answer) -> tuple[str, Mapping[str, Any]]:
    """The result's text and the object under the reserved key."""
    text = answer.text.strip()
    value = _json(text) if answer.is_json else text
    if isinstance(value, str):
        return value or "ok", {}
    if not isinstance(value, dict) or _RESERVED not in value:
        return text, {}
    directives = value.pop(_RESERVED)
    content = json.dumps(value, ensure_ascii=False) if value else "ok"
    return content, directives if isinstance(directives, dict) else {}


def _error_text(answer: Answer, on_error: OnError) -> str:
    match on_error:
        case "hide":
            return FAILED
        case "passthrough":
            return answer.text.strip() or f"HTTP {answer.status}"
        case "message":
            problem = _json(answer.text) if answer.is_json else None
            detail = problem.get("detail") if isinstance(problem, dict) else None
            return detail if isinstance(detail, str) and detail.strip() else FAILED


def _json(text: str) -> Any:
    """The value; the text itself when it is no JSON after all."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _actions(directives: Mapping[str, Any], tool: str) -> Iterator[Action]:
    if said := _say(directives.get("say")):
        yield said
    if "pending" in directives:
        _ignored(tool, "pending")
    actions = directives.get("actions", [])
    if not isinstance(actions, list):
        _ignored(tool, "actions that are no list")
        return
    for each in actions[:_MAX_ACTIONS]:
        if (action := _action(each)) is not None:
            yield action
        else:
            _ignored(tool, str(each.get("type", "?")) if isinstance(each, dict) else "?")


def _say(value: Any) -> Say | None:
    if isinstance(value, str) and value.strip():
        return Say(text=for_speech(value))
    if isinstance(value, dict) and isinstance(text := value.get("text"), str) and text.strip():
        return Say(text=for_speech(text), interruptible=value.get("interruptible") is not False)
    return None


def _action(value: Any) -> Action | None:
    """None for what this version does not know, or cannot read."""
    match value:
        case {"type": "set_variables", "variables": dict(variables)}:
            return SetVariables(values=variables)
        case {"type": "end_call", "say": str(text)} if text.strip():
            return EndCall(say=for_speech(text))
        case {"type": "end_call"}:
            return EndCall()
    return None


def _ignored(tool: str, action: str) -> None:
    logger.warning("ignored an action that this version does not know", extra={"tool": tool, "action": action[:64]})
