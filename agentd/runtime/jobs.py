"""The job table: places promised to LiveKit, and the sessions that run. Owned by the supervisor; no I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.runtime.admission import Admission

ASSIGNMENT_WAIT_S = 7.5
"""An accepted offer that is not assigned by then goes to nobody (the reference worker's wait)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A place kept for a job between our answer and its assignment. `agent`: who takes it; `canary_of`: as whose
    canary; `admission`: what was answered to the question about it, where there is one; `queued`: the place is one in
    the queue."""

    job: str
    agent: str
    worker: str
    until: float
    admission: Admission | None = None
    canary_of: str = ""
    queued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A call of ours. `worker` "" while it waits for one after a rescue. `definition`: what it runs, to its end or to
    an edit that it takes. `registration`: under whose name LiveKit knows its job, where that is another agent;
    `canary_of`: whose calls it takes a share of. `queued_at`: since when it waits for a place; None: it has one.
    `llm_step`: the step of `when_busy` whose model it has."""

    id: str
    job: str
    agent: str
    definition: AgentDefinition
    generation: int
    room: str
    url: str
    identity: str
    journal: Path
    worker: str
    started_at: float  # unix time
    others: tuple[AgentDefinition, ...] = ()  # that it may be handed to, of the generation that it began with
    participant: str = ""  # whom the job is about; "": whoever is there
    metadata: str = ""  # of the dispatch
    variables: Mapping[str, Any] = field(default_factory=dict)
    registration: str = ""
    canary_of: str = ""
    admission: Admission | None = None
    incarnation: int = 1
    own_token: bool = False  # it joined with a token of ours, not with its job's
    state: str = "initializing"
    caller: str = ""
    acting: str = ""  # the agent that it was handed to
    turns: int = 0
    latencies: Mapping[str, float] = field(default_factory=dict)
    rescues: tuple[float, ...] = ()  # when, on the loop's clock
    lost_at: float | None = None  # on the loop's clock; None while it is heard
    queued_at: float | None = None  # on the loop's clock
    waited_s: float | None = None  # for its place, where it had none at once
    llm_step: int | None = None

    @property
    def counts_for(self) -> tuple[str, ...]:
        """The agents of whose calls it is one."""
        if self.acting and self.acting != self.agent:
            return (self.acting,)
        return (self.agent, self.canary_of)

    @property
    def named(self) -> dict[str, str]:
        """The fields of every line of the log that is about it."""
        return {"session": self.id, "agent": self.agent, "room": self.room, "job": self.job}

    @property
    def called(self) -> str:
        """The agent whom LiveKit dispatched."""
        return self.registration or self.agent

    @property
    def shown_as(self) -> str:
        """The agent whom front ends see."""
        return self.canary_of or self.agent


class JobTable:
    """Exact counts at any moment: a promised place counts like a session until it is taken or has lapsed. Callers who
    wait for a place are counted by themselves."""

    def __init__(self) -> None:
        self._reservations: dict[str, Reservation] = {}
        self._sessions: dict[str, Session] = {}

    def reserve(
        self,
        job: str,
        agent: str,
        worker: str,
        now: float,
        admission: Admission | None = None,
        *,
        canary_of: str = "",
        queued: bool = False,
    ) -> None:
        self._reservations[job] = Reservation(
            job=job,
            agent=agent,
            worker=worker,
            until=now + ASSIGNMENT_WAIT_S,
            admission=admission,
            canary_of=canary_of,
            queued=queued,
        )

    @property
    def promised(self) -> int:
        """Places that are kept for jobs which have not come yet."""
        return len(self._reservations)

    @property
    def promised_jobs(self) -> frozenset[str]:
        return frozenset(self._reservations)

    def take_reservation(self, job: str) -> Reservation | None:
        return self._reservations.pop(job, None)

    def lapse(self, now: float) -> None:
        """Forgets the places whose jobs went elsewhere."""
        self._reservations = {job: kept for job, kept in self._reservations.items() if kept.until > now}

    def add(self, session: Session) -> None:
        self._sessions[session.id] = session

    def update(self, session_id: str, **changes: Any) -> Session | None:
        """The session as it is now; None when it is over."""
        found = self._sessions.get(session_id)
        if found is None:
            return None
        changed = self._sessions[session_id] = replace(found, **changes)
        return changed

    def remove(self, session_id: str) -> Session | None:
        return self._sessions.pop(session_id, None)

    def get(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def of_job(self, job: str) -> Session | None:
        return next((session for session in self._sessions.values() if session.job == job), None)

    def of_worker(self, worker: str) -> tuple[Session, ...]:
        return tuple(session for session in self._sessions.values() if session.worker == worker)

    def waiting(self) -> tuple[Session, ...]:
        """Sessions that no worker holds."""
        return self.of_worker("")

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def load_of_agent(self, agent: str) -> int:
        """Sessions and promised places: those that it has, by a handoff or from the beginning, its canaries' too, and
        those that it takes as somebody's canary. What an agent may have at once protects what it works with, and a call
        that it has handed over does not use that any more."""
        return self._promised_to(agent) + sum(agent in each.counts_for for each in self.placed())

    def _promised_to(self, agent: str) -> int:
        return sum(agent in (kept.agent, kept.canary_of) for kept in self._promised())

    def _promised(self) -> Iterator[Reservation]:
        return (kept for kept in self._reservations.values() if not kept.queued)

    def placed(self) -> tuple[Session, ...]:
        """Sessions that have a place."""
        return tuple(session for session in self._sessions.values() if session.queued_at is None)

    def queue(self) -> tuple[Session, ...]:
        """Those that wait for one, the first first."""
        waiting = (session for session in self._sessions.values() if session.queued_at is not None)
        return tuple(sorted(waiting, key=lambda session: session.queued_at or 0.0))

    def queued_of_agent(self, agent: str) -> int:
        """Its callers who wait, or are promised that they may."""
        promised = sum(kept.queued and kept.agent == agent for kept in self._reservations.values())
        return promised + sum(session.agent == agent for session in self.queue())

    def calls_by_revision(self, agent: str) -> Mapping[str, int]:
        return Counter(each.definition.revision for each in self._sessions.values() if each.definition.name == agent)

    def jobs_of_agent(self, agent: str) -> int:
        """Sessions that LiveKit knows under this name."""
        return sum(session.called == agent for session in self._sessions.values())

    def of_registration(self, agent: str) -> int:
        """Sessions whose jobs LiveKit knows under this agent's name, and those that the agent began itself."""
        began = sum(agent in (each.agent, each.canary_of, each.registration) for each in self)
        promised = sum(agent in (kept.agent, kept.canary_of) for kept in self._reservations.values())
        return promised + began

    def load_of_worker(self, worker: str) -> int:
        """Sessions that have a place, and promised places."""
        promised = sum(kept.worker == worker for kept in self._promised())
        return promised + sum(session.worker == worker for session in self.placed())

    def held_by_worker(self, worker: str) -> int:
        """All sessions, and all that was promised."""
        promised = sum(kept.worker == worker for kept in self._reservations.values())
        return promised + len(self.of_worker(worker))

    def revisions_of(self, agent: str) -> frozenset[str]:
        """By which calls run."""
        return frozenset(each.definition.revision for each in self._sessions.values() if each.definition.name == agent)

    def running_of_agent(self, agent: str) -> int:
        return sum(session.agent == agent for session in self.placed())
