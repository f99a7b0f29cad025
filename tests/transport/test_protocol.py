from __future__ import annotations

import random

import pytest
from livekit.protocol import agent as wire
from livekit.protocol.models import Room

from agentd.errors import TransportError
from agentd.transport import protocol
from agentd.transport.protocol import Accept, Decline, Job, JobOffer, LoadReport

JOB = Job(id="AJ_1", agent_name="ada", room_name="lobby")


def sent(data: bytes) -> wire.WorkerMessage:
    message = wire.WorkerMessage()
    message.ParseFromString(data)
    return message


def test_registration_asks_for_room_jobs_with_what_an_agent_needs() -> None:
    request = sent(protocol.register("ada", version="1.2", namespace="n", deployment="blue")).register
    assert (request.agent_name, request.type, request.version) == ("ada", wire.JT_ROOM, "1.2")
    assert (request.namespace, request.deployment) == ("n", "blue")
    allowed = request.allowed_permissions
    assert allowed.can_publish
    assert allowed.can_subscribe
    assert allowed.can_publish_data
    assert allowed.can_update_metadata
    assert allowed.agent
    assert not allowed.hidden


def test_acceptance_names_the_participant_after_the_job_and_carries_what_front_ends_read() -> None:
    reply = sent(
        protocol.availability(
            JobOffer(job=JOB), Accept(participant_name="Ada", participant_attributes={"team": "sales"})
        )
    ).availability
    assert reply.available
    assert (reply.job_id, reply.participant_identity, reply.participant_name) == ("AJ_1", "agent-AJ_1", "Ada")
    assert dict(reply.participant_attributes) == {
        "lk.agent.name": "ada",
        "lk.agent.state": "initializing",
        "team": "sales",
    }


def test_refusal_says_no_and_may_stop_the_search() -> None:
    reply = sent(protocol.availability(JobOffer(job=JOB), Decline(terminate=True))).availability
    assert not reply.available
    assert reply.terminate
    assert reply.job_id == "AJ_1"


@pytest.mark.parametrize(
    ("full", "draining", "status"),
    [(False, False, wire.WS_AVAILABLE), (True, False, wire.WS_FULL), (False, True, wire.WS_FULL)],
)
def test_a_full_or_draining_worker_is_reported_full(full: bool, draining: bool, status: int) -> None:
    report = LoadReport(load=1.7, full=full, job_count=3)
    update = sent(protocol.worker_status(report, draining=draining)).update_worker
    assert (update.status, update.job_count) == (status, 3)
    assert update.load == 1.0 or not (full or draining)


def test_a_worker_with_room_is_always_reported_below_the_load_from_which_the_server_offers_nothing() -> None:
    loads = [
        sent(protocol.worker_status(LoadReport(load=load, full=False, job_count=0), draining=False)).update_worker.load
        for load in (0.0, 0.5, 0.9, 1.0, 1.7)
    ]
    assert loads == sorted(loads)
    assert max(loads) < protocol.TARGET_LOAD


@pytest.mark.parametrize(
    ("status", "expected"), [("running", wire.JS_RUNNING), ("success", wire.JS_SUCCESS), ("failed", wire.JS_FAILED)]
)
def test_job_status(status: protocol.JobStatus, expected: int) -> None:
    update = sent(protocol.job_status("AJ_1", status, "why")).update_job
    assert (update.job_id, update.status, update.error) == ("AJ_1", expected, "why")


def test_jobs_under_way_are_listed() -> None:
    assert list(sent(protocol.jobs_under_way(["a", "b"])).migrate_job.job_ids) == ["a", "b"]


def test_every_field_of_an_offered_job_is_kept() -> None:
    job = wire.Job(
        id="AJ_2",
        dispatch_id="AD_1",
        room=Room(name="lobby", sid="RM_1", metadata="rm"),
        agent_name="ada",
        metadata="{}",
        attributes={"a": "b"},
        deployment="blue",
        namespace="n",
    )
    job.participant.identity = "bob"
    message = wire.ServerMessage(availability=wire.AvailabilityRequest(job=job, resuming=True))
    assert protocol.decode(message.SerializeToString()) == JobOffer(
        job=Job(
            id="AJ_2",
            agent_name="ada",
            room_name="lobby",
            room_sid="RM_1",
            room_metadata="rm",
            dispatch_id="AD_1",
            metadata="{}",
            attributes={"a": "b"},
            participant_identity="bob",
            deployment="blue",
            namespace="n",
        ),
        resuming=True,
    )


def test_other_words_of_the_server() -> None:
    def decoded(**word: object) -> object:
        return protocol.decode(wire.ServerMessage(**word).SerializeToString())  # type: ignore[arg-type]

    assert decoded(register=wire.RegisterWorkerResponse(worker_id="AW_1")) == protocol.Registered(
        worker_id="AW_1", server_version=""
    )
    assert decoded(termination=wire.JobTermination(job_id="AJ_1")) == protocol.Terminated(job_id="AJ_1")
    assert decoded(pong=wire.WorkerPong(last_timestamp=7)) == protocol.Pong(last_timestamp_ms=7)
    assert decoded(go_away=type(wire.ServerMessage().go_away)()) == protocol.GoAway()
    assert protocol.decode(b"") is None


def test_garbage_is_an_error_that_says_so() -> None:
    with pytest.raises(TransportError, match="3 bytes"):
        protocol.decode(b"\xff\xff\xff")


def test_backoff_is_spread_over_the_whole_of_a_doubling_and_capped_step() -> None:
    rng = random.Random(1)
    for attempt, step_s in [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (500, 10.0)]:
        delays = [protocol.backoff_s(attempt, rng=rng) for _ in range(400)]
        assert 0 <= min(delays) < step_s * 0.05
        assert step_s * 0.95 < max(delays) <= step_s
