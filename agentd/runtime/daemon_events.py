"""What happens to agents rather than in a call, as events: in the same stream, with no session."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from agentd.runtime.holds import Hold
from agentd.runtime.jobs import Session
from agentd.runtime.objectives import in_words
from agentd.runtime.status import RolloutStatus
from agentd.session.event_types import EventType
from agentd.tools.acts import GiveUp
from agentd.tools.event import Event

DAEMON_EVENTS: Mapping[str, EventType] = {
    event.name: event
    for event in (
        EventType(
            "definition_held",
            "An agent serves another revision than its file says: that one was `quarantined`, or `rolled_back`.",
            (),
            ("reason", "refused", "serving", "why"),
        ),
        EventType("definition_released", "It serves what its file says again.", (), ("refused", "why")),
        EventType(
            "rollout_changed",
            "A canary began (`running`), was `promoted`, `rolled_back`, or `superseded` by an edit.",
            (),
            ("of", "state", "revision", "calls", "why", "objectives"),
        ),
        EventType(
            "busy_changed",
            "An agent took or left a step of its `when_busy`: `step` is up to which things are given up (0: none), "
            "`load` for which.",
            (),
            ("step", "before", "load", "given_up"),
        ),
        EventType("call_queued", "A call waits for a place.", (), ("session", "position", "why")),
        EventType(
            "call_unqueued",
            "A call waits no longer: it was `admitted`, its time was over (`timeout`), or it `left`.",
            (),
            ("session", "outcome", "reason", "waited_s"),
        ),
    )
}


def busy_changed(agent: str, before: int, given_up: GiveUp, what: Sequence[str]) -> Event:
    data = {"step": given_up.step, "before": before, "load": round(given_up.load, 3), "given_up": list(what)}
    return _event("busy_changed", agent, data)


def call_queued(session: Session, position: int, why: str) -> Event:
    return _event("call_queued", session.agent, {"session": session.id, "position": position, "why": why})


def call_unqueued(session: Session, outcome: str, reason: str, waited_s: float) -> Event:
    data = {"session": session.id, "outcome": outcome, "reason": reason, "waited_s": waited_s}
    return _event("call_unqueued", session.agent, data)


def held(hold: Hold) -> Event:
    data = {"reason": hold.reason, "refused": hold.refused, "serving": hold.serving, "why": hold.why}
    return _event("definition_held", hold.agent, data)


def released(hold: Hold, why: str) -> Event:
    return _event("definition_released", hold.agent, {"refused": hold.refused, "why": why})


def rollout_changed(status: RolloutStatus) -> Event:
    data = {
        "of": status.of,
        "state": status.state,
        "revision": status.revision,
        "calls": status.calls,
        "why": status.why,
        "objectives": [in_words(one) for one in status.objectives if one.limit is not None],
    }
    return _event("rollout_changed", status.agent, data)


def _event(kind: str, agent: str, data: Mapping[str, object]) -> Event:
    return Event(type=kind, session="", agent=agent, at=time.time(), data=data)
