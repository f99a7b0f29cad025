"""What is sent for a call of a webhook tool: its method, address and bytes (docs/webhooks.md, "The request")."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from agentd.config.tools import WebhookTool
from agentd.config.url_template import filled, places
from agentd.errors import ToolArgumentsInvalid, ToolError
from agentd.providers.chat import ChatContext
from agentd.providers.llm import ChatItem, ToolCall, ToolResult
from agentd.tools import signing
from agentd.tools.spec import Event, ToolContext

REQUEST_BYTES = 256 * 1024
TRANSCRIPT_BYTES = 128 * 1024  # of `context`; the oldest items are left out
URL_CHARACTERS = 8 * 1024  # what the servers of the field take as a request's first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Serialised once: every attempt sends the same bytes under the same id."""

    id: str
    method: str
    url: str
    body: bytes
    traceparent: str


def request_for(tool: WebhookTool, call: ToolCall, arguments: Mapping[str, Any], context: ToolContext) -> Request:
    """Raises ToolArgumentsInvalid for arguments that are no part of an address, ToolError for too many bytes."""
    at_s = time.time()
    in_path = set(places(tool.url))
    rest = {name: value for name, value in arguments.items() if name not in in_path}
    url = _url(tool, arguments, rest)
    body = _body(tool, call, arguments, rest, context, at_s) if tool.args_in == "body" else b""
    if len(url) > URL_CHARACTERS:
        raise ToolError(f"the address would be longer than {URL_CHARACTERS >> 10} KiB; call it with less")
    return _request(tool.method, url, body, context, at_s)


def _request(method: str, url: str, body: bytes, context: ToolContext, at_s: float) -> Request:
    if len(body) > REQUEST_BYTES:
        raise ToolError(f"the request is larger than {REQUEST_BYTES >> 10} KiB; call it with less")
    trace = hashlib.sha256(context.session_id.encode()).hexdigest()[:32]  # one trace a session
    return Request(
        id=context.key or signing.new_id("tc_", at_s),
        method=method,
        url=url,
        body=body,
        traceparent=f"00-{trace}-{secrets.token_hex(8)}-01",
    )


def _url(tool: WebhookTool, arguments: Mapping[str, Any], rest: Mapping[str, Any]) -> str:
    values = {name: _text(arguments.get(name)) for name in places(tool.url)}
    try:
        url = filled(tool.url, values)
    except ValueError as error:
        raise ToolArgumentsInvalid(str(error)) from error
    if tool.args_in == "body" or not rest:
        return url
    query = urlencode({name: _texts(value) for name, value in rest.items()}, doseq=True)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _texts(value: Any) -> list[str]:
    """A list of plain values is a key that is there several times."""
    plain = isinstance(value, list) and not any(isinstance(each, (list, dict)) for each in value)
    return [_text(each) for each in value] if plain else [_text(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _body(
    tool: WebhookTool,
    call: ToolCall,
    arguments: Mapping[str, Any],
    rest: Mapping[str, Any],
    context: ToolContext,
    at_s: float,
) -> bytes:
    content: Mapping[str, Any]
    if tool.args_at_root:
        content = rest
    elif tool.envelope == "vapi":
        content = _vapi(tool, call, arguments, context, at_s)
    else:
        content = _tool_call(tool, call, arguments, context, at_s)
    return _encoded(content)


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


def _tool_call(
    tool: WebhookTool, call: ToolCall, arguments: Mapping[str, Any], context: ToolContext, at_s: float
) -> dict[str, Any]:
    """Our own contract's envelope."""
    data = {
        "call_id": call.id,
        "tool": call.name,
        "arguments": arguments,
        **_of_session(context),
        **({} if tool.context == "none" else {"transcript": _transcript(tool.context, call, context)}),
        **({} if context.callback is None else {"callback": asdict(context.callback)}),
    }
    return {"type": "tool.call", "timestamp": _timestamp(at_s), "data": data}


def event_request(url: str, event: Event, context: ToolContext) -> Request:
    """What a hook sends of an event. Raises ToolError for too many bytes."""
    at_s = time.time()
    told = {"type": event.type, "at": event.at, "data": dict(event.data)}
    content = {"type": "hook.event", "timestamp": _timestamp(at_s), "data": {"event": told, **_of_session(context)}}
    return _request("POST", url, _encoded(content), context, at_s)


def _of_session(context: ToolContext) -> dict[str, Any]:
    participant = {**asdict(context.caller), "attributes": dict(context.caller.attributes)}
    if not context.caller.other_voice:
        del participant["other_voice"]
    session = {
        "id": context.session_id,
        "room": context.room,
        "job_id": context.job_id,
        "started_at": context.started_at,
        "language": context.language,
        "variables": dict(context.variables),
        "participant": participant,
    }
    return {"agent": {"name": context.agent, "revision": context.revision}, "session": session}


def _timestamp(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _transcript(wanted: str, call: ToolCall, context: ToolContext) -> list[dict[str, Any]]:
    """The conversation's newest items without this call, oldest first."""
    history = context.history() if context.history is not None else ChatContext()
    before = ChatContext(tuple(entry for entry in history.entries if _call_id(entry.item) != call.id))
    if wanted != "all":
        before = before.truncate(int(wanted.removeprefix("last:")))
    items: list[dict[str, Any]] = before.newest(TRANSCRIPT_BYTES).to_dict()["items"]
    return items


def _call_id(item: ChatItem) -> str | None:
    match item:
        case ToolCall(id=name) | ToolResult(call_id=name):
            return name
    return None


def _vapi(
    tool: WebhookTool, call: ToolCall, arguments: Mapping[str, Any], context: ToolContext, at_s: float
) -> dict[str, Any]:
    """Vapi's "tool-calls" message, as tool servers for Vapi read it; old ones look for `toolCalls`."""
    function = {"name": call.name, "arguments": arguments}
    listed = {"id": call.id, "type": "function", "function": function, **function}
    described = {"name": call.name, "description": tool.description, "parameters": tool.parameters}
    with_tool = {"type": "function", "function": described, "name": call.name, "toolCall": listed}
    number = context.caller.attributes.get("sip.phoneNumber")
    return {
        "message": {
            "type": "tool-calls",
            "timestamp": round(at_s * 1000),
            "toolCallList": [listed],
            "toolCalls": [listed],
            "toolWithToolCallList": [with_tool],
            "call": {"id": context.session_id, "type": "webCall" if number is None else "inboundPhoneCall"},
            "assistant": {"name": context.agent, "variableValues": dict(context.variables)},
            "customer": {"name": context.caller.name, **({"number": number} if number else {})},
        }
    }
