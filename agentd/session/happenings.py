"""The events of a session: what its records mean to somebody who follows the call. Pure, and the one place for it.

The journal holds the records, and everything here is made of them alone, so a journal tells the same events again.
`agentd.session.event_types` says which there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.session.event_types import EVENT_TYPES
from agentd.session.records import Record
from agentd.tools.spec import Event

USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "characters")


JOURNAL_ONLY = frozenset(
    {
        *("echo", "speech.started", "speech.ended", "turn.judged", "interruption.judged", "voice.unheard"),
        *("reply.started", "reply.written", "segment.started", "segment.heard", "turn.corrected"),
        *("turn.held", "hook.entered", "hook.completed", "session.requested", "tool.callback"),
        *("shutdown.added", "agent.attributes"),
        *("session.queued", "busy"),
    }
)
"""Kinds that make no event: the sound of a call in detail, for its recovery and its explanation."""

CLOSE_CATEGORIES: Mapping[str, str] = {
    "caller_left": "participant_disconnected",
    "caller_lost": "participant_disconnected",
    "no_caller": "participant_disconnected",
    "ended_by_agent": "task_completed",
    "idle": "task_completed",
    "max_duration": "task_completed",
    "ended_by_operator": "user_initiated",
    "error": "error",
    "rescue_failed": "error",
}
"""livekit-agents' five; any other reason is a shutdown of the job."""

_Told = Iterator[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class Happenings:
    """The fold over one session's records. `agent`: that has the call; `usage`: of an earlier incarnation."""

    session: str
    agent: str
    usage: dict[str, int] = field(default_factory=dict)
    state: str = "initializing"
    speech_s: float = 0.0  # length of the caller's last utterance
    last_kind: str = ""
    round: dict[str, dict[str, Any]] = field(default_factory=dict)  # calls made side by side, by id

    def take(self, record: Record) -> list[Event]:
        """What this record means, in order; nothing for most kinds."""
        handler: Callable[[Happenings, Mapping[str, Any]], _Told] | None = _HANDLERS.get(record.kind)
        told = list(handler(self, record.data)) if handler else []
        self.last_kind = record.kind
        return [
            Event(type=name, session=self.session, agent=self.agent, at=record.at, data=data) for name, data in told
        ]

    def entered(self, data: Mapping[str, Any]) -> _Told:
        """From now on it is this agent's call."""
        self.agent = data["agent"]
        yield "agent_entered", {name: data[name] for name in EVENT_TYPES["agent_entered"].fields}

    def ended(self, data: Mapping[str, Any]) -> _Told:
        """Not an event by itself: wordless speech is told with its length."""
        self.speech_s = float(data["duration_s"])
        yield from ()

    def wordless(self, data: Mapping[str, Any]) -> _Told:
        yield "user_transcription_timeout", {"speech_duration": self.speech_s}

    def agent_state(self, data: Mapping[str, Any]) -> _Told:
        before, self.state = self.state, data["state"]
        yield "agent_state_changed", {"old_state": before, "new_state": self.state}

    def tool_called(self, data: Mapping[str, Any]) -> _Told:
        """Calls made side by side are recorded one right after the other."""
        if self.last_kind != "tool.called":
            self.round = {}
        self.round[data["id"]] = {"id": data["id"], "name": data["name"], "arguments": data["arguments"]}
        yield "tool_execution_updated", _tool(data, status="started", duration=None, content=None)

    def tool_progress(self, data: Mapping[str, Any]) -> _Told:
        told = {**data, "arguments": self.round.get(data["id"], {}).get("arguments")}
        content = data["status"] or data["say"]
        yield "tool_execution_updated", _tool(told, status="progress", duration=None, content=content)

    def tool_completed(self, data: Mapping[str, Any]) -> _Told:
        call = self.round.get(data["id"])
        status = {"ok": "done"}.get(data["outcome"], data["outcome"])
        arguments = call["arguments"] if call else None
        told = {**data, "arguments": arguments}
        yield (
            "tool_execution_updated",
            _tool(told, status=status, duration=data["duration_s"], content=data["content"]),
        )
        if call is None:
            return
        names = ("content", "is_error", "outcome", "duration_s")
        call.update({name: data[name] for name in names})
        if all("outcome" in each for each in self.round.values()):
            yield "function_tools_executed", {"reply": data["reply"], "calls": list(self.round.values())}
            self.round = {}

    def used(self, data: Mapping[str, Any]) -> _Told:
        yield "metrics_collected", {"source": "usage", "metrics": dict(data)}
        self.usage = {name: self.usage.get(name, 0) + int(data[name] or 0) for name in USAGE}
        yield "session_usage_updated", {"usage": dict(self.usage)}


def _tool(data: Mapping[str, Any], *, status: str, duration: float | None, content: Any) -> dict[str, Any]:
    named = {name: data[name] for name in ("id", "name", "arguments")}
    return {**named, "status": status, "duration": duration, "content": content}


def _tools_changed(_: Happenings, data: Mapping[str, Any]) -> _Told:
    changes = data["changes"]
    added = [name for name, told in changes.items() if told is not None]
    yield "tools_changed", {"added": added, "removed": [name for name, told in changes.items() if told is None]}


def _tool_status(status: str) -> Callable[[Happenings, Mapping[str, Any]], _Told]:
    def told(_: Happenings, data: Mapping[str, Any]) -> _Told:
        yield "tool_execution_updated", _tool({**data, "arguments": None}, status=status, duration=None, content=None)

    return told


def _user_state(_: Happenings, data: Mapping[str, Any]) -> _Told:
    told = {"old_state": data["before"], "new_state": data["state"]}
    yield "user_state_changed", {**told, "rule": data["rule"], "value": data["value"]}


def _transcript(_: Happenings, data: Mapping[str, Any]) -> _Told:
    told = {"transcript": data["text"], "is_final": data["final"], "language": data["language"]}
    told["speaker"] = data.get("speaker")
    yield "user_input_transcribed", told


def _user_turn(_: Happenings, data: Mapping[str, Any]) -> _Told:
    yield "conversation_item_added", _item("user", data, interrupted=False)


def _agent_turn(_: Happenings, data: Mapping[str, Any]) -> _Told:
    if data["text"]:
        yield "conversation_item_added", _item("assistant", data, interrupted=data["interrupted"])
    if data["latencies"]:
        yield "metrics_collected", {"source": "turn", "metrics": dict(data["latencies"])}


def _item(role: str, data: Mapping[str, Any], *, interrupted: bool) -> dict[str, Any]:
    item = {"role": role, "text": data["text"], "interrupted": interrupted}
    return {
        **item,
        **{name: data.get(name) for name in ("turn", "reply", "purpose", "language", "speaker", "revision")},
    }


def _decision(_: Happenings, data: Mapping[str, Any]) -> _Told:
    why = {"rule": data["rule"], "value": data["value"]}
    if data["action"] == "ResumeSpeech":
        yield "agent_false_interruption", {"resumed": True, **why}
    if data["rule"] == "max_speech":
        yield "user_speech_limit", {"taken": data["action"] == "CommitTurn", **why}
    if data["action"] == "KeepRevision":
        names = ("agent", "revision", "previous", "kept")
        told = {name: data[name] for name in names}
        yield "agent_edited", {**told, "taken": False, "applied": [], "reason": data["value"]}
    yield "debug_message", {"message": data["action"], **why}


def _edited(_: Happenings, data: Mapping[str, Any]) -> _Told:
    told = {name: data[name] for name in ("agent", "revision", "previous", "applied", "kept")}
    yield "agent_edited", {**told, "taken": True, "reason": ""}


def _overlapped(_: Happenings, data: Mapping[str, Any]) -> _Told:
    outcome = data["outcome"]
    told = {"is_interruption": outcome == "interruption", "outcome": outcome, "duration": data["duration_s"]}
    yield "overlapping_speech", told


def _metrics(source: str) -> Callable[[Happenings, Mapping[str, Any]], _Told]:
    def told(_: Happenings, data: Mapping[str, Any]) -> _Told:
        yield "metrics_collected", {"source": source, "metrics": dict(data)}

    return told


def _speech(_: Happenings, data: Mapping[str, Any]) -> _Told:
    same = {name: data[name] for name in ("speech", "source", "purpose", "priority", "interruptible")}
    yield "speech_created", {**same, "user_initiated": data["requested"]}


def _speech_finished(_: Happenings, data: Mapping[str, Any]) -> _Told:
    told = {"speech": data["speech"], "user_initiated": data["requested"], "interrupted": data["interrupted"]}
    yield "speech_finished", told


def _started(happenings: Happenings, data: Mapping[str, Any]) -> _Told:
    yield "session_started", {"incarnation": data.get("incarnation", 1), "gap": data.get("gap_s", 0.0)}
    if "incarnation" not in data:
        entered = {"agent": happenings.agent, "revision": data.get("revision", "")}
        yield "agent_entered", {**entered, "previous": None, "first": True}


def _handed_over(_: Happenings, data: Mapping[str, Any]) -> _Told:
    why = {"rule": data["rule"], "value": data["value"]}
    yield "agent_left", {"agent": data["from"], "next": data["to"], **why}
    yield "agent_handoff", {name: data[name] for name in EVENT_TYPES["agent_handoff"].fields}


def _adjusted(_: Happenings, data: Mapping[str, Any]) -> _Told:
    yield "debug_message", {"message": "AgentAdjusted", "rule": data["edit"], "value": ""}


def _handoff_asked(_: Happenings, data: Mapping[str, Any]) -> _Told:
    yield "debug_message", {"message": "HandoffAsked", "rule": data["rule"], "value": data["value"]}


def _closed(happenings: Happenings, data: Mapping[str, Any]) -> _Told:
    reason = data["reason"]
    yield "agent_left", {"agent": happenings.agent, "next": None, "rule": "session_ended", "value": reason}
    category = "error" if reason.startswith("error_") else CLOSE_CATEGORIES.get(reason, "job_shutdown")
    yield "close", {"reason": reason, "category": category, "duration": data["duration_s"]}


def _context(message: str) -> Callable[[Happenings, Mapping[str, Any]], _Told]:
    def told(_: Happenings, data: Mapping[str, Any]) -> _Told:
        yield "debug_message", {"message": message, "rule": data["rule"], "value": data["value"]}

    return told


def _hooks_dropped(_: Happenings, data: Mapping[str, Any]) -> _Told:
    types = ", ".join(f"{number} {name}" for name, number in data["types"].items())
    yield "error", {"where": "hooks", "message": f"{data['events']} events came too fast for the hooks: {types}"}


def _consent(_: Happenings, data: Mapping[str, Any]) -> _Told:
    told = {name: data.get(name) for name in ("id", "tool", "by", "rule", "arguments", "text")}
    yield "consent_updated", {**told, "status": data["outcome"]}


def _same(event: str) -> Callable[[Happenings, Mapping[str, Any]], _Told]:
    """The record's fields are the event's."""

    def told(_: Happenings, data: Mapping[str, Any]) -> _Told:
        yield event, {name: data.get(name) for name in EVENT_TYPES[event].fields}

    return told


_HANDLERS: Mapping[str, Callable[[Happenings, Mapping[str, Any]], _Told]] = {
    "session.started": _started,
    "session.resumed": _started,
    "session.ended": _closed,
    "caller.linked": _same("participant_linked"),
    "caller.left": _same("participant_left"),
    "caller.changed": _same("participant_updated"),
    "caller.muted": _same("participant_muted"),
    "caller.unheard": _same("participant_unheard"),
    "state": Happenings.agent_state,
    "user.state": _user_state,
    "speech.ended": Happenings.ended,
    "speech.wordless": Happenings.wordless,
    "speech.overlapped": _overlapped,
    "transcript": _transcript,
    "turn.user": _user_turn,
    "turn.agent": _agent_turn,
    "language": _same("language_changed"),
    "transfer": _same("transfer_updated"),
    "mute": _same("call_muted"),
    "speech.created": _speech,
    "speech.finished": _speech_finished,
    "decision": _decision,
    "tool.called": Happenings.tool_called,
    "tool.progress": Happenings.tool_progress,
    "tool.detached": _tool_status("background"),
    "tool.repeated": _tool_status("repeated"),
    "tool.completed": Happenings.tool_completed,
    "tools.changed": _tools_changed,
    "context.truncated": _context("ContextTruncated"),
    "context.summarized": _context("ContextSummarized"),
    "context.edited": _context("ContextEdited"),
    "handoff.asked": _handoff_asked,
    "handoff": _handed_over,
    "agent.entered": Happenings.entered,
    "agent.edited": _edited,
    "agent.adjusted": _adjusted,
    "hook.dropped": _hooks_dropped,
    "variables": _same("variables_changed"),
    "task.started": _same("task_started"),
    "task.step": _same("task_updated"),
    "task.ended": _same("task_ended"),
    "dtmf.received": _same("dtmf_received"),
    "dtmf.sent": _same("dtmf_sent"),
    "preemption": _metrics("preemption"),
    "usage": Happenings.used,
    "provider": _metrics("provider"),
    "consent": _consent,
    "rpc.received": _same("rpc_received"),
    "error": _same("error"),
}
