"""The supervisor's calls: offered, placed, held, rescued, ended.

Everything here is decided at once and without waiting: an offer that is answered late is lost for good, and a caller
whose worker died hears silence until a new one has joined.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agentd.aio import now
from agentd.config.busy import queue_of
from agentd.config.definition import AgentDefinition
from agentd.runtime.admission import Admission
from agentd.runtime.busy import BusyState
from agentd.runtime.capacity import Capacity, revision_of
from agentd.runtime.jobs import JobTable, Reservation, Session
from agentd.runtime.journals import journal_path, mark_ended
from agentd.runtime.messages import (
    Admitted,
    Control,
    JobEnded,
    JobRejoins,
    JobStarted,
    QueueTicket,
    SessionChanged,
    SessionRevised,
)
from agentd.runtime.offers import Offers, Sharing
from agentd.runtime.outcome import NOTHING_KNOWN, SessionOutcome
from agentd.runtime.placement import Thresholds, choose
from agentd.runtime.pool import Pool
from agentd.runtime.recovery import lost, plan
from agentd.runtime.speeches import SpeechTable
from agentd.runtime.starting import start_job, variables_of
from agentd.runtime.status import BetweenWorkers, Measure, MeasureSink, SpeechStatus
from agentd.tools.acts import Act, EndSession, GenerateReply, SayText
from agentd.transport.protocol import Accept, Assignment, Decline, Job, JobOffer

logger = logging.getLogger(__name__)


class JobLink(Protocol):
    """Tells the LiveKit server how a job goes."""

    def job_running(self, job_id: str) -> None: ...
    def job_ended(self, job_id: str, *, error: str = "") -> None: ...


class Queue(Protocol):
    """Of callers who wait for a place: `agentd.runtime.call_queue.CallQueue`."""

    def serve(self) -> None: ...
    def position(self, session: Session) -> int: ...
    def joined(self, session: Session, why: str) -> None: ...
    def left(self, session: Session, reason: str) -> None: ...


Mint = Callable[[str, str, str], str]
"""(room, identity, agent name) -> a token with which an agent of ours joins."""


class Calls(Capacity):
    """`serving` names the definition that a new call of an agent gets, `others` those that it may be handed to; `link`
    the registration of an agent's jobs."""

    def __init__(
        self,
        *,
        table: JobTable,
        pool: Pool,
        serving: Callable[[str], AgentDefinition | None],
        sharing: Sharing,
        with_code: Callable[[AgentDefinition], AgentDefinition],
        others: Callable[[AgentDefinition], tuple[AgentDefinition, ...]] = lambda definition: (),
        generation: Callable[[], int],
        link: Callable[[str], JobLink | None],
        mint: Mint,
        state_dir: Path,
        measures: MeasureSink,
        cores: int,
        capacity: int,
        thresholds: Thresholds,
        changed: Callable[[], None],
        ask: Callable[[AgentDefinition, Job], Awaitable[Admission]],
        began: Callable[[Session], None],
        ended: Callable[[Session, str, bool, SessionOutcome], None],
        probed: Callable[[str, Job], Decline | None],
        refusal: Callable[[AgentDefinition], str],
        busy: Callable[[str], BusyState],
        started: Callable[[Session, BusyState], None],
        queue: Queue,
    ) -> None:
        """`sharing` tells which agent's definition takes a job: the one that was called, or a canary of it. `with_code`
        has a definition go with the tools' code of its time. `changed` is called when a place became free or was
        taken. `ask`: the question of an agent that has an `on_request`. `began` is called with each call that is
        taken, and `ended` with each that is over, its reason, whether it failed, and how it went as far as that is
        known. `probed`: the answer to an offer that is a probe's, and no call; `busy`: what an agent does without;
        `started`: a call was told so; `queue`: of those who wait for a place."""
        super().__init__(
            table=table,
            pool=pool,
            serving=serving,
            refusal=refusal,
            cores=cores,
            capacity=capacity,
            thresholds=thresholds,
        )
        self.speeches = SpeechTable()
        self._others = others
        self._sharing = sharing
        self._with_code = with_code
        self._generation = generation
        self._link = link
        self._mint = mint
        self._state_dir = state_dir
        self._measures = measures
        self._changed = changed
        self._began = began
        self._ended = ended
        self._busy = busy
        self._started = started
        self._queue = queue
        self._offers = Offers(
            self,
            serving=serving,
            sharing=sharing,
            measures=measures,
            changed=changed,
            ask=ask,
            probed=probed,
            serve_waiting=queue.serve,
        )

    # What LiveKit says

    async def offered(self, agent: str, offer: JobOffer) -> Accept | Decline:
        """Keeps a place until the assignment should have come. Waits for nothing but an agent's own question."""
        return await self._offers.answer(agent, offer)

    def assigned(self, agent: str, assignment: Assignment) -> None:
        job = assignment.job
        reserved = self.table.take_reservation(job.id)
        taker = self._sharing.due(agent, job)[0] if reserved is None else reserved.agent
        canary_of = ("" if taker == agent else agent) if reserved is None else reserved.canary_of
        definition = self._serving(taker)
        if definition is None and canary_of:  # the canary has gone meanwhile
            taker, canary_of, definition = canary_of, "", self._serving(canary_of)
        asked = self._serving(canary_of or taker) or definition
        refusal = "the agent was removed" if asked is None else self._too_late(asked, reserved)
        if definition is None or refusal:
            self._refuse(agent, job, refusal)
            return
        if reserved is None:
            self._sharing.counted(agent, job, taker)
        self._sharing.came(job.id)
        admission = reserved.admission if reserved else None
        session = Session(
            id=f"s-{secrets.token_hex(8)}",
            job=job.id,
            agent=taker,
            canary_of=canary_of,
            definition=definition,
            generation=self._generation(),
            room=job.room_name,
            url=assignment.url,
            identity=assignment.identity,
            journal=Path(),
            worker="",
            started_at=time.time(),
            participant=job.participant_identity,
            metadata=job.metadata,
            variables={**variables_of(job), **(admission.variables if admission else {})},
            registration="" if taker == agent else agent,
            admission=admission,
            lost_at=now(),
            others=self._others(definition),
            queued_at=now() if reserved is not None and reserved.queued else None,
        )
        self.adopt(session, token=assignment.token, preferred=reserved.worker if reserved else None)

    def _too_late(self, definition: AgentDefinition, reserved: Reservation | None) -> str:
        """Why a job whose place has lapsed cannot be taken any more; "": it can."""
        if reserved is not None:
            return ""
        if definition.on_request is not None:
            return "the place that was kept for it has lapsed, and with it what was said of the call"
        load = self.load_of_agent(definition.name)
        return load.why if load.full else ""

    def adopt(self, session: Session, *, token: str, preferred: str | None = None) -> None:
        """Takes a call: at once into the preferred worker or the emptiest, else into the first that gets ready."""
        places = self.places(revision_of(session))
        worker = preferred if preferred in {place.worker for place in places} else choose(places)
        journal = journal_path(self._state_dir, session.id)
        self.table.add(replace(session, journal=journal, worker=worker or ""))
        adopted = self.table.update(session.id, llm_step=self._busy(session.agent).llm_step)  # by the load with it
        assert adopted is not None, "it was just added"
        if adopted.queued_at is not None:
            self._queue.joined(adopted, self.way_in(session.agent).load.why)
        else:
            self._began(adopted)
        if worker is None:
            logger.warning("session found no worker", extra=adopted.named)
        else:
            self._start(session.id, worker, token)
        self._changed()

    def take_over(self, session: Session) -> None:
        """A call that goes on in a worker of an earlier daemon."""
        self._measures.apply(Measure(name="sessions_adopted_total", labels={"agent": session.agent}))
        self.table.add(session)
        if session.queued_at is None:
            self._began(session)
        self._changed()

    def terminated(self, job_id: str) -> None:
        """The server ends a job, and with it what joined with the job's token.

        When a call of ours has joined again under the same identity, the server throws the ghost of the former
        connection out and ends its job: that is no end of the call (livekit#4887).
        """
        session = self.table.of_job(job_id)
        if session is None:
            return
        if session.own_token:
            logger.info("termination of an earlier connection ignored", extra=session.named)
        else:
            logger.info("job terminated by the server", extra=session.named)
            self.control(session.id, EndSession(reason="terminated"))

    # What workers say

    def started(self, message: JobStarted) -> None:
        session = self._current(message.session, message.incarnation)
        if session is None:
            return
        self._tell(session, error=None)
        if session.incarnation > 1 and session.lost_at is not None:
            gap_ms = round((now() - session.lost_at) * 1000)
            self._measures.apply(Measure(name="sessions_resumed_total", labels={"agent": session.agent}))
            logger.warning("session resumed", extra={**session.named, "worker": session.worker, "gap_ms": gap_ms})
        self.table.update(session.id, lost_at=None)

    def rejoins(self, message: JobRejoins) -> None:
        if self._current(message.session, message.incarnation) is not None:
            self.table.update(message.session, own_token=True)

    def changed(self, message: SessionChanged) -> None:
        session = self._current(message.session, message.incarnation)
        if session is not None:
            caller, turns = message.caller or session.caller, max(message.turns, session.turns)
            latencies, acting = message.latencies or session.latencies, message.acting or session.acting
            self.table.update(
                session.id,
                state=message.state,
                turns=turns,
                caller=caller,
                acting=acting,
                latencies=latencies,
            )
            if acting != session.acting:  # it counts for another agent now
                self._changed()

    def revised(self, message: SessionRevised) -> None:
        session, definition = self._current(message.session, message.incarnation), message.definition
        if session is None:
            return
        if definition.name == session.agent:
            self.table.update(session.id, definition=definition)
        else:
            others = [each for each in session.others if each.name != definition.name]
            self.table.update(session.id, others=(*others, definition))

    def ended(self, message: JobEnded) -> None:
        session = self._current(message.session, message.incarnation)
        if session is not None:
            self._finish(session, message.reason, failed=message.failed, outcome=message.outcome)

    def worker_died(self, worker: str) -> None:
        """Its calls go on in other workers, from this moment."""
        stranded = self.table.of_worker(worker)
        for session in stranded:
            self.table.add(lost(session, now()))
        self.speeches.lost((session.id for session in stranded), taken=False)
        if stranded:
            logger.warning("sessions lost their worker", extra={"worker": worker, "sessions": len(stranded)})
        self.rescue()

    def rescue(self) -> None:
        """Gives every waiting call to a worker, if one is ready; gives up those that waited or fell too often."""
        waiting = self.table.waiting()
        if not waiting:
            return
        rescue = plan(waiting, self.places(), now())
        for session, worker in rescue.placed:
            self._start(session.id, worker, self._token(session))
        for session in rescue.given_up:
            logger.error("session given up", extra={**session.named, "rescues": len(session.rescues)})
            mark_ended(session.journal, "rescue_failed")
            self._finish(session, "rescue_failed", failed=True)

    # What we do

    def control(self, session_id: str, act: Act) -> SpeechStatus | None:
        """Raises KeyError for an unknown session, BetweenWorkers."""
        session = self.table.get(session_id)
        if session is None:
            raise KeyError(session_id)
        worker = self._pool.get(session.worker)
        if worker is None and isinstance(act, EndSession):
            mark_ended(session.journal, act.reason)
            self._finish(session, act.reason, failed=False)
            return None
        if worker is None:
            raise BetweenWorkers(f"the call {session_id} is between two workers: ask again in a moment")
        if isinstance(act, SayText | GenerateReply):
            act = replace(act, speech=self.speeches.open(session_id))
        worker.post(Control(session=session_id, act=act))
        return self.speeches.get(session_id, act.speech) if isinstance(act, SayText | GenerateReply) else None

    def _start(self, session_id: str, worker: str, token: str) -> None:
        session = self.table.update(session_id, worker=worker)
        handle = self._pool.get(worker)
        if session is None or handle is None:
            return
        prepared = revision_of(session) in handle.revisions
        if not prepared:  # a worker makes it anew, and the files may say something else by now
            session = replace(session, definition=self._with_code(session.definition))
        busy = self._busy(session.agent)
        handle.post(start_job(session, token, prepared=prepared, busy=busy.given_up, queue=self._ticket(session)))
        self._started(session, busy)

    def _ticket(self, session: Session) -> QueueTicket | None:
        if session.queued_at is None:
            return None
        queue = queue_of(session.definition.when_busy)
        timeout_s = queue[1].timeout if queue is not None else 0.0
        remaining_s = max(0.0, session.queued_at + timeout_s - now())
        return QueueTicket(position=self._queue.position(session), remaining_s=remaining_s)

    def begin(self, session: Session) -> None:
        """A call that has waited begins in the worker that it waits in."""
        busy, handle = self._busy(session.agent), self._pool.get(session.worker)
        placed = self.table.update(session.id, llm_step=busy.llm_step)
        if placed is None or handle is None:
            return
        self._began(placed)
        self._started(placed, busy)
        start = start_job(placed, "", prepared=True, busy=busy.given_up)
        handle.post(Admitted(session=session.id, start=start))

    def move(self, session: Session, worker: str) -> None:
        """A call that has waited begins in another worker, which joins its room in the place of the first."""
        incarnation, llm_step = session.incarnation + 1, self._busy(session.agent).llm_step
        moved = replace(session, worker="", incarnation=incarnation, own_token=True, llm_step=llm_step)
        self.table.add(moved)
        self._began(moved)
        self._start(moved.id, worker, self._token(moved))

    def _token(self, session: Session) -> str:
        return self._mint(session.room, session.identity, session.shown_as)

    def _current(self, session_id: str, incarnation: int) -> Session | None:
        """The session, if it is this incarnation that speaks of it."""
        session = self.table.get(session_id)
        return session if session is not None and session.incarnation == incarnation else None

    def _finish(self, session: Session, reason: str, *, failed: bool, outcome: SessionOutcome = NOTHING_KNOWN) -> None:
        self.table.remove(session.id)
        self.speeches.lost([session.id], taken=True)
        self._tell(session, error=reason if failed else "")
        self._measures.apply(Measure(name="sessions_total", labels={"agent": session.agent, "reason": reason}))
        logger.info("session ended", extra={**session.named, "reason": reason})
        if session.queued_at is not None:
            self._queue.left(session, reason)
        self._changed()
        if session.queued_at is None:
            self._ended(session, reason, failed, outcome)

    def _refuse(self, agent: str, job: Job, reason: str) -> None:
        extra = {"agent": agent, "room": job.room_name, "job": job.id, "reason": reason}
        logger.warning("assignment refused", extra=extra)
        if link := self._link(agent):
            link.job_ended(job.id, error=reason)

    def _tell(self, session: Session, error: str | None) -> None:
        """`error` None: the job runs; "": it succeeded."""
        link = self._link(session.called)
        if link is None or not session.job:
            return
        if error is None:
            link.job_running(session.job)
        else:
            link.job_ended(session.job, error=error)
