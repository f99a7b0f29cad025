from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import jwt
import pytest
from livekit.protocol import agent as wire

from agentd.errors import RegistrationRefused, TransportError
from agentd.transport import registration
from agentd.transport.protocol import Accept, Assignment, Decline, JobOffer, LoadReport
from agentd.transport.registration import Registration
from agentd.transport.tokens import LiveKitCredentials
from tests.transport.fake_server import FakeServer, fake_server


class Supervisor:
    """What a Registration tells, and what it is answered."""

    def __init__(self) -> None:
        self.offers: list[JobOffer] = []
        self.assignments: list[Assignment] = []
        self.terminated: list[str] = []
        self.changes: list[bool] = []
        self.failures: list[TransportError] = []
        self.report = LoadReport(load=0.1, full=False, job_count=0)
        self.decide: Callable[[JobOffer], Awaitable[Accept | Decline]] = self._accept

    async def offered(self, offer: JobOffer) -> Accept | Decline:
        self.offers.append(offer)
        return await self.decide(offer)

    async def _accept(self, offer: JobOffer) -> Accept | Decline:
        return Accept()


@asynccontextmanager
async def registered(server: FakeServer, *, wait: bool = True) -> AsyncIterator[tuple[Registration, Supervisor]]:
    supervisor = Supervisor()
    subject = Registration(
        "ada",
        LiveKitCredentials(url=server.url, api_key="key", api_secret="s" * 40),
        offered=supervisor.offered,
        assigned=supervisor.assignments.append,
        terminated=supervisor.terminated.append,
        load=lambda: supervisor.report,
        changed=supervisor.changes.append,
        failed=supervisor.failures.append,
        rng=random.Random(7),
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(subject.run())
        if wait:
            await until(lambda: subject.registered)
        yield subject, supervisor
        running.cancel()


async def until(ready: Callable[[], object], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not ready():
            await asyncio.sleep(0.005)


async def test_registers_its_name_with_a_token_that_can_do_nothing_else() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        word = await server.next("register")
        assert word.register.agent_name == "ada"
        said = jwt.decode(server.tokens[0], "s" * 40, algorithms=["HS256"])
        assert said["video"]["agent"] is True
        assert "roomJoin" not in said["video"]
        assert subject.worker_id == "AW_1"
        assert supervisor.changes == [True]


async def test_an_accepted_job_is_assigned_with_our_own_url() -> None:
    async with fake_server() as server, registered(server) as (_, supervisor):
        await server.offer("AJ_1")
        reply = (await server.next("availability")).availability
        assert reply.available
        assert reply.participant_identity == "agent-AJ_1"
        await server.assign("AJ_1")
        await until(lambda: supervisor.assignments)
        (given,) = supervisor.assignments
        assert (given.url, given.token, given.identity, given.late) == (server.url, "token", "agent-AJ_1", False)


async def test_an_assignments_own_url_is_kept() -> None:
    async with fake_server() as server, registered(server) as (_, supervisor):
        await server.offer("AJ_1")
        await server.next("availability")
        await server.assign("AJ_1", url="wss://elsewhere")
        await until(lambda: supervisor.assignments)
        assert supervisor.assignments[0].url == "wss://elsewhere"


async def test_a_declined_job_is_answered_at_once() -> None:
    async def decline(offer: JobOffer) -> Accept | Decline:
        return Decline()

    async with fake_server() as server, registered(server) as (_, supervisor):
        supervisor.decide = decline
        await server.offer("AJ_1")
        assert not (await server.next("availability", timeout_s=0.5)).availability.available


async def test_a_decision_that_takes_too_long_is_a_refusal_and_others_do_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registration, "ANSWER_DEADLINE_S", 0.2)

    async def slow(offer: JobOffer) -> Accept | Decline:
        await asyncio.sleep(60 if offer.job.id == "AJ_slow" else 0)
        return Accept()

    async with fake_server() as server, registered(server) as (_, supervisor):
        supervisor.decide = slow
        await server.offer("AJ_slow")
        await server.offer("AJ_quick")
        first = (await server.next("availability")).availability
        second = (await server.next("availability")).availability
        assert (first.job_id, first.available) == ("AJ_quick", True)
        assert (second.job_id, second.available) == ("AJ_slow", False)


async def test_a_job_assigned_twice_is_given_once() -> None:
    async with fake_server() as server, registered(server) as (_, supervisor):
        await server.offer("AJ_1")
        await server.next("availability")
        await server.assign("AJ_1")
        await server.assign("AJ_1")
        await server.terminate("AJ_1")
        await until(lambda: supervisor.terminated)
        assert len(supervisor.assignments) == 1


async def test_a_job_that_was_never_accepted_is_refused() -> None:
    async with fake_server() as server, registered(server) as (_, supervisor):
        await server.assign("AJ_other")
        update = (await server.next("update_job")).update_job
        assert (update.job_id, update.status) == ("AJ_other", wire.JS_FAILED)
        assert not supervisor.assignments


async def test_a_late_assignment_says_that_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "ASSIGNMENT_WAIT_S", 0.05)
    async with fake_server() as server, registered(server) as (_, supervisor):
        await server.offer("AJ_1")
        await server.next("availability")
        await asyncio.sleep(0.1)
        await server.assign("AJ_1")
        await until(lambda: supervisor.assignments)
        assert supervisor.assignments[0].late


async def reported(server: FakeServer, status: wire.WorkerStatus.ValueType) -> wire.UpdateWorkerStatus:
    """The next report with this status: one of before may be under way on a machine that others use too."""
    async with asyncio.timeout(5):
        while True:
            update = (await server.next("update_worker")).update_worker
            if update.status == status:
                return update


async def test_load_is_reported_at_once_when_we_become_full_or_free() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        first = (await server.next("update_worker")).update_worker
        assert first.status == wire.WS_AVAILABLE
        assert 0 < first.load <= 0.1
        while not server.received.empty():
            server.received.get_nowait()
        supervisor.report = LoadReport(load=0.9, full=True, job_count=10)
        subject.load_changed()
        assert (await reported(server, wire.WS_FULL)).job_count == 10
        supervisor.report = LoadReport(load=0.8, full=False, job_count=9)
        assert (await reported(server, wire.WS_AVAILABLE)).job_count == 9  # found by asking every 0.5 s


async def test_load_is_reported_every_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "STATUS_INTERVAL_S", 0.2)
    monkeypatch.setattr(registration, "LOAD_INTERVAL_S", 0.02)
    async with fake_server() as server, registered(server):
        await asyncio.sleep(1.0)
        statuses = [word for word in iter_received(server) if word.HasField("update_worker")]
        assert 4 <= len(statuses) <= 8


def iter_received(server: FakeServer) -> list[wire.WorkerMessage]:
    words = []
    while not server.received.empty():
        words.append(server.received.get_nowait())
    return words


async def test_draining_declines_offers_and_is_told_to_the_server() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        iter_received(server)
        subject.drain()
        async with asyncio.timeout(3):
            while (await server.next("update_worker")).update_worker.status != wire.WS_FULL:
                pass  # one of before may still have been under way
        await server.offer("AJ_1")
        assert not (await server.next("availability")).availability.available
        assert not supervisor.offers
        assert subject.registered


async def test_a_restarted_server_gets_the_registration_and_the_jobs_under_way_again() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        await server.offer("AJ_1")
        await server.next("availability")
        await server.assign("AJ_1")
        await until(lambda: supervisor.assignments)
        subject.job_running("AJ_1")
        assert (await server.next("update_job")).update_job.status == wire.JS_RUNNING
        await server.offer("AJ_2")
        await server.next("availability")
        await server.assign("AJ_2")
        await until(lambda: len(supervisor.assignments) == 2)
        await server.stop()
        await until(lambda: not subject.registered)
        subject.job_ended("AJ_2", error="the caller hung up on us")  # while nobody hears it
        await server.start()
        await server.next("register", timeout_s=10)
        assert list((await server.next("migrate_job")).migrate_job.job_ids) == ["AJ_1"]
        told = (await server.next("update_job")).update_job
        assert (told.job_id, told.status, told.error) == ("AJ_2", wire.JS_FAILED, "the caller hung up on us")
        await until(lambda: subject.registered)
        assert supervisor.changes == [True, False, True]
        assert isinstance(supervisor.failures[0], TransportError)


async def test_how_a_job_ended_is_told() -> None:
    async with fake_server() as server, registered(server) as (subject, _):
        subject.job_ended("AJ_1")
        assert (await server.next("update_job")).update_job.status == wire.JS_SUCCESS


async def test_a_refused_key_is_reported_as_such_and_tried_again_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "REFUSED_RETRY_S", 0.6)
    async with fake_server() as server:
        server.status = 401
        async with registered(server, wait=False) as (subject, supervisor):
            await until(lambda: supervisor.failures)
            assert isinstance(supervisor.failures[0], RegistrationRefused)
            assert "LIVEKIT_API_KEY" in str(supervisor.failures[0])
            await asyncio.sleep(0.25)
            assert len(supervisor.failures) == 1
            server.status = 101
            await until(lambda: subject.registered)


async def test_other_refusals_are_not_taken_for_a_wrong_key() -> None:
    async with fake_server() as server:
        server.status = 503
        async with registered(server, wait=False) as (_, supervisor):
            await until(lambda: supervisor.failures)
            assert not isinstance(supervisor.failures[0], RegistrationRefused)
            assert "503" in str(supervisor.failures[0])


async def test_a_server_that_does_not_answer_the_registration_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "CONNECT_TIMEOUT_S", 0.2)
    async with fake_server() as server:
        server.silent = True
        async with registered(server, wait=False) as (subject, supervisor):
            await until(lambda: supervisor.failures)
            assert not subject.registered
            server.silent = False
            await until(lambda: subject.registered)


async def test_a_server_that_asks_us_to_go_away_gets_a_new_connection() -> None:
    async with fake_server() as server, registered(server) as (subject, _):
        word = wire.ServerMessage()
        word.go_away.SetInParent()
        await server.send(word)
        await until(lambda: len(server.connections) == 2 and subject.registered)


async def test_garbage_from_the_server_costs_the_connection_and_nothing_else() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        await server.connections[-1].send_bytes(b"\xff\xff\xff")
        await until(lambda: len(server.connections) == 2 and subject.registered)
        assert "ServerMessage" in str(supervisor.failures[0])


async def test_a_renewed_registration_comes_back_with_its_jobs_under_way() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        subject.job_running("J1")
        subject.renew()
        await until(lambda: subject.worker_id == "AW_2" and subject.registered)
        assert list((await server.next("migrate_job")).migrate_job.job_ids) == ["J1"]
        assert supervisor.changes == [True, False, True]
        assert [str(failure) for failure in supervisor.failures] == ["it received no offers"]
        await server.offer("J2")
        await until(lambda: supervisor.offers)


async def test_it_is_seen_at_work_while_it_stands_and_while_it_tries_to() -> None:
    async with fake_server() as server, registered(server) as (subject, supervisor):
        for _ in range(2):  # by its reports
            before = subject.worked_at
            await until(lambda since=before: subject.worked_at > since)
        await server.stop()
        await until(lambda: not subject.registered)
        for _ in range(2):  # by its attempts
            failures = len(supervisor.failures)
            before = subject.worked_at
            await until(lambda count=failures: len(supervisor.failures) > count)
            assert subject.worked_at > before
