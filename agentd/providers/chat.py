"""A conversation as a value: items with ids, and what can be done with them. Pure.

No operation parts a tool call from its result, because models refuse a conversation in which one stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.speakers import Speaker

FORMAT = "agentd-chat-1"
_OPENAI_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Entry:
    """An item under the id by which copies of a conversation know it."""

    id: str
    item: ChatItem


@dataclass(frozen=True, slots=True)
class ChatContext:
    """The items of a conversation, in order. Every operation answers a new value."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, items: Iterable[ChatItem], ids: Sequence[str] = ()) -> ChatContext:
        """With these ids, or numbered ones. An id that comes twice gets a number."""
        seen: set[str] = set()
        entries = []
        for number, item in enumerate(items):
            given = name = ids[number] if number < len(ids) else f"item_{number + 1}"
            again = 1
            while name in seen:
                again += 1
                name = f"{given}_{again}"
            seen.add(name)
            entries.append(Entry(name, item))
        return cls(tuple(entries))

    @property
    def items(self) -> tuple[ChatItem, ...]:
        return tuple(entry.item for entry in self.entries)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(entry.id for entry in self.entries)

    def get(self, item_id: str) -> ChatItem | None:
        return next((entry.item for entry in self.entries if entry.id == item_id), None)

    def copy(self, *, exclude_instructions: bool = False, exclude_tools: bool = False) -> ChatContext:
        """Without system messages, or without calls and results, if asked."""

        def wanted(item: ChatItem) -> bool:
            if isinstance(item, Message):
                return not (exclude_instructions and item.role == "system")
            return not exclude_tools

        return ChatContext(tuple(entry for entry in self.entries if wanted(entry.item)))

    def truncate(self, max_items: int) -> ChatContext:
        """The last `max_items` items or less, system messages beside them; rounds of calls stay or go whole."""
        kept: list[Entry] = []
        room, full = max_items, False
        for unit in reversed(list(units(self.entries))):
            if is_pinned(unit[0].item):
                kept[:0] = unit
                continue
            full = full or len(unit) > room
            if not full:
                kept[:0] = unit
                room -= len(unit)
        return ChatContext(tuple(kept))

    def newest(self, max_bytes: int) -> ChatContext:
        """The last items whose JSON takes no more than this; rounds of calls stay or go whole."""
        kept: list[Entry] = []
        for unit in reversed(list(units(self.entries))):
            max_bytes -= sum(len(json.dumps(_written(entry), ensure_ascii=False).encode()) + 2 for entry in unit)
            if max_bytes < 0:
                break
            kept[:0] = unit
        return ChatContext(tuple(kept))

    def merge(self, other: ChatContext) -> ChatContext:
        """Followed by the items of `other` whose ids are not here."""
        here = set(self.ids)
        added = [unit for unit in units(other.entries) if not any(entry.id in here for entry in unit)]
        return ChatContext((*self.entries, *(entry for unit in added for entry in unit)))

    # JSON.

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "items": [_written(entry) for entry in self.entries]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChatContext:
        """Raises ValueError with the place of what is wrong."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT or not isinstance(data.get("items"), list):
            raise ValueError(f'a conversation is {{"format": "{FORMAT}", "items": [...]}}')
        entries = tuple(_read(item, f"items[{number}]") for number, item in enumerate(data["items"]))
        return cls(checked(entries))

    def to_livekit(self) -> dict[str, Any]:
        """The chat context of livekit-agents."""
        from agentd.providers.chat_livekit import to_livekit

        return to_livekit(self)

    @classmethod
    def from_livekit(cls, data: Mapping[str, Any]) -> ChatContext:
        """Text only. Raises ValueError with the place of what is wrong."""
        from agentd.providers.chat_livekit import from_livekit

        return from_livekit(data)

    def to_openai(self) -> list[dict[str, Any]]:
        """Messages of OpenAI's chat completions."""
        messages: list[dict[str, Any]] = []
        for unit in units(self.entries):
            first = unit[0].item
            if isinstance(first, Message):
                messages.append({"role": first.role, "content": first.text})
                continue
            calls = [entry.item for entry in unit if isinstance(entry.item, ToolCall)]
            if calls:
                messages.append({"role": "assistant", "content": None, "tool_calls": [_openai_call(c) for c in calls]})
            results = [entry.item for entry in unit if isinstance(entry.item, ToolResult)]
            messages += [{"role": "tool", "tool_call_id": r.call_id, "content": r.content} for r in results]
        return messages

    @classmethod
    def from_openai(cls, messages: Iterable[Mapping[str, Any]]) -> ChatContext:
        """Text only: parts of another kind are left out. Raises ValueError with the place of what is wrong."""
        items: list[ChatItem] = []
        names: dict[str, str] = {}
        for number, message in enumerate(messages):
            for item in _from_openai(message, names, f"messages[{number}]"):
                items.append(item)
                if isinstance(item, ToolCall):
                    names[item.id] = item.name
        return cls(checked(cls.of(items).entries))


def is_pinned(item: ChatItem) -> bool:
    """Instructions and summaries stay, whatever is left out."""
    return isinstance(item, Message) and item.role == "system"


def units(entries: Iterable[Entry]) -> Iterator[tuple[Entry, ...]]:
    """What may be kept or dropped as one: a message, or calls made side by side with their results."""
    unit: list[Entry] = []
    for entry in entries:
        begins_round = isinstance(entry.item, ToolCall) and unit and isinstance(unit[-1].item, ToolResult)
        if unit and (isinstance(entry.item, Message) or isinstance(unit[-1].item, Message) or begins_round):
            yield tuple(unit)
            unit = []
        unit.append(entry)
    if unit:
        yield tuple(unit)


def _written(entry: Entry) -> dict[str, Any]:
    match entry.item:
        case Message(role=role, text=text, interrupted=interrupted, speaker=speaker):
            who = {"speaker": asdict(speaker)} if speaker else {}
            return {"id": entry.id, "type": "message", "role": role, "text": text, "interrupted": interrupted, **who}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return {"id": entry.id, "type": "tool_call", "call_id": call_id, "name": name, "arguments": arguments}
        case ToolResult(call_id=call_id, name=name, content=content, is_error=failed):
            return {
                "id": entry.id, "type": "tool_result", "call_id": call_id, "name": name, "content": content,
                "is_error": failed,
            }  # fmt: skip


def _read(data: Any, place: str) -> Entry:
    if not isinstance(data, Mapping):
        raise _wrong(f"{place} is no item")
    name = _text(data, "id", place)
    match data.get("type"):
        case "message":
            if data.get("role") not in ("system", "user", "assistant"):
                raise ValueError(f"{place}.role is none of system, user, assistant")
            text = _text(data, "text", place)
            cut, speaker = data.get("interrupted") is True, _read_speaker(data.get("speaker"), f"{place}.speaker")
            return Entry(name, Message(role=data["role"], text=text, interrupted=cut, speaker=speaker))
        case "tool_call":
            call_id, called = _text(data, "call_id", place), _text(data, "name", place)
            return Entry(name, ToolCall(id=call_id, name=called, arguments=_text(data, "arguments", place)))
        case "tool_result":
            call_id, called, content = (_text(data, key, place) for key in ("call_id", "name", "content"))
            failed = data.get("is_error") is True
            return Entry(name, ToolResult(call_id=call_id, name=called, content=content, is_error=failed))
    raise ValueError(f"{place}.type is none of message, tool_call, tool_result")


def _read_speaker(data: Any, place: str) -> Speaker | None:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise _wrong(f"{place} is nobody")
    identity, label = _text(data, "identity", place), _text(data, "label", place)
    return Speaker(identity=identity, label=label, other_voice=data.get("other_voice") is True)


def _wrong(message: str) -> ValueError:
    """Of a document, also where a type in it is the wrong one."""
    return ValueError(message)


def _text(data: Mapping[str, Any], key: str, place: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise _wrong(f"{place}.{key} is no text")
    return value


def checked(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Raises ValueError for an id that comes twice, and for a call or a result that stands alone."""
    if len({entry.id for entry in entries}) < len(entries):
        raise ValueError("two items have the same id")
    for unit in units(entries):
        calls = [entry.item.id for entry in unit if isinstance(entry.item, ToolCall)]
        results = [entry.item.call_id for entry in unit if isinstance(entry.item, ToolResult)]
        if sorted(calls) != sorted(results):
            raise ValueError(f"item {unit[0].id} begins calls and results that do not belong together")
    return entries


def _openai_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _from_openai(message: Any, names: Mapping[str, str], place: str) -> Iterator[ChatItem]:
    if not isinstance(message, Mapping):
        raise _wrong(f"{place} is no message")
    role = message.get("role")
    text = _content(message.get("content"))
    if role == "tool":
        call_id = _text(message, "tool_call_id", place)
        yield ToolResult(call_id=call_id, name=names.get(call_id, ""), content=text)
        return
    if role not in _OPENAI_ROLES:
        raise ValueError(f"{place}.role is none of {', '.join(_OPENAI_ROLES)}, tool")
    if text:
        yield Message(role=_OPENAI_ROLES[role], text=text)  # type: ignore[arg-type]
    for number, call in enumerate(message.get("tool_calls") or ()):
        where = f"{place}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise _wrong(f"{where} calls no function")
        yield ToolCall(
            id=_text(call, "id", where),
            name=_text(function, "name", where),
            arguments=_text(function, "arguments", where),
        )


def _content(content: Any) -> str:
    """A text, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("type") == "text")
