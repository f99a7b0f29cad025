"""The events of the webhook contract that a session's records make (docs/webhooks.md). Pure.

Like `agentd.session.happenings` a fold over the journal, told to servers instead of hooks: fewer events, under the
contract's names, each with its place (`seq`) in the call. The same journal makes the same events with the same places,
so that whoever reads it again after a fault knows which were told already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.session.happenings import CLOSE_CATEGORIES, USAGE
from agentd.session.records import Record

FINAL = frozenset({"session.ended", "session.failed"})
"""After one of them nothing more comes of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractEvent:
    """`seq` counts from 1 in a session; `at` is unix time; `data`: without what all events of a session carry."""

    type: str
    seq: int
    at: float
    data: Mapping[str, Any]


_Told = Iterator[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class ContractEvents:
    """The fold over one session's records. `agent`, `revision`: until its first record says them."""

    session: str
    agent: str
    revision: str = ""
    room: str = ""
    job_id: str = ""
    started_at: float = 0.0
    language: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    participant: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE, 0))
    transcript: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the turn's place in the history
    seq: int = 0

    def take(self, record: Record) -> list[ContractEvent]:
        """What this record means, in order; nothing for most kinds."""
        handler = _HANDLERS.get(record.kind)
        made = []
        for kind, data in handler(self, record) if handler else ():
            self.seq += 1
            made.append(ContractEvent(type=kind, seq=self.seq, at=record.at, data=data))
        return made

    def common(self) -> dict[str, Any]:
        """What every event of the session carries, as it stands."""
        session: dict[str, Any] = {"id": self.session, "room": self.room, "job_id": self.job_id}
        return {
            "agent": {"name": self.agent, "revision": self.revision},
            "session": {**session, "started_at": self.started_at, "participant": self.participant or None},
        }

    # By kind of record.

    def started(self, record: Record) -> _Told:
        data = record.data
        self.agent, self.revision = data["agent"], data["revision"]
        self.room, self.job_id, self.started_at = data.get("room", ""), data.get("job_id", ""), record.at
        self.variables.update(data.get("variables") or {})
        yield "session.started", {"variables": dict(self.variables)}

    def edited(self, record: Record) -> _Told:
        if record.data["agent"] == self.agent:
            self.revision = record.data["revision"]
        self.variables = dict(record.data["variables"])
        yield from ()

    def linked(self, record: Record) -> _Told:
        self.participant = {name: record.data[name] for name in ("identity", "name", "kind")}
        yield "participant.linked", {"participant": self.participant, "returned": record.data["returned"]}

    def left(self, record: Record) -> _Told:
        data = record.data
        who = {"identity": data["identity"]}
        yield "participant.left", {"participant": who, "reason": data["reason"], "final": data["final"]}

    def user_turn(self, record: Record) -> _Told:
        data = record.data
        self.transcript[f"user {data['turn']}"] = {"role": "user", "text": data["text"], "at": record.at}
        named = {name: data.get(name) for name in ("turn", "text", "language", "source", "speaker")}
        yield "turn.user", named

    def corrected(self, record: Record) -> _Told:
        """Its words were found out after it had ended; turn.user has been told."""
        if turn := self.transcript.get(f"user {record.data['turn']}"):
            turn["text"] = record.data["text"]
        yield from ()

    def agent_turn(self, record: Record) -> _Told:
        data = record.data
        if not data["text"]:
            return
        item = {"role": "assistant", "text": data["text"], "at": record.at, "interrupted": data["interrupted"]}
        self.transcript[f"agent {data['reply']}"] = item
        told = {name: data.get(name) for name in ("turn", "text", "interrupted", "purpose")}
        yield "turn.agent", {**told, "latencies": dict(data.get("latencies") or {})}

    def tool_called(self, record: Record) -> _Told:
        data = record.data
        yield "tool.called", {"call_id": data["id"], "tool": data["name"], "arguments": _arguments(data["arguments"])}

    def tool_completed(self, record: Record) -> _Told:
        data = record.data
        told = {"call_id": data["id"], "tool": data["name"], "content": data["content"]}
        kind = "tool.failed" if data["is_error"] else "tool.completed"
        yield kind, {**told, "outcome": data["outcome"], "duration": data["duration_s"]}

    def set_variables(self, record: Record) -> _Told:
        self.variables.update(record.data["values"])
        yield from ()

    def used(self, record: Record) -> _Told:
        for name in USAGE:
            self.usage[name] += int(record.data[name] or 0)
        yield from ()

    def ended(self, record: Record) -> _Told:
        reason = str(record.data["reason"])
        failed = reason.startswith("error_") or CLOSE_CATEGORIES.get(reason) == "error"
        yield "session.usage", {"usage": dict(self.usage)}
        yield (
            "session.failed" if failed else "session.ended",
            {
                "reason": reason,
                "duration": record.data["duration_s"],
                "usage": dict(self.usage),
                "variables": dict(self.variables),
            },
        )

    def turns(self) -> list[dict[str, Any]]:
        """The transcript so far: what was said and heard, in order."""
        return [dict(turn) for turn in self.transcript.values()]


def _arguments(written: Any) -> Any:
    """As tool.call has them; what the model wrote, where that is no JSON."""
    try:
        return json.loads(written) if isinstance(written, str) else written
    except ValueError:
        return written


def _passed_on(kind: str) -> Callable[[ContractEvents, Record], _Told]:
    """The record's own fields, under its own name."""

    def told(_: ContractEvents, record: Record) -> _Told:
        yield kind, dict(record.data)

    return told


_HANDLERS: Mapping[str, Callable[[ContractEvents, Record], _Told]] = {
    "session.started": ContractEvents.started,
    "session.ended": ContractEvents.ended,
    "caller.linked": ContractEvents.linked,
    "agent.edited": ContractEvents.edited,
    "caller.left": ContractEvents.left,
    "turn.user": ContractEvents.user_turn,
    "turn.corrected": ContractEvents.corrected,
    "turn.agent": ContractEvents.agent_turn,
    "tool.called": ContractEvents.tool_called,
    "tool.completed": ContractEvents.tool_completed,
    "variables": ContractEvents.set_variables,
    "usage": ContractEvents.used,
    "handoff": _passed_on("handoff"),
    "transfer": _passed_on("transfer"),
    "recording.ready": _passed_on("recording.ready"),
}
