"""LiveKit's worker protocol as values: what the server asks, what we answer, and how long to wait. Pure.

The wire is protobuf (`WorkerMessage` out, `ServerMessage` in) over one WebSocket an agent name.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.message import DecodeError
from livekit.protocol import agent as wire
from livekit.protocol.models import ParticipantPermission

from agentd.errors import TransportError

PING_INTERVAL_S = 30
JobStatus = Literal["running", "success", "failed"]

_JOB_STATUS = {"running": wire.JS_RUNNING, "success": wire.JS_SUCCESS, "failed": wire.JS_FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """LiveKit's dispatch of an agent into a room. Plain values: it goes from process to process."""

    id: str
    agent_name: str
    room_name: str
    room_sid: str = ""
    room_metadata: str = ""
    dispatch_id: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    participant_identity: str = ""  # set when the job is about one participant
    participant_attributes: Mapping[str, str] = field(default_factory=dict)
    deployment: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOffer:
    """The server asks whether we take the job. The answer must leave within 2.5 s, or the dispatch is lost."""

    job: Job
    resuming: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """We take the job. The participant's identity is always `agent_identity(job.id)`."""

    participant_name: str = ""
    participant_metadata: str = ""
    participant_attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """We do not take it; the server tries the next worker at once. `terminate`: no worker shall be tried."""

    terminate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The job is ours. `late`: it came after ASSIGNMENT_WAIT_S, so a reservation for it may have lapsed."""

    job: Job
    url: str
    token: str
    identity: str
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """`load`: 0 to 1. `full`: offer us nothing. `job_count`: of this agent name."""

    load: float
    full: bool
    job_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    worker_id: str
    server_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """An assignment as it stands on the wire: `url` may be empty, which means the server's own."""

    job: Job
    url: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    last_timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    """The server asks us to connect anew."""


ServerWord = Registered | JobOffer | Assigned | Terminated | Pong | GoAway


def agent_identity(job_id: str) -> str:
    """The participant that serves a job, in whichever process and incarnation."""
    return f"agent-{job_id}"


def agent_attributes(agent_name: str) -> dict[str, str]:
    """What an agent's participant carries from the moment it joins."""
    return {"lk.agent.name": agent_name, "lk.agent.state": "initializing"}


def register(agent_name: str, *, version: str, namespace: str = "", deployment: str = "") -> bytes:
    request = wire.RegisterWorkerRequest(
        type=wire.JT_ROOM,
        agent_name=agent_name,
        version=version,
        ping_interval=PING_INTERVAL_S,
        deployment=deployment,
        allowed_permissions=ParticipantPermission(
            can_publish=True, can_subscribe=True, can_publish_data=True, can_update_metadata=True, agent=True
        ),
    )
    if namespace:
        request.namespace = namespace
    return wire.WorkerMessage(register=request).SerializeToString()


def availability(offer: JobOffer, answer: Accept | Decline) -> bytes:
    if isinstance(answer, Decline):
        reply = wire.AvailabilityResponse(job_id=offer.job.id, available=False, terminate=answer.terminate)
    else:
        reply = wire.AvailabilityResponse(
            job_id=offer.job.id,
            available=True,
            participant_identity=agent_identity(offer.job.id),
            participant_name=answer.participant_name,
            participant_metadata=answer.participant_metadata,
            participant_attributes={**agent_attributes(offer.job.agent_name), **answer.participant_attributes},
        )
    return wire.WorkerMessage(availability=reply).SerializeToString()


TARGET_LOAD = 0.7
"""The server's `agents.target_load` by default: a worker that reports as much is offered nothing, although it says
that it is available, and the dispatch is lost without a word. So what has room is reported as below it."""


def worker_status(report: LoadReport, *, draining: bool) -> bytes:
    """Draining is told as full as well: servers before 1.12 do not know the flag."""
    update = wire.UpdateWorkerStatus(
        status=wire.WS_FULL if report.full or draining else wire.WS_AVAILABLE,
        load=1.0 if report.full or draining else _told(report.load),
        job_count=report.job_count,
        draining=draining,
    )
    return wire.WorkerMessage(update_worker=update).SerializeToString()


def _told(load: float) -> float:
    """A load of 0 to 1 within what the server still offers jobs to; the order among nodes stays."""
    return 0.95 * TARGET_LOAD * min(1.0, max(0.0, load))


def job_status(job_id: str, status: JobStatus, error: str = "") -> bytes:
    update = wire.UpdateJobStatus(job_id=job_id, status=_JOB_STATUS[status], error=error)
    return wire.WorkerMessage(update_job=update).SerializeToString()


def ping(timestamp_ms: int) -> bytes:
    return wire.WorkerMessage(ping=wire.WorkerPing(timestamp=timestamp_ms)).SerializeToString()


def jobs_under_way(job_ids: Iterable[str]) -> bytes:
    """After a new registration: the jobs that this worker goes on serving."""
    return wire.WorkerMessage(migrate_job=wire.MigrateJobRequest(job_ids=list(job_ids))).SerializeToString()


def decode(data: bytes) -> ServerWord | None:
    """One message of the server; None for a kind that we do not know. Raises TransportError for garbage."""
    message = wire.ServerMessage()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise TransportError(f"the LiveKit server sent {len(data)} bytes that are no ServerMessage") from error
    match message.WhichOneof("message"):
        case "register":
            reply = message.register
            return Registered(worker_id=reply.worker_id, server_version=reply.server_info.version)
        case "availability":
            return JobOffer(job=_job(message.availability.job), resuming=message.availability.resuming)
        case "assignment":
            given = message.assignment
            return Assigned(job=_job(given.job), url=given.url, token=given.token)
        case "termination":
            return Terminated(job_id=message.termination.job_id)
        case "pong":
            return Pong(last_timestamp_ms=message.pong.last_timestamp)
        case "go_away":
            return GoAway()
    return None


def _job(job: wire.Job) -> Job:
    return Job(
        id=job.id,
        agent_name=job.agent_name,
        room_name=job.room.name,
        room_sid=job.room.sid,
        room_metadata=job.room.metadata,
        dispatch_id=job.dispatch_id,
        metadata=job.metadata,
        attributes=dict(job.attributes),
        participant_identity=job.participant.identity,
        participant_attributes=dict(job.participant.attributes),
        deployment=job.deployment,
        namespace=job.namespace,
    )


def backoff_s(attempt: int, *, base_s: float = 1.0, cap_s: float = 10.0, rng: random.Random | None = None) -> float:
    """Full jitter: anywhere from 0 to the doubled-and-capped step, so that many workers do not return as one.

    `attempt` counts from 0.
    """
    step_s = min(cap_s, base_s * 2.0 ** min(attempt, 32))
    return (rng or random).uniform(0.0, step_s)
