"""A conversation in the shape of livekit-agents' chat context (1.8's `ChatContext.to_dict`), and back. Pure.

Text only: images and sound in a message are left out, as are its times and figures. "developer" is our "system".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentd.providers.chat import ChatContext, Entry, checked
from agentd.providers.llm import Message, ToolCall, ToolResult

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_FOREIGN = ("agent_handoff", "agent_config_update")
"""Items of theirs that are no part of what a model is told."""


def to_livekit(context: ChatContext) -> dict[str, Any]:
    return {"items": [_written(entry) for entry in context.entries]}


def from_livekit(data: Mapping[str, Any]) -> ChatContext:
    """Raises ValueError with the place of what is wrong."""
    if not isinstance(data, Mapping) or not isinstance(data.get("items"), list):
        raise ValueError('a chat context is {"items": [...]}')  # noqa: TRY004 -- a fault of a document
    return ChatContext(checked(tuple(_entries(data["items"]))))


def _written(entry: Entry) -> dict[str, Any]:
    match entry.item:
        case Message(role=role, text=text, interrupted=interrupted):
            told = {"type": "message", "role": role, "content": [text], "interrupted": interrupted}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            told = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        case ToolResult(call_id=call_id, name=name, content=content, is_error=failed):
            told = {"type": "function_call_output", "call_id": call_id, "name": name, "output": content}
            told["is_error"] = failed
    return {"id": entry.id, **told}


def _entries(items: list[Any]) -> Iterator[Entry]:
    for number, item in enumerate(items):
        place = f"items[{number}]"
        if not isinstance(item, Mapping):
            raise ValueError(f"{place} is no item")  # noqa: TRY004 -- a fault of a document
        name = str(item.get("id") or f"item_{number + 1}")
        match item.get("type"):
            case "message":
                if item.get("role") not in _ROLES:
                    raise ValueError(f"{place}.role is none of {', '.join(_ROLES)}")
                text, cut = _content(item.get("content"), place), item.get("interrupted") is True
                yield Entry(name, Message(role=_ROLES[item["role"]], text=text, interrupted=cut))  # type: ignore[arg-type]
            case "function_call":
                call_id, called, arguments = (_text(item, key, place) for key in ("call_id", "name", "arguments"))
                yield Entry(name, ToolCall(id=call_id, name=called, arguments=arguments))
            case "function_call_output":
                call_id, called, output = (_text(item, key, place) for key in ("call_id", "name", "output"))
                failed = item.get("is_error") is True
                yield Entry(name, ToolResult(call_id=call_id, name=called, content=output, is_error=failed))
            case other if other not in _FOREIGN:
                raise ValueError(f"{place}.type is none of message, function_call, function_call_output")


def _content(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"{place}.content is no list")  # noqa: TRY004 -- a fault of a document
    return " ".join(part for part in content if isinstance(part, str))


def _text(item: Mapping[str, Any], key: str, place: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{place}.{key} is no text")  # noqa: TRY004 -- a fault of a document
    return value
