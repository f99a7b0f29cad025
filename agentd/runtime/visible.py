"""What of a session is seen from outside, record by record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.session.records import Record
from agentd.session.timing import TOTAL


def visible_changes(record: Record) -> Mapping[str, Any]:
    """Fields of SessionChanged that this record sets. Pure."""
    match record.kind:
        case "state":
            return {"state": str(record.data["state"])}
        case "agent.entered":
            return {"acting": str(record.data["agent"])}
        case "turn.user":
            return {"turns": int(record.data["turn"])}
        case "turn.agent" if TOTAL in record.data["latencies"]:
            return {"latencies": dict(record.data["latencies"])}
        case "caller.linked":
            present = tuple(record.data.get("present", ()))
            return {"caller": ", ".join(present) or str(record.data.get("name") or record.data["identity"])}
        case "caller.left" if record.data.get("present"):
            return {"caller": ", ".join(record.data["present"])}
    return {}
