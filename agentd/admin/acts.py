"""What an operator sends to act on a call, read and checked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from agentd.admin.problems import Refused
from agentd.config.handoffs import HISTORY_PATTERN, Enter
from agentd.tools.acts import (
    Act,
    ClearUserTurn,
    CommitUserTurn,
    EndSession,
    GenerateReply,
    HandOff,
    InterruptSpeech,
    MuteCall,
    Muted,
    Priority,
    SayText,
    SetCallVariables,
    SetTools,
    TransferCall,
    UpdateInstructions,
)

MAX_CHARACTERS = 4_000
MAX_NAMES = 128
ENTERS: tuple[Enter, ...] = get_args(Enter)
MAX_VARIABLES = 100
MAX_VARIABLES_CHARACTERS = 16_384
MUTED: tuple[Muted, ...] = get_args(Muted)
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


def _handoff(agent: str = "", **options: Any) -> Act:
    return HandOff(agent=_text("agent", agent), **options)


def _history(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(HISTORY_PATTERN, value):
        raise Refused(422, f"{name} is full, last: N, summary or none")
    return value


def _enter(name: str, value: Any) -> str:
    if value not in ENTERS:
        raise Refused(422, f"{name} is one of {', '.join(ENTERS)}")
    return str(value)


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(422, f"{name} is an object")
    return value


def _instructions(append: str = "", replace: str = "") -> Act:
    if bool(append) is bool(replace):
        raise Refused(422, 'send {"append": "..."} or {"replace": "..."}')
    return UpdateInstructions(text=append or replace, edit="append" if append else "replace")


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refused(422, f"{name} is a list of names")
    return tuple(value[:MAX_NAMES])


def _values(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value:
        raise Refused(422, f'send {{"{name}": {{"name": "value"}}}}: variables and their values')
    if len(value) > MAX_VARIABLES or len(json.dumps(value)) > MAX_VARIABLES_CHARACTERS:
        raise Refused(
            422, f"{name} holds too much: {MAX_VARIABLES} names, {MAX_VARIABLES_CHARACTERS} characters as JSON"
        )
    return value


def _set(set: Any = None) -> Act:
    return SetCallVariables(values=_values("set", set))


def _muted(name: str, value: Any) -> str:
    if value not in MUTED:
        raise Refused(422, f"{name} is one of {', '.join(MUTED)}")
    return str(value)


def _mute(what: Any = None) -> Act:
    return MuteCall(what=_muted("what", what))  # type: ignore[arg-type]  # one of them


def _unmute(what: Any = None) -> Act:
    return MuteCall(what=_muted("what", what), muted=False)  # type: ignore[arg-type]


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
    "handoff": (
        {"agent": _text, "history": _history, "say": _text, "variables": _object, "enter": _enter},
        _handoff,
    ),
    "instructions": ({"append": _text, "replace": _text}, _instructions),
    "tools": ({"enable": _names, "disable": _names}, SetTools),
    "mute": ({"what": _muted}, _mute),
    "unmute": ({"what": _muted}, _unmute),
    "variables": ({"set": _values}, _set),
}
VERBS = tuple(_VERBS)
