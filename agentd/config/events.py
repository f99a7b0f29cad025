"""Who is told of what happens, and who is asked before a call: the `events` and `on_request` of a file.

See docs/webhooks.md. Both are requests of agentd's own, so they have what a webhook tool's address has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from agentd.config.patterns import URL_PATTERN
from agentd.providers.fields import Duration, Secret, setting

CALL_EVENTS = (
    *("session.started", "session.ended", "session.failed", "session.usage"),
    *("participant.linked", "participant.left"),
    *("turn.user", "turn.agent"),
    *("tool.called", "tool.completed", "tool.failed"),
    *("handoff", "transfer", "recording.ready"),
)
DAEMON_EVENTS = (
    *("agent.loaded", "agent.rejected", "agent.removed"),
    *("worker.registered", "worker.lost", "worker.draining"),
)
EVENT_TYPES = (*CALL_EVENTS, *DAEMON_EVENTS)
"""Version 1 of the contract's. Not the events of hooks, which are told within a call and in more detail."""

LONGEST_QUESTION_S = 2.0
"""LiveKit waits 2.5 s for an answer to its offer of a call, and the question is asked within them."""


def types_of(pattern: str) -> tuple[str, ...]:
    """The types that a name, or a pattern with `*`, stands for."""
    return tuple(name for name in EVENT_TYPES if fnmatchcase(name, pattern))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSink:
    """One address that events are POSTed to."""

    url: str = setting("Where to POST events.", pattern=URL_PATTERN)
    secret: Secret | None = setting(
        "Signing secret: whsec_ and base64 of 24 to 64 bytes; two, separated by a blank, while one is changed.",
        default=None,
    )
    types: tuple[str, ...] = setting("Event types, with * as wildcard.", default=("*",), min_length=1)
    transcript: bool = setting("Whether session.ended and session.failed carry the transcript.", default=False)
    headers: Mapping[str, Secret] = setting("Headers to add; they never override the contract's.", default_factory=dict)
    timeout: Duration = setting("Of one attempt.", default=Duration(10.0), minimum=1, maximum=30)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)

    def wants(self, event_type: str) -> bool:
        return any(fnmatchcase(event_type, pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRequest:
    """The one question that is asked before a call is taken."""

    url: str = setting("Where to POST session.request.", pattern=URL_PATTERN)
    secret: Secret | None = setting("Signing secret: whsec_ and base64 of 24 to 64 bytes.", default=None)
    timeout: Duration = setting(
        "Wait for the answer, within what LiveKit waits for ours.",
        default=Duration(2.0),
        minimum=0.1,
        maximum=LONGEST_QUESTION_S,
    )
    on_error: Literal["accept", "refuse"] = setting(
        "What becomes of the call when there is no answer in time, or none that can be used.", default="accept"
    )
    headers: Mapping[str, Secret] = setting("Headers to add; they never override the contract's.", default_factory=dict)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)
