"""Something that happened in a call, as hooks and followers see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AT_SHUTDOWN = "shutdown"
"""What shutdown callbacks are called with, once the call is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`type`: a name of docs/events.md, before_reply or shutdown; `at`: unix time; `data`: its fields, read only."""

    type: str
    session: str
    agent: str
    at: float
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnChange:
    """What a before_reply hook wants of the caller's turn. `text`: instead of what was heard. `context`: what the model
    is told for this reply only. `drop`: there is no reply, and the model never learns of the turn."""

    text: str | None = None
    context: str = ""
    drop: bool = False
