"""The record of what became of a hook, or of a shutdown callback."""

from __future__ import annotations

from agentd.session.conversation import Conversation
from agentd.tools.spec import HookOutcome


def record_run(
    conversation: Conversation,
    outcome: HookOutcome,
    *,
    hook: int,
    on: str,
    event: str,
    place: str,
    where: str,
    duration_s: float,
) -> None:
    """`hook`: its number; `place`: where it is written; `where`: as errors name it."""
    conversation.record(
        "hook.completed",
        hook=hook,
        on=on,
        place=place,
        event=event,
        outcome=outcome.outcome,
        message=outcome.message,
        duration_s=round(duration_s, 4),
    )
    if outcome.outcome not in ("ok", "cancelled"):
        conversation.record("error", where=where, message=outcome.message or outcome.outcome)
