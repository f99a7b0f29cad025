"""What a hook may be on, and the fields that its conditions may name.

The same as `agentd.session.event_types.EVENT_TYPES`, which configuration may not import: a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

BEFORE_REPLY = "before_reply"
"""Not an event: the caller's turn has ended, and the model has not been told of it."""

EVENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "user_state_changed": ("old_state", "new_state", "rule", "value"),
    "agent_state_changed": ("old_state", "new_state"),
    "user_input_transcribed": ("transcript", "is_final", "language", "speaker"),
    "user_transcription_timeout": ("speech_duration",),
    "conversation_item_added": (
        *("role", "text", "interrupted", "turn", "reply", "purpose", "language", "speaker", "revision"),
    ),
    "agent_false_interruption": ("resumed", "rule", "value"),
    "overlapping_speech": ("is_interruption", "outcome", "duration"),
    "function_tools_executed": ("reply", "calls"),
    "metrics_collected": ("source", "metrics"),
    "session_usage_updated": ("usage",),
    "speech_created": ("speech", "source", "user_initiated", "purpose", "priority", "interruptible"),
    "tool_execution_updated": ("id", "name", "status", "duration", "arguments", "content"),
    "error": ("where", "message"),
    "close": ("reason", "category", "duration"),
    "debug_message": ("message", "rule", "value"),
    "session_started": ("incarnation", "gap"),
    "participant_linked": ("identity", "name", "kind", "returned"),
    "participant_left": ("identity", "reason", "final"),
    "participant_updated": ("identity", "name", "attributes", "metadata"),
    "participant_muted": ("muted", "identity"),
    "participant_unheard": ("identity", "name", "rule", "value"),
    "transfer_updated": ("destination", "mode", "state", "reason"),
    "call_muted": ("what", "muted", "rule"),
    "language_changed": ("language", "before", "rule", "value"),
    "speech_finished": ("speech", "user_initiated", "interrupted"),
    "task_started": ("task", "by"),
    "task_updated": ("task", "field", "rule"),
    "task_ended": ("task", "outcome", "field", "values"),
    "dtmf_received": ("key", "identity"),
    "dtmf_sent": ("keys",),
    "variables_changed": ("values",),
    "tools_changed": ("added", "removed"),
    "agent_entered": ("agent", "revision", "previous", "first"),
    "agent_left": ("agent", "next", "rule", "value"),
    "agent_handoff": ("from", "to", "revision", "rule", "value", "history"),
    "agent_edited": ("agent", "revision", "previous", "taken", "applied", "kept", "reason"),
    "user_speech_limit": ("taken", "rule", "value"),
    "rpc_received": ("method", "identity", "payload"),
    "consent_updated": ("id", "tool", "by", "status", "rule", "arguments", "text"),
}
HOOK_FIELDS: Mapping[str, tuple[str, ...]] = {
    **EVENT_FIELDS,
    BEFORE_REPLY: ("text", "turn", "language", "source", "speaker"),
}


def names_for(pattern: str) -> tuple[str, ...]:
    """What this stands for: a name, or a pattern with `*`, which means events only."""
    if pattern in HOOK_FIELDS:
        return (pattern,)
    return tuple(name for name in EVENT_FIELDS if "*" in pattern and fnmatchcase(name, pattern))
