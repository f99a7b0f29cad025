"""What was said in a call, for the log of those who want it there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.session.records import Record

_TOLD: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "turn.user": ("caller said", ("text", "language", "speaker")),
    "turn.agent": ("agent said", ("text", "interrupted", "purpose")),
    "tool.called": ("tool called", ("name", "arguments")),
    "tool.completed": ("tool answered", ("name", "content", "outcome")),
}


def spoken(record: Record) -> tuple[str, dict[str, Any]] | None:
    """The message and its fields; None for what is no content."""
    told = _TOLD.get(record.kind)
    if told is None:
        return None
    message, names = told
    fields = {name: record.data[name] for name in names if record.data.get(name) not in (None, "")}
    if "name" in fields:  # logging has a field of this name
        fields["tool"] = fields.pop("name")
    return message, fields
