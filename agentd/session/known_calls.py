"""What a journal says of the calls of tools: the fold over their records. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentd.session.history import tools_id

KEPT = 200  # the oldest that have ended are forgotten first


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    """`outcome` None: it has no result. `at` and `expires_at`: unix time. `background`: no reply waited for it any
    longer; `pending`: because its result comes by callback. `made` False: a rule had stopped it."""

    id: str
    name: str
    arguments: str
    reply: int
    key: str
    at: float
    speaker: str = ""
    background: bool = False
    pending: bool = False
    expires_at: float | None = None
    digests: tuple[str, ...] = ()
    outcome: str | None = None
    content: str = ""
    duration_s: float = 0.0
    made: bool = True

    @property
    def entry(self) -> str:
        """The id of its round in the history."""
        return tools_id(self.reply)


class KnownCalls:
    """By reply and id: models number their calls anew."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[int, str], KnownCall] = OrderedDict()

    def called(self, data: Mapping[str, Any], at: float) -> None:
        self._calls[data["reply"], data["id"]] = KnownCall(
            id=data["id"],
            name=data["name"],
            arguments=data["arguments"],
            reply=data["reply"],
            key=data.get("key", ""),
            at=at,
            speaker=data.get("speaker", ""),
            expires_at=data.get("expires_at"),
        )

    def changed(self, data: Mapping[str, Any], **changes: Any) -> None:
        key = (data["reply"], data["id"])
        if key in self._calls:
            self._calls[key] = replace(self._calls[key], **changes)

    def completed(self, data: Mapping[str, Any]) -> None:
        self.changed(
            data,
            outcome=data.get("outcome", "ok"),
            content=data["content"],
            duration_s=float(data.get("duration_s", 0.0)),
            made="rule" not in data,
        )
        ended = [key for key, call in self._calls.items() if call.outcome is not None]
        for key in ended[: max(0, len(ended) - KEPT)]:
            del self._calls[key]

    def get(self, data: Mapping[str, Any]) -> KnownCall | None:
        return self._calls.get((data["reply"], data["id"]))

    def all(self) -> tuple[KnownCall, ...]:
        """In the order in which they were made."""
        return tuple(self._calls.values())
