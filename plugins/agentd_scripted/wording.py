"""Text with {slots}: what the dialogue says, and what it hands to tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"\{([A-Za-z_][\w.]*)\}")


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with every {name} and {name.key} replaced; an unknown one becomes nothing."""
    filled = _FIELD.sub(lambda match: _shown(_look_up(match.group(1), values)), text)
    return re.sub(r"[ \t]{2,}", " ", filled).strip()


def argument(text: str, values: Mapping[str, Any]) -> Any:
    """Like `fill`, but a text that is one {slot} keeps the slot's type."""
    only = _FIELD.fullmatch(text.strip())
    return _look_up(only.group(1), values) if only else fill(text, values)


def result_values(content: str) -> dict[str, Any]:
    """A tool's answer as a value: its JSON object where it is one, else its text."""
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = content
    return {"result": parsed if isinstance(parsed, dict | str) else content}


def captured(text: str, said: str) -> dict[str, str] | None:
    """What stands in `said` where `text` has its {fields}; None when `said` does not end with such a sentence."""
    names, parts = _FIELD.findall(text), _FIELD.split(text.strip())
    if not any(part.strip() for part in parts[::2]):
        return None
    pattern = "".join("(.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    found = re.search(rf"{pattern}\Z", said.strip(), re.DOTALL)
    return dict(zip(names, found.groups(), strict=True)) if found else None


def _look_up(path: str, values: Mapping[str, Any]) -> Any:
    name, *keys = path.split(".")
    value: Any = values.get(name, "")
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else ""
    return value


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else str(value)
