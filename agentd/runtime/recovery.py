"""What becomes of a call whose worker died. Pure.

The call's room stands, its caller waits, and its journal holds every word. So another worker, which has the agent
prepared already, joins the room under the same identity and goes on. Bounded: a call that takes worker after worker
down with it is given up before it has harmed all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentd.runtime.jobs import Session
from agentd.runtime.placement import Place, choose_for_rescue

RESCUES_AT_MOST = 3
RESCUE_WINDOW_S = 60.0
WAIT_FOR_WORKER_S = 30.0
"""With no worker left, its replacement starts within seconds; a caller who heard nothing for this long has hung up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RescuePlan:
    """`placed`: (session, worker) pairs; `waiting`: no worker is ready; `given_up`: rescued too often."""

    placed: tuple[tuple[Session, str], ...] = ()
    waiting: tuple[Session, ...] = ()
    given_up: tuple[Session, ...] = ()


def lost(session: Session, now: float) -> Session:
    """The session after its worker's death: it waits for another, in its next incarnation."""
    recent = tuple(at for at in session.rescues if now - at < RESCUE_WINDOW_S)
    return replace(
        session,
        worker="",
        incarnation=session.incarnation + 1,
        own_token=True,
        state="initializing",
        rescues=(*recent, now),
        lost_at=now if session.lost_at is None else session.lost_at,
    )


def plan(sessions: Iterable[Session], places: Sequence[Place], now: float) -> RescuePlan:
    """Spreads lost sessions over the ready workers, the longest lost first."""
    crowd = {place.worker: place for place in places}
    placed: list[tuple[Session, str]] = []
    waiting: list[Session] = []
    given_up: list[Session] = []
    for session in sorted(sessions, key=lambda each: each.lost_at or 0.0):
        worker = choose_for_rescue(crowd.values())
        if _hopeless(session, now):
            given_up.append(session)
        elif worker is None:
            waiting.append(session)
        else:
            placed.append((session, worker))
            crowd[worker] = replace(crowd[worker], sessions=crowd[worker].sessions + 1)
    return RescuePlan(placed=tuple(placed), waiting=tuple(waiting), given_up=tuple(given_up))


def _hopeless(session: Session, now: float) -> bool:
    too_often = len(session.rescues) > RESCUES_AT_MOST
    too_late = session.lost_at is not None and now - session.lost_at > WAIT_FOR_WORKER_S
    return too_often or too_late
