"""Durations as text, and values as canonical JSON: for digests, schemas, docs and output."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from agentd.providers.fields import IncludedFile, Secret

DURATION_PATTERN = r"^(0|[0-9]+(\.[0-9]+)?(ms|s|m|h))$"
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", re.ASCII)
_NOT_RESOLVED = frozenset(
    {"source", "places", "digest", "extends", "code", "files", "root"}
)  # of AgentDefinition: where it came from, not what it says


def parse_duration(text: str) -> float | None:
    """Seconds, or None when the text is no duration."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None or len(text) > 20:
        return None
    return round(float(found[1]) * _UNITS_S[found[2]], 9)


def format_duration(seconds: float) -> str:
    """The shortest way to write it: 0.25 -> "250ms", 900 -> "15m"."""
    if seconds == 0:
        return "0"
    for unit in ("h", "m", "s"):
        if seconds % _UNITS_S[unit] == 0:
            return f"{seconds / _UNITS_S[unit]:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


def digest(value: Any) -> str:
    """Equal for values that mean the same, whatever the order of their keys. 64 hex digits."""
    text = json.dumps(canonical(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(value: Any) -> Any:
    """JSON that differs when the configuration does."""
    if isinstance(value, Secret):
        return {"secret": [value.source, value.value]}
    if isinstance(value, IncludedFile):
        return {"text": value.text}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        named = {name: content for name, content in fields.items() if name not in _NOT_RESOLVED}
        return {"is": type(value).__qualname__, **named}
    if isinstance(value, Mapping):
        return {str(key): canonical(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value
