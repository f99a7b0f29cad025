"""Words for problems: what was found, what was meant, and how a thing is written."""

from __future__ import annotations

import re

from agentd.config.definition import LANGUAGE_PATTERN, NAME_PATTERN
from agentd.config.patterns import REFERENCE_PATTERN, TOOL_NAME_PATTERN, URL_PATTERN
from agentd.config.source import ListNode, MappingNode, Node, Scalar
from agentd.config.values import format_duration, parse_duration
from agentd.providers.fields import Setting

SYNONYMS = {
    "prompt": "instructions", "system_prompt": "instructions", "system": "instructions",
    "prompt_file": "instructions_file", "first_message": "greeting", "begin_message": "greeting",
    "transcriber": "stt", "asr": "stt", "model": "llm", "voice": "tts", "speech": "tts", "functions": "tools",
    "speech_to_speech": "realtime", "s2s": "realtime",
    "base": "extends", "include": "extends", "agent_name": "name", "inherits": "extends",
}  # fmt: skip
BOOLEAN_WORDS = {
    "yes": "write true", "on": "write true", "1": "write true",
    "no": "write false", "off": "write false", "0": "write false",
}  # fmt: skip
_UNIT_WORDS = {
    "": "s", "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
    "ms": "ms", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
}  # fmt: skip
_PATTERN_WORDS = {
    TOOL_NAME_PATTERN: "letters, digits, _ and -, at most 64 of them, and no digit first",
    REFERENCE_PATTERN: "written module:function or module:object.method, like tools.booking:book",
    LANGUAGE_PATTERN: "a BCP 47 tag, like en-GB",
    URL_PATTERN: "it begins with https:// or http://",
}


def name_of(pointer: str) -> str:
    """What to call the place: its key, or for an item of a list "key[n]"."""
    parent, _, last = pointer.rpartition("/")
    last = last.replace("~1", "/").replace("~0", "~")
    return f"{name_of(parent)}[{last}]" if last.isdigit() and parent else last


def found_there(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return node.text
    return node.text if isinstance(value, int | float) else f'"{shortened(node.text)}"'


def as_shown(node: Node) -> str:
    """A scalar in a message: never what a reference was expanded to, as that may be a secret."""
    return f'"{shortened(node.text)}"' if isinstance(node, Scalar) else found_there(node)


def as_written(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "..."
    return node.text if node.plain and re.fullmatch(r"[\w.-]+", node.text) else f'"{node.text}"'


def shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def first_sentence(setting: Setting) -> str:
    return setting.doc.split(". ")[0].rstrip(".")


def pattern_hint(setting: Setting, text: str) -> str:
    if setting.pattern == NAME_PATTERN:
        near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
        rule = "a name is lower-case letters, digits and hyphens, at most 63 of them"
        return f'did you mean "{near}"?' if near and len(text) <= 63 else rule
    if setting.pattern in _PATTERN_WORDS:
        return _PATTERN_WORDS[setting.pattern]
    return f"like {setting.examples[0]}" if setting.examples else f"it must match {setting.pattern}"


def unset_hint(variable: str) -> str:
    return f"set it, or write ${{{variable}:-default}}"


def near_duration(text: str, longest_s: float | None = None) -> str:
    """What was meant by "15", "15 minutes" or "1h30m"; a bare number that is more than `longest_s` was in ms."""
    general = "durations are written 250ms, 0.5s, 15m or 1h"
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", text.strip())
    if found:
        too_long = longest_s is not None and not found[2] and float(found[1]) > longest_s
        unit = "ms" if too_long else _UNIT_WORDS.get(found[2].lower())
        return f'did you mean "{found[1]}{unit}"?' if unit else general
    parts = re.findall(r"[0-9]{1,9}(?:ms|s|m|h)", text)
    if parts and "".join(parts) == text.replace(" ", ""):
        return f'did you mean "{format_duration(sum(parse_duration(part) or 0 for part in parts))}"?'
    return general


def is_sensitive_header(name: str) -> bool:
    return bool(re.search(r"authorization|cookie|token|secret|key|password", name, re.IGNORECASE))
