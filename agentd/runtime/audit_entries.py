"""What of a session's records is for the audit log: calls of tools, for whom, who agreed, what became of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from agentd.errors import JournalError
from agentd.runtime.audit_log import AuditLog

logger = logging.getLogger(__name__)

Arguments = Literal["hash", "redacted", "full"]
_KINDS = frozenset({"tool.called", "tool.completed", "tool.detached", "tool.repeated", "consent", "tool.hooked"})
_SHOWN_CHARACTERS = 16 * 1024


@dataclass(slots=True)
class Auditor:
    """Of one session. `take` is given every record's kind and data before anything else is done with it; it never
    raises: a log that cannot be written is an error in the daemon's log, and the call goes on."""

    log: AuditLog
    arguments: Arguments
    session: str
    agent: str
    revision: str
    keys: dict[str, str] = field(default_factory=dict)  # idempotency keys of calls, by the calls' ids
    failed: bool = False

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "agent.edited" and data["agent"] == self.agent:
            self.revision = data["revision"]
        entry = self._entry(kind, data)
        if entry is None:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        who = {"session": self.session, "agent": self.agent, "revision": self.revision}
        try:
            self.log.append({"at": at, "kind": entry.pop("kind"), **who, **entry})
            self.failed = False
        except JournalError:
            if not self.failed:
                logger.exception("audit_failed")
            self.failed = True

    def _entry(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
        if kind == "decision" and data["action"] == "RefuseTool":
            tool = str(data["value"]).split(".")[1]
            return {"kind": "tool.refused", "tool": tool, "call": data.get("detail", ""), "rule": data["rule"]}
        if kind not in _KINDS:
            return None
        if kind == "consent":
            return self._consent(data)
        told: dict[str, Any] = {"kind": kind, "tool": data["name"], "call": data["id"]}
        if kind in ("tool.called", "tool.hooked"):
            told["caller"] = data.get("speaker", "")
            told |= self._told(data["arguments"])
            self.keys[data["id"]] = data.get("key", "")
        told["key"] = self.keys.get(data["id"], "")
        for name in ("outcome", "is_error", "duration_s", "rule"):
            if data.get(name) is not None and name in data:
                told[name] = data[name]
        if str(data["id"]).startswith("consent-"):
            told["consent"] = data["id"]
        return told

    def _consent(self, data: Mapping[str, Any]) -> dict[str, Any]:
        told = {"kind": f"consent.{data['outcome']}", "tool": data["tool"], "consent": data["id"], "by": data["by"]}
        told |= {"caller": data["identity"], "rule": data["rule"], "binds": data["digest"]}
        return told | (self._told(data["arguments"]) if "arguments" in data else {})

    def _told(self, arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = {"arguments_sha256": sha256(_canonical(arguments).encode()).hexdigest()}
        if self.arguments == "full":
            told["arguments"] = arguments[:_SHOWN_CHARACTERS]
        elif self.arguments == "redacted":
            told["arguments"] = redacted(arguments)
        return told


def redacted(arguments: str) -> Any:
    """Which arguments there were, without what they said."""
    try:
        return _masked(json.loads(arguments))
    except (ValueError, RecursionError):
        return "***"


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return value if value is None or isinstance(value, bool) else "***"


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return arguments
