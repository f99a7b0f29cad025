"""Offers of jobs: whether LiveKit's offer of a call is taken, for which agent, and the worker in which it has a place.

An offer that is answered late is lost for good: nothing here waits but for an agent's own question.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.runtime.admission import Admission, failed
from agentd.runtime.capacity import Capacity
from agentd.runtime.placement import Load, choose, choose_to_wait
from agentd.runtime.rejoin import agent_attributes
from agentd.runtime.status import Measure, MeasureSink
from agentd.transport.protocol import Accept, Decline, Job, JobOffer

logger = logging.getLogger(__name__)

NO_PLACE = Load(load=1.0, full=True, why="no worker that has made the agent has room", reason="capacity")


class Sharing(Protocol):
    """Of an agent's calls with its canaries: `agentd.runtime.canaries.Canaries`."""

    def due(self, agent: str, job: Job) -> tuple[str, ...]: ...
    def counted(self, agent: str, job: Job, taker: str) -> None: ...
    def came(self, job: str) -> None: ...


class Offers:
    """Those to all agents. `capacity`: where calls have a place."""

    def __init__(
        self,
        capacity: Capacity,
        *,
        serving: Callable[[str], AgentDefinition | None],
        sharing: Sharing,
        measures: MeasureSink,
        changed: Callable[[], None],
        ask: Callable[[AgentDefinition, Job], Awaitable[Admission]],
        probed: Callable[[str, Job], Decline | None],
        serve_waiting: Callable[[], None],
    ) -> None:
        """See `agentd.runtime.calls.Calls`. `serve_waiting`: those who wait for a place come before a new call."""
        self._capacity = capacity
        self._serving = serving
        self._sharing = sharing
        self._measures = measures
        self._changed = changed
        self._ask = ask
        self._probed = probed
        self._serve_waiting = serve_waiting

    async def answer(self, agent: str, offer: JobOffer) -> Accept | Decline:
        """Keeps a place until the assignment should have come. Waits for nothing but an agent's own question."""
        if (probed := self._probed(agent, offer.job)) is not None:
            return probed
        definition = self._serving(agent)
        asks = definition is not None and definition.on_request is not None
        answer = self._reserve(agent, offer.job, None, shared=not asks)
        if isinstance(answer, Decline) or definition is None or not asks:
            return answer
        try:
            admission = await self._ask(definition, offer.job)
        finally:
            self._capacity.table.take_reservation(offer.job.id)
        return self._answered(definition, offer.job, self._directed(definition, admission))

    def _reserve(self, agent: str, job: Job, admission: Admission | None, *, shared: bool = True) -> Accept | Decline:
        """`shared`: whether a canary of the agent may take it."""
        self._serve_waiting()
        way = self._capacity.way_in(agent)
        queued = way.to == "queue"
        shared = shared and way.to == "place"
        variant, worker = agent, self._to_wait(agent) if queued else None
        if way.to == "place":
            variant, worker = self._with_room(self._sharing.due(agent, job) if shared else (agent,))
        if worker is None:
            why = NO_PLACE if way.to == "place" else way.load
            extra = {"agent": agent, "room": job.room_name, "job": job.id, "reason": why.why}
            logger.warning("job declined", extra=extra)
            labels = {"agent": agent, "reason": why.reason}
            self._measures.apply(Measure(name="jobs_declined_total", labels=labels))
            return Decline()
        canary_of = "" if variant == agent else agent
        self._capacity.table.reserve(job.id, variant, worker, now(), admission, canary_of=canary_of, queued=queued)
        if shared:
            self._sharing.counted(agent, job, variant)
        self._changed()
        return Accept(participant_name=agent, participant_attributes=agent_attributes(agent))

    def _with_room(self, variants: Sequence[str]) -> tuple[str, str | None]:
        """The first of these that has a worker for a call; the last without one, where none has."""
        for variant in variants:
            if (worker := self._worker_for(variant)) is not None:
                return variant, worker
        return variants[-1], None

    def _worker_for(self, variant: str) -> str | None:
        """A worker that has made it and has room; None also when the agent itself has none for a new call."""
        definition = self._serving(variant)
        if definition is None or self._capacity.way_in(variant).to != "place":
            return None
        return choose(self._capacity.places((variant, definition.digest)))

    def _to_wait(self, agent: str) -> str | None:
        """The worker in which a call waits: the one that holds the fewest, with a place or not."""
        definition = self._serving(agent)
        places = self._capacity.places((agent, definition.digest)) if definition is not None else []
        return choose_to_wait({place.worker: self._capacity.table.held_by_worker(place.worker) for place in places})

    def _directed(self, definition: AgentDefinition, admission: Admission) -> Admission:
        """An answer that names an agent whom we do not have is none that can be used."""
        if not admission.agent or self._serving(admission.agent) is not None or definition.on_request is None:
            return admission
        unknown = failed(definition.on_request, "error", f'it names "{admission.agent}", and no such agent is loaded')
        return replace(unknown, duration_s=admission.duration_s)

    def _answered(self, definition: AgentDefinition, job: Job, admission: Admission) -> Accept | Decline:
        labels = {"agent": definition.name, "outcome": admission.outcome}
        self._measures.apply(Measure(name="session_requests_total", labels=labels))
        log = logger.info if admission.outcome in ("accepted", "refused") else logger.warning
        extra = {**labels, "job": job.id, "room": job.room_name, "accept": admission.accept, "to": admission.agent}
        log("session requested", extra={**extra, "duration_s": admission.duration_s, "reason": admission.message})
        if admission.accept:
            return self._reserve(admission.agent or definition.name, job, admission)
        self._changed()
        return Decline(terminate=admission.outcome == "refused")  # of an error another worker may know better
