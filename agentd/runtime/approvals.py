"""Calls of tools that wait for an operator, as the journal of their session tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from agentd.session.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Times are unix seconds. `state`: open, or what became of it (granted, denied, expired, replaced).
    What would be called is None where it is not told."""

    id: str
    tool: str
    arguments: str | None
    question: str | None
    caller: str
    asked_at: float
    expires_at: float
    state: str = "open"


def approvals_in(records: Iterable[Record], now: float) -> list[Approval]:
    """All that were asked for in this call, in order."""
    found: dict[str, Approval] = {}
    for record in records:
        data = record.data
        if record.kind != "consent" or data["by"] != "operator":
            continue
        if data["outcome"] == "asked":
            found[data["id"]] = Approval(
                id=data["id"],
                tool=data["tool"],
                arguments=data["arguments"],
                question=data["text"],
                caller=data["identity"],
                asked_at=record.at,
                expires_at=record.at + data["expires_s"],
            )
        elif data["id"] in found and data["outcome"] in ("granted", "denied", "expired", "replaced"):
            found[data["id"]] = replace(found[data["id"]], state=data["outcome"])
    late = {name for name, each in found.items() if each.state == "open" and each.expires_at < now}
    return [replace(each, state="expired") if name in late else each for name, each in found.items()]
