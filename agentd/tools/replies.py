"""A webhook's answer -> what the model reads and what agentd does. Pure; nothing in an answer is taken for granted."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jmespath

from agentd.config.tools import WebhookTool
from agentd.config.values import parse_duration
from agentd.errors import ToolError
from agentd.providers.llm import ToolCall, ToolResult
from agentd.revealed import without_secrets
from agentd.tools.acts import BeginTask, TransferCall
from agentd.tools.changes import change_of_agent
from agentd.tools.front_end import LARGEST_PAYLOAD_BYTES
from agentd.tools.http import Answer
from agentd.tools.spec import Action, CallFrontEnd, EndCall, Pending, Progress, Say, SendData, SetVariables, ToolOutcome
from agentd.tools.text import for_model, for_speech

logger = logging.getLogger(__name__)

OnError = Literal["message", "hide", "passthrough"]
FAILED = "The tool failed."
DAMAGED = "[Some characters of this answer could not be read.]"
STATUS_CHARACTERS = 500
_RESERVED = "agentd"
_MAX_ACTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a tool's answers are to be read; expressions are JMESPath's."""

    on_error: OnError = "message"
    envelope: Literal["agentd", "vapi"] = "agentd"
    response_filter: jmespath.parser.ParsedResult | None = None
    assign: Mapping[str, jmespath.parser.ParsedResult] = field(default_factory=dict)

    @classmethod
    def of(cls, tool: WebhookTool) -> Reading:
        """Raises ToolError for an expression that is none."""
        try:
            return cls(
                on_error=tool.on_error,
                envelope=tool.envelope,
                response_filter=jmespath.compile(tool.response_filter) if tool.response_filter is not None else None,
                assign={name: jmespath.compile(text) for name, text in tool.assign.items()},
            )
        except jmespath.exceptions.JMESPathError as error:
            raise ToolError(f"{tool.name}: {' '.join(str(error).split())}") from error


def outcome(call: ToolCall, answer: Answer, reading: Reading) -> ToolOutcome:
    """Any 2xx is success and its body the result; all else is an error."""
    if answer.truncated:
        logger.warning("tool_body_cap", extra={"tool": call.name, "status": answer.status})
        text = "The tool's answer was too large to read." if reading.on_error != "hide" else FAILED
        return failure(call, text, "too_large")
    if not 200 <= answer.status < 300:
        logger.warning("tool_http", extra={"tool": call.name, "status": answer.status})
        return failure(call, _error_text(answer, reading.on_error), "http")
    done = _done(call, answer, reading)
    if answer.damaged:
        logger.warning("tool_decode", extra={"tool": call.name})
        return replace(done, result=replace(done.result, content=f"{done.result.content}\n{DAMAGED}"))
    return done


def progress(text: str) -> Progress | None:
    """What a part of an answer says of how far the tool is; None: nothing that can be told."""
    value = _json(text)
    if isinstance(value, str):
        value = {"status": value}
    status, say = (value.get("status"), value.get("say")) if isinstance(value, dict) else (None, None)
    told = Progress(
        status=for_speech(status, STATUS_CHARACTERS) if isinstance(status, str) else "",
        say=for_speech(say) if isinstance(say, str) else "",
    )
    return told if told.status or told.say else None


def _done(call: ToolCall, answer: Answer, reading: Reading) -> ToolOutcome:
    text = answer.text.strip()
    value = _json(text) if answer.is_json else text
    if reading.envelope == "vapi" and (entry := _vapi_entry(value, call)) is not None:
        return _vapi_outcome(call, entry, reading)
    return _success(call, value, text, reading)


def failure(call: ToolCall, text: str, label: str = "error") -> ToolOutcome:
    """An outcome that tells the model of an error, without secrets: endpoints repeat what they were sent."""
    result = ToolResult(call_id=call.id, name=call.name, content=for_model(without_secrets(text)), is_error=True)
    return ToolOutcome(result=result, outcome=label)


def _success(call: ToolCall, value: Any, text: str, reading: Reading) -> ToolOutcome:
    """`text` is how the value was written, which the model reads unless something is taken out of it."""
    directives: Mapping[str, Any] = {}
    if isinstance(value, dict) and _RESERVED in value:
        taken = value.pop(_RESERVED)
        directives = taken if isinstance(taken, dict) else {}
        text = json.dumps(value, ensure_ascii=False) if value else "ok"
    content, assigned = _looked_at(call, value, text, reading)
    wanted, ignored = _actions(directives, call.name)
    actions = (*([SetVariables(values=assigned)] if assigned else []), *wanted)
    result = ToolResult(call_id=call.id, name=call.name, content=for_model(content))
    asks = any(isinstance(each, BeginTask) for each in actions)  # the task asks its question itself
    reply = directives.get("reply") != "none" and not asks
    return ToolOutcome(result=result, actions=actions, reply=reply, pending=_pending(directives), ignored=ignored)


def _pending(directives: Mapping[str, Any]) -> Pending | None:
    """That the result comes later."""
    told = directives.get("pending", False)
    if told is False or told is None:
        return None
    timeout = told.get("timeout") if isinstance(told, dict) else None
    if isinstance(timeout, str):
        timeout = parse_duration(timeout)
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
    return Pending(timeout_s=float(timeout) if is_number and timeout is not None else None)


def _looked_at(call: ToolCall, value: Any, text: str, reading: Reading) -> tuple[str, dict[str, Any]]:
    """What the model reads of an answer, and the variables that are set from it; what is not there sets none."""
    if isinstance(value, str):
        return value or "ok", {}
    try:
        found = {name: expression.search(value) for name, expression in reading.assign.items()}
        if reading.response_filter is not None:
            text = _written(reading.response_filter.search(value))
    except jmespath.exceptions.JMESPathError as error:  # of a function that was given what it does not take
        logger.warning("an answer does not suit the tool's expressions", extra={"tool": call.name, "error": str(error)})
        return text, {}
    return text, {name: each for name, each in found.items() if each is not None}


def _vapi_entry(value: Any, call: ToolCall) -> Mapping[str, Any] | None:
    """This call's result in an answer as tool servers for Vapi write it."""
    results = value.get("results") if isinstance(value, dict) else None
    entries = [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []
    named = [each for each in entries if each.get("toolCallId") == call.id]
    return next(iter(named or entries), None)


def _vapi_outcome(call: ToolCall, entry: Mapping[str, Any], reading: Reading) -> ToolOutcome:
    message = entry.get("message")
    said = _say(message.get("content") if isinstance(message, dict) else message)
    if entry.get("error") and "result" not in entry:
        failed = failure(call, FAILED if reading.on_error == "hide" else _written(entry["error"]))
        return replace(failed, actions=(said,) if said else ())
    value = _json(entry["result"]) if isinstance(entry.get("result"), str) else entry.get("result")
    done = _success(call, value, _written(entry.get("result", "")), reading)
    return replace(done, actions=(*done.actions, said)) if said else done


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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


def _actions(directives: Mapping[str, Any], tool: str) -> tuple[list[Action], int]:
    """What the answer wants to be done, in order, and how much of it is left out."""
    pending = directives.get("pending")
    said = [_say(directives.get("say")), _say(pending.get("say")) if isinstance(pending, dict) else None]
    wanted: list[Action] = [each for each in said if each is not None]
    actions = directives.get("actions", [])
    if not isinstance(actions, list):
        _ignored(tool, "actions that are no list")
        return wanted, 1
    ignored = max(0, len(actions) - _MAX_ACTIONS)
    if ignored:
        _ignored(tool, f"{ignored} actions beyond {_MAX_ACTIONS}")
    for each in actions[:_MAX_ACTIONS]:
        if (action := _action(each)) is not None:
            wanted.append(action)
        else:
            ignored += 1
            _ignored(tool, str(each.get("type", "?")) if isinstance(each, dict) else "?")
    return wanted, ignored


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
        case {"type": "transfer", "destination": str(destination)}:
            return TransferCall(destination=destination, summary=str(value.get("summary", "")))
        case {"type": "end_call"}:
            return EndCall()
        case {"type": "send_data", "topic": str(topic), "data": data} if (written := _payload(data)) is not None:
            return SendData(topic=topic[:256], data=written)
        case {"type": "rpc", "method": str(method), **rest} if method.strip():
            payload = _payload(rest.get("payload", {}))
            return CallFrontEnd(method=method[:64], payload=payload) if payload is not None else None
        case {"type": "handoff" | "update_instructions" | "set_tools" | "collect" | "send_dtmf" as kind}:
            return change_of_agent(kind, value)
    return None


def _payload(value: Any) -> str | None:
    """None for what is too large for a front end."""
    text = _written(value)
    return text if len(text.encode("utf-8", "replace")) <= LARGEST_PAYLOAD_BYTES else None


def _ignored(tool: str, action: str) -> None:
    logger.warning("ignored an action that this version does not know", extra={"tool": tool, "action": action[:64]})
