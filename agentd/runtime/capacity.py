"""How full the daemon and its agents are, and what becomes of a call that comes now."""

from __future__ import annotations

from collections.abc import Callable

from agentd.aio import now
from agentd.config.busy import queue_of
from agentd.config.definition import AgentDefinition
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.ladder import WayIn, way_in
from agentd.runtime.placement import Load, Place, Thresholds, choose, fraction_of, load_of
from agentd.runtime.pool import Pool


class Capacity:
    """Read from the pool and the table of calls at each question."""

    def __init__(
        self,
        *,
        table: JobTable,
        pool: Pool,
        serving: Callable[[str], AgentDefinition | None],
        refusal: Callable[[AgentDefinition], str],
        cores: int,
        capacity: int,
        thresholds: Thresholds,
    ) -> None:
        """`serving`: the definition of an agent for new calls; `refusal`: why it may take no more today, "" if it may;
        `capacity`: places of all workers that there may be."""
        self.table = table
        self.accepting = True
        self.not_durable = ""  # why journals cannot be written
        self.memory = 0.0  # share of it that is in use, as it was last measured
        self._pool = pool
        self._serving = serving
        self._refusal = refusal
        self._cores = cores
        self._capacity = capacity
        self._thresholds = thresholds

    def places(self, revision: tuple[str, str] | None = None) -> list[Place]:
        """The ready workers, or those that have prepared this (agent, digest)."""
        return [
            Place(
                worker=worker.name,
                sessions=self.table.load_of_worker(worker.name),
                capacity=worker.capacity,
                lag_s=worker.pong.lag_p99_s,
                cpu=worker.pong.cpu,
                lag_limit_s=self._thresholds.lag_s,
            )
            for worker in self._pool.ready
            if revision is None or revision in worker.revisions
        ]

    def load(self) -> Load:
        self.table.lapse(now())
        if not self.accepting:
            return Load(load=1.0, full=True, why="draining", reason="draining")
        return self._of_daemon()

    def _of_daemon(self) -> Load:
        if self.not_durable:
            why = f"journals cannot be written: {self.not_durable}"
            return Load(load=1.0, full=True, why=why, reason="not_durable")
        return load_of(self.places(), cores=self._cores, thresholds=self._thresholds, memory=self.memory)

    def load_of_agent(self, agent: str) -> Load:
        """Whether there is a place for a call of this agent: full also when the agent is, or is served no more."""
        load = self.load()
        definition = self._serving(agent)
        if definition is None:
            return Load(load=1.0, full=True, why="the agent was removed", reason="removed")
        if load.full and load.reason in ("draining", "not_durable"):
            return load
        if full := self._full_of(definition):
            return full
        if refusal := self._refusal(definition):
            return Load(load=1.0, full=True, why=refusal, reason="budget")
        return load

    def _full_of(self, definition: AgentDefinition) -> Load | None:
        limit = definition.limits.concurrency
        if limit is None or self.table.load_of_agent(definition.name) < limit:
            return None
        return Load(load=1.0, full=True, why=f"all {limit} calls of the agent are taken", reason="concurrency")

    def fraction(self, definition: AgentDefinition) -> float:
        """How much of what the daemon and the agent can hold is used, whichever is fuller; 1 is all."""
        of_daemon = fraction_of(self.places(), capacity=self._capacity, cores=self._cores, thresholds=self._thresholds)
        limit = definition.limits.concurrency
        return max(of_daemon, min(1.0, self.table.load_of_agent(definition.name) / limit) if limit else 0.0)

    def way_in(self, agent: str) -> WayIn:
        """What becomes of a call of this agent that comes now: what its registration reports."""
        load, definition = self.load_of_agent(agent), self._serving(agent)
        if definition is None:
            return WayIn(to="nowhere", load=load)
        return way_in(definition.when_busy, self.fraction(definition), load, self.table.queued_of_agent(agent))

    def place_for(self, session: Session) -> str | None:
        """The worker that can take a call which waits: its own, if that has a place; None: there is no place yet.
        Not even a drain has those who wait sent away, nor an edit that removes their agent."""
        definition = self._serving(session.agent) or session.definition
        queue = queue_of(definition.when_busy)
        if self._of_daemon().full or self._full_of(definition):
            return None
        if queue is not None and queue[0] < 1 and self.fraction(definition) >= queue[0] - 1e-9:
            return None
        places = self.places()
        own = [place for place in places if place.worker == session.worker and place.free and not place.overloaded]
        return own[0].worker if own else choose(self.places(revision_of(session)) or places)


def revision_of(session: Session) -> tuple[str, str]:
    """What a worker must have prepared for it."""
    return (session.agent, session.definition.digest)
