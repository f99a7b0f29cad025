"""What the code of tools and hooks, and webhooks' answers, ask of the agent itself: to be another, told otherwise, or
with other tools; to collect data, and to press keys. Pure; nothing in it is taken for granted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from agentd.config.handoffs import HISTORY_PATTERN, Enter
from agentd.tools.acts import BeginTask, HandOff, PressKeys, SetTools, UpdateInstructions
from agentd.tools.text import for_model, for_speech

_ENTER: tuple[Enter, ...] = get_args(Enter)
MAX_TOOLS = 128  # as an agent may have
KEYS_PATTERN = r"[0-9*#A-D,]{1,64}"

Change = HandOff | UpdateInstructions | SetTools | BeginTask | PressKeys


def change_of_agent(kind: str, value: Mapping[str, Any]) -> Change | None:
    """`kind`: handoff, update_instructions, set_tools, collect or send_dtmf. None for what cannot be read."""
    match kind:
        case "collect":
            return _collect(value)
        case "send_dtmf":
            keys = value.get("keys")
            return PressKeys(keys=keys) if isinstance(keys, str) and re.fullmatch(KEYS_PATTERN, keys) else None
        case "handoff":
            return _handoff(value)
        case "update_instructions":
            return _instructions(value)
        case "set_tools":
            return _tools(value)
    return None


def _collect(value: Mapping[str, Any]) -> BeginTask | None:
    """`known`: what the caller has said of the task already, by field; `ask`: instead of its first question."""
    task, known, ask = value.get("task"), value.get("known") or {}, value.get("ask") or ""
    if not isinstance(task, str) or not task or not isinstance(ask, str) or not isinstance(known, Mapping):
        return None
    said = {str(name): for_speech(str(text)) for name, text in known.items() if isinstance(text, str | int | float)}
    return BeginTask(task=task, known=said, ask=for_speech(ask), by="action")


def _handoff(value: Mapping[str, Any]) -> HandOff | None:
    agent, history = value.get("agent"), value.get("history") or "full"
    enter = next((each for each in _ENTER if each == value.get("enter")), None if value.get("enter") else "auto")
    say, variables = value.get("say") or "", value.get("variables") or {}
    if not isinstance(agent, str) or not agent or not isinstance(say, str) or not isinstance(variables, dict):
        return None
    if not isinstance(history, str) or not re.fullmatch(HISTORY_PATTERN, history) or enter is None:
        return None
    return HandOff(agent=agent, history=history, say=for_speech(say), variables=variables, enter=enter, rule="tool")


def _instructions(value: Mapping[str, Any]) -> UpdateInstructions | None:
    """`{append: text}` or `{replace: text}`."""
    match value:
        case {"append": str(text)} if text.strip():
            return UpdateInstructions(text=for_model(text), edit="append")
        case {"replace": str(text)} if text.strip():
            return UpdateInstructions(text=for_model(text), edit="replace")
    return None


def _tools(value: Mapping[str, Any]) -> SetTools | None:
    enable, disable = _names(value.get("enable")), _names(value.get("disable"))
    return SetTools(enable=enable, disable=disable) if enable or disable else None


def _names(value: Any) -> tuple[str, ...]:
    names = value[:MAX_TOOLS] if isinstance(value, list) else []
    return tuple(name for name in names if isinstance(name, str))
