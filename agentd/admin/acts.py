"""What an operator sends to act on a call, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from agentd.admin.problems import Refused
from agentd.tools.acts import (
    Act,
    ClearUserTurn,
    CommitUserTurn,
    EndSession,
    GenerateReply,
    InterruptSpeech,
    Priority,
    SayText,
    TransferCall,
)

MAX_CHARACTERS = 4_000
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


def act_of(verb: str, body: Mapping[str, Any]) -> Act:
    """Raises Refused with what to send instead; KeyError for a verb that there is not."""
    fields, make = _VERBS[verb]
    unknown = sorted(body.keys() - fields.keys())
    if unknown:
        raise Refused(422, f"{', '.join(unknown)}: not known here; {verb} takes {', '.join(fields) or 'nothing'}")
    return make(**{name: fields[name](name, value) for name, value in body.items()})


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(422, f'send {{"{name}": "..."}}: a text')
    if len(value) > MAX_CHARACTERS:
        raise Refused(422, f"{name} has {len(value)} characters; {MAX_CHARACTERS} are taken at once")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused(422, f"{name} is true or false")
    return value


def _priority(name: str, value: Any) -> str:
    if value not in PRIORITIES:
        raise Refused(422, f"{name} is one of {', '.join(PRIORITIES)}")
    return str(value)


def _say(text: str = "", **options: Any) -> Act:
    return SayText(text=_text("text", text), **options)


def _end(say: str = "") -> Act:
    return EndSession(reason="ended_by_operator", goodbye=say)


def _transfer(destination: str = "", summary: str = "") -> Act:
    return TransferCall(destination=_text("destination", destination), summary=summary)


_Fields = Mapping[str, Callable[[str, Any], Any]]
_VERBS: Mapping[str, tuple[_Fields, Callable[..., Act]]] = {
    "say": ({"text": _text, "priority": _priority, "interruptible": _flag, "add_to_history": _flag}, _say),
    "generate_reply": (
        {"instructions": _text, "user_input": _text, "priority": _priority, "interruptible": _flag},
        GenerateReply,
    ),
    "interrupt": ({"force": _flag}, InterruptSpeech),
    "commit_user_turn": ({}, CommitUserTurn),
    "clear_user_turn": ({}, ClearUserTurn),
    "transfer": ({"destination": _text, "summary": _text}, _transfer),
    "end": ({"say": _text}, _end),
}
VERBS = tuple(_VERBS)
