"""Who comes and goes, as the call's records tell it."""

from __future__ import annotations

from agentd.aio import now
from agentd.session.conversation import Conversation
from agentd.session.room import CallerChanged, CallerLeft, CallerLinked, CallerMuted, CallerUnheard


def arrive(conversation: Conversation, event: CallerLinked) -> None:
    """Somebody is there, or there again."""
    caller, people = event.caller, conversation.people
    people.arrive(caller)
    conversation.record(
        "caller.linked",
        identity=caller.identity,
        name=caller.name,
        kind=caller.kind,
        returned=event.returned,
        **({"label": people.labels[caller.identity], "present": list(people.present)} if people.several else {}),
    )


def note(conversation: Conversation, event: CallerUnheard | CallerMuted | CallerChanged) -> None:
    """What is on record, and changes nothing of how the call goes."""
    if isinstance(event, CallerChanged):
        caller, attributes = event.caller, conversation.people.change(event.caller)
        if attributes is not None:
            told = {"identity": caller.identity, "name": caller.name, "metadata": caller.metadata}
            conversation.record("caller.changed", **told, attributes=attributes)
    elif isinstance(event, CallerMuted):
        identity = event.identity or conversation.caller.identity
        conversation.record("caller.muted", muted=event.muted, identity=identity)
    else:
        conversation.record(
            "caller.unheard", identity=event.identity, name=event.name, rule="most_people", value=event.limit
        )


def leave(conversation: Conversation, event: CallerLeft) -> None:
    """Somebody is gone; not for good, where their connection failed."""
    conversation.people.leave(event.identity, now(), final=event.final)
    conversation.record(
        "caller.left",
        identity=event.identity,
        reason=event.reason,
        final=event.final,
        **({"present": list(conversation.people.present)} if conversation.people.several else {}),
    )
