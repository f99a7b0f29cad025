"""The events of a session: their names, what they mean, and the records that they are made of.

The first fifteen names are livekit-agents' (1.8.9), and so are the names of fields where the meaning is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventType:
    """`records`: the kinds that it is made of. `content`: the fields that hold what people said or tools answered."""

    name: str
    meaning: str
    records: tuple[str, ...]
    fields: tuple[str, ...]
    content: tuple[str, ...] = ()


EVENT_TYPES: Mapping[str, EventType] = {
    event.name: event
    for event in (
        EventType(
            "user_state_changed",
            "The caller began or ended to speak, or is away.",
            ("user.state",),
            ("old_state", "new_state", "rule", "value"),
        ),
        EventType("agent_state_changed", "What front ends see of the agent.", ("state",), ("old_state", "new_state")),
        EventType(
            "user_input_transcribed",
            "The recogniser's words; those that are not final may still change.",
            ("transcript",),
            ("transcript", "is_final", "language", "speaker"),
            ("transcript", "speaker"),
        ),
        EventType(
            "user_transcription_timeout",
            "There was speech, and the recogniser found no words in it.",
            ("speech.wordless",),
            ("speech_duration",),
        ),
        EventType(
            "conversation_item_added",
            "A turn of the caller, or what was heard of a reply.",
            ("turn.user", "turn.agent"),
            ("role", "text", "interrupted", "turn", "reply", "purpose", "language", "speaker", "revision"),
            ("text", "speaker"),
        ),
        EventType(
            "agent_false_interruption",
            "The agent was silenced for nothing, and goes on.",
            ("decision",),
            ("resumed", "rule", "value"),
        ),
        EventType(
            "overlapping_speech",
            "Both spoke at once; `outcome` says what came of it.",
            ("speech.overlapped",),
            ("is_interruption", "outcome", "duration"),
        ),
        EventType(
            "function_tools_executed",
            "All calls that the model made side by side have answered.",
            ("tool.called", "tool.completed"),
            ("reply", "calls"),
            ("calls",),
        ),
        EventType(
            "metrics_collected",
            "Figures of a turn, a provider's request, its use, or an early answer.",
            ("turn.agent", "provider", "usage", "preemption"),
            ("source", "metrics"),
        ),
        EventType("session_usage_updated", "What the call has used in all.", ("usage",), ("usage",)),
        EventType(
            "speech_created",
            "Something is to be said.",
            ("speech.created",),
            ("speech", "source", "user_initiated", "purpose", "priority", "interruptible"),
        ),
        EventType(
            "tool_execution_updated",
            "A tool was called, tells how far it is, goes on in the background, is called again after a fault, or has "
            "answered.",
            ("tool.called", "tool.progress", "tool.detached", "tool.repeated", "tool.completed"),
            ("id", "name", "status", "duration", "arguments", "content"),
            ("arguments", "content"),
        ),
        EventType("error", "Something failed.", ("error", "hook.dropped"), ("where", "message")),
        EventType("close", "The call is over.", ("session.ended",), ("reason", "category", "duration")),
        EventType(
            "debug_message",
            "A decision of agentd's, with its rule and the configuration behind it.",
            (
                "decision",
                "context.truncated",
                "context.summarized",
                "context.edited",
                "agent.adjusted",
                "handoff.asked",
            ),
            ("message", "rule", "value"),
        ),
        EventType(
            "session_started",
            "The call began, or goes on in another process (`incarnation` above 1).",
            ("session.started", "session.resumed"),
            ("incarnation", "gap"),
        ),
        EventType(
            "participant_linked",
            "The caller is there, or is back.",
            ("caller.linked",),
            ("identity", "name", "kind", "returned"),
            ("identity", "name"),
        ),
        EventType(
            "participant_left",
            "The caller left; they may come back unless it is `final`.",
            ("caller.left",),
            ("identity", "reason", "final"),
            ("identity",),
        ),
        EventType(
            "participant_updated",
            "Somebody whom the agent talks with has another name, other metadata, or other `attributes`: those that "
            "are different.",
            ("caller.changed",),
            ("identity", "name", "attributes", "metadata"),
            ("identity", "name", "attributes", "metadata"),
        ),
        EventType(
            "participant_muted", "The caller's microphone.", ("caller.muted",), ("muted", "identity"), ("identity",)
        ),
        EventType(
            "participant_unheard",
            "Somebody is in the room whom the agent cannot listen to as well; `value` is how many it can.",
            ("caller.unheard",),
            ("identity", "name", "rule", "value"),
            ("identity", "name"),
        ),
        EventType(
            "transfer_updated",
            "The caller is being put through to a telephone, was, or could not be.",
            ("transfer",),
            ("destination", "mode", "state", "reason"),
        ),
        EventType(
            "call_muted",
            "An operator mutes the agent's `ears` or its `voice`, or takes it back.",
            ("mute",),
            ("what", "muted", "rule"),
        ),
        EventType(
            "language_changed",
            "The conversation goes on in another language.",
            ("language",),
            ("language", "before", "rule", "value"),
        ),
        EventType(
            "speech_finished",
            "It was said, or will not be.",
            ("speech.finished",),
            ("speech", "user_initiated", "interrupted"),
        ),
        EventType(
            "task_started", "The agent begins to collect data; `by`: what made it.", ("task.started",), ("task", "by")
        ),
        EventType(
            "task_updated",
            "The caller answered, or did not; `rule` says what became of it.",
            ("task.step",),
            ("task", "field", "rule"),
        ),
        EventType(
            "task_ended",
            "Everything is collected (`complete`), or will not be (`given_up`, `exhausted`).",
            ("task.ended",),
            ("task", "outcome", "field", "values"),
            ("values",),
        ),
        EventType(
            "dtmf_received",
            "A key of a telephone was pressed.",
            ("dtmf.received",),
            ("key", "identity"),
            ("key", "identity"),
        ),
        EventType("dtmf_sent", "Keys were pressed by the agent.", ("dtmf.sent",), ("keys",), ("keys",)),
        EventType(
            "variables_changed",
            "A tool, a hook or an operator set variables.",
            ("variables",),
            ("values",),
            ("values",),
        ),
        EventType("tools_changed", "What the model may call has changed.", ("tools.changed",), ("added", "removed")),
        EventType(
            "agent_entered",
            "An agent has the call: the first, or one that it was handed to.",
            ("session.started", "agent.entered"),
            ("agent", "revision", "previous", "first"),
        ),
        EventType(
            "agent_left",
            "An agent has the call no longer: it was handed over, or is over.",
            ("handoff", "session.ended"),
            ("agent", "next", "rule", "value"),
        ),
        EventType(
            "agent_handoff",
            "The call goes from one agent to another.",
            ("handoff",),
            ("from", "to", "revision", "rule", "value", "history"),
        ),
        EventType(
            "agent_edited",
            "The agent's file was edited under `reload: live`: the call has `taken` the new revision at a turn's "
            "boundary, or keeps the one that it had; `kept` says which settings stay, and why.",
            ("agent.edited", "decision"),
            ("agent", "revision", "previous", "taken", "applied", "kept", "reason"),
        ),
        EventType(
            "user_speech_limit",
            "The caller has had the turn for as long as is allowed; `taken`: it is theirs no longer.",
            ("decision",),
            ("taken", "rule", "value"),
        ),
        EventType(
            "rpc_received",
            "A front end called one of the agent's `rpc` methods.",
            ("rpc.received",),
            ("method", "identity", "payload"),
            ("identity", "payload"),
        ),
        EventType(
            "consent_updated",
            "A call that somebody must agree to first: they are asked, have answered, or it is made.",
            ("consent",),
            ("id", "tool", "by", "status", "rule", "arguments", "text"),
            ("arguments", "text"),
        ),
    )
}


def reference() -> str:
    """The table of docs/events.md."""
    lines = ["| event | data | when | records |", "|---|---|---|---|"]
    for event in EVENT_TYPES.values():
        names = ", ".join(f"`{name}`" for name in event.fields)
        kinds = ", ".join(f"`{kind}`" for kind in event.records)
        lines.append(f"| `{event.name}` | {names} | {event.meaning} | {kinds} |")
    return "\n".join(lines) + "\n"
