"""What the daemon says of itself, from what it knows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from agentd.config.definition import AgentDefinition
from agentd.errors import Problem
from agentd.runtime.gate import Gate
from agentd.runtime.holds import Hold
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.probation import Probation
from agentd.runtime.replacement import REFUSED
from agentd.runtime.revisions import Revision
from agentd.runtime.rollout import Rollout
from agentd.runtime.status import AgentStatus, RevisionStatus, SessionStatus, WorkerStatus
from agentd.runtime.worker_handle import WorkerHandle


def agents(
    rollout: Rollout, table: JobTable, registered: Collection[str], probation: Probation
) -> tuple[AgentStatus, ...]:
    """Every agent that serves, is being drained, or is named by a file that cannot be used: one of each name, which has
    the problems of every file that says it."""
    serving = [_serving(name, rollout, table, registered, probation) for name in rollout.agents]
    draining = [_draining(name, table, registered) for name in _leftover(rollout, table)]
    rejected = rollout.current.rejected if rollout.current else {}
    known = {status.name: status for status in (*serving, *draining)}
    for name, problems in rejected.items():
        status = known.get(name)
        known[name] = _rejected(name, problems) if status is None else _with_problems(status, problems)
    return tuple(sorted(known.values(), key=lambda status: status.name))


def _with_problems(status: AgentStatus, problems: tuple[Problem, ...]) -> AgentStatus:
    return replace(status, problems=tuple(dict.fromkeys((*status.problems, *problems))))


def _serving(
    name: str, rollout: Rollout, table: JobTable, registered: Collection[str], probation: Probation
) -> AgentStatus:
    definition = rollout.agents[name]
    generation = rollout.current
    stale = generation.stale.get(name) if generation else None
    found = generation.problems_by_source.get(definition.source, ()) if generation else ()
    hold = probation.holds.get(name)
    hold = hold if hold and hold.serving == definition.digest else None  # else it does not serve yet
    return AgentStatus(
        name=name,
        source=definition.source,
        state="stale" if stale is not None else hold.reason if hold else "serving",
        generation=rollout.number,
        revision=definition.digest,
        registered=name in registered,
        sessions=table.running_of_agent(name),
        queued=table.queued_of_agent(name),
        description=definition.description,
        problems=tuple(found) if stale is None else stale,
        refused=hold.refused if hold else "",
        trial=probation.trial(name, definition.digest),
    )


def revisions(
    kept: Sequence[Revision], serving: AgentDefinition | None, table: JobTable, probation: Probation, gate: Gate
) -> tuple[RevisionStatus, ...]:
    """Newest first, as they are kept."""
    return tuple(
        RevisionStatus(
            revision=one.digest,
            state=_state_of(one, serving, probation.holds.get(one.agent)),
            source=one.source,
            first_at=one.first_at,
            last_at=one.last_at,
            trial=probation.trial(one.agent, one.digest),
            calls=table.calls_by_revision(one.agent).get(one.digest, 0),
            tests=gate.outcome(one.agent, one.digest),
        )
        for one in kept
    )


def _state_of(
    one: Revision, serving: AgentDefinition | None, hold: Hold | None
) -> Literal["serving", "refused", "kept"]:
    if serving is not None and serving.digest == one.digest:
        return "serving"
    return "refused" if hold is not None and hold.refused == one.digest else "kept"


def _draining(name: str, table: JobTable, registered: Collection[str]) -> AgentStatus:
    last = next(session for session in table if session.agent == name)
    return AgentStatus(
        name=name,
        source=last.definition.source,
        state="draining",
        generation=last.generation,
        revision=last.definition.digest,
        registered=name in registered,
        sessions=table.running_of_agent(name),
        description=last.definition.description,
    )


def _rejected(name: str, problems: tuple[Problem, ...]) -> AgentStatus:
    return AgentStatus(
        name=name,
        source=problems[0].file if problems else name,
        state="rejected",
        generation=0,
        revision="",
        registered=False,
        sessions=0,
        problems=problems,
    )


def _leftover(rollout: Rollout, table: JobTable) -> list[str]:
    return sorted({session.agent for session in table} - rollout.agents.keys())


def worker(handle: WorkerHandle, sessions: int) -> WorkerStatus:
    state: Literal["starting", "standby", "ready", "hung", "draining", "dead"] = handle.state
    return WorkerStatus(
        id=handle.name,
        pid=handle.pid,
        state=state,
        sessions=sessions,
        capacity=handle.capacity,
        loop_lag_s=handle.pong.lag_max_s,
        load=min(1.0, max(sessions / max(1, handle.capacity), handle.pong.cpu)),
        memory_bytes=handle.pong.memory_bytes,
        generations=handle.pong.generations,
        restarts=handle.restarts,
        pool=handle.pool,
    )


def session(session: Session) -> SessionStatus:
    return SessionStatus(
        id=session.id,
        agent=session.agent,
        revision=session.definition.revision,
        generation=session.generation,
        room=session.room,
        job_id=session.job,
        worker=session.worker,
        state=session.state if session.queued_at is None else "queued",
        started_at=session.started_at,
        caller=session.caller,
        acting=session.acting,
        turns=session.turns,
        latencies=session.latencies,
        incarnation=session.incarnation,
    )


def unready_reasons(
    *,
    started: bool,
    draining: bool,
    workers_ready: int,
    unregistered: Sequence[str],
    stale: Collection[str] = (),
    problems: Sequence[Problem],
    not_durable: str = "",
) -> tuple[str, ...]:
    """Each as a sentence; none: ready."""
    errors = [problem for problem in problems if problem.severity == "error"]
    broken = sorted({problem.file for problem in errors if problem.code != REFUSED})
    refused = sorted({problem.file for problem in errors if problem.code == REFUSED})
    reasons = {
        "The daemon is starting.": not started,
        "The daemon is draining.": draining,
        "No worker is ready.": not workers_ready,
        f"Journals of calls cannot be written: {not_durable}.": bool(not_durable),
        f"Not registered with LiveKit: {', '.join(unregistered)}.": bool(unregistered),
        f"Registered, and probes of it are not received: {', '.join(sorted(stale))}.": bool(stale),
        f"The configuration is invalid: {', '.join(broken)}.": bool(broken),
        f"Workers run earlier code, as they cannot run what is on disk: {', '.join(refused)}.": bool(refused),
    }
    return tuple(sentence for sentence, holds in reasons.items() if holds)
