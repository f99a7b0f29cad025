"""The question before a call: what its answers mean, and what becomes of a call when there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.events import OnRequest
from agentd.config.rollout import Rollout
from agentd.providers.fields import Duration, Secret
from agentd.runtime.admission import APPEND_CHARACTERS, AnswerUnusable, ask, reading
from agentd.runtime.cold import left_behind
from agentd.runtime.journals import journal_path, unfinished
from agentd.session.journal import Journal, read_journal
from agentd.tools import signing
from agentd.tools.http import Answer, WebhookClient
from agentd.transport.protocol import Accept, Decline, Job
from tests.fakes.webhook_server import WebhookServer, hang, reset, respond, webhook_server
from tests.runtime.daemon import Daemon, running, until
from tests.runtime.parts import FakeSession, Files, definition

SECRET = "whsec_" + "A" * 32
JOB = Job(id="AJ_7", agent_name="desk", room_name="room", metadata='{"from": "+1555"}', room_metadata="gold")


def answered(value: Any, status: int = 200) -> Answer:
    return Answer(status=status, content_type="application/json", text=json.dumps(value))


def asking(server: WebhookServer, name: str = "desk", **changes: Any) -> AgentDefinition:
    return replace(definition(name), on_request=OnRequest(url=server.url, **changes))


def test_what_answers_mean() -> None:
    said = reading(
        answered({"accept": True, "variables": {"name": "Ann"}, "instructions_append": "Be brief.", "agent": "b"})
    )
    assert (said.accept, said.outcome, said.variables) == (True, "accepted", {"name": "Ann"})
    assert (said.instructions_append, said.agent) == ("Be brief.", "b")
    assert reading(answered({"accept": False})).outcome == "refused"
    for nothing in (
        answered({}),
        answered({"ok": True}),
        Answer(status=204),
        answered({"accept": None, "agent": None}),
    ):
        assert reading(nothing).accept
    assert len(reading(answered({"instructions_append": "x" * 100_000})).instructions_append) == APPEND_CHARACTERS


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answered({}, 500), "it answered 500"),
        (answered({"accept": False}, 302), "it answered 302"),
        (answered([]), "no JSON object"),
        (Answer(status=200, text="no"), "no JSON"),
        (answered({"accept": "no"}), '"accept" of its answer is str, not bool'),
        (answered({"variables": [1]}), '"variables" of its answer is list'),
        (answered({"agent": 3}), '"agent"'),
        (answered({"instructions_append": {}}), '"instructions_append"'),
        (answered({"variables": {"x": "y" * 70_000}}), "larger than 64 KiB"),
        (Answer(status=200, truncated=True), "too large"),
    ],
)
def test_answers_that_cannot_be_used(answer: Answer, why: str) -> None:
    with pytest.raises(AnswerUnusable, match=why):
        reading(answer)


async def test_the_question_is_signed_and_says_what_is_known_of_the_call() -> None:
    async with webhook_server() as server, WebhookClient() as client:
        desk = asking(server, secret=Secret("literal", SECRET))
        admission = await ask(desk, JOB, client)
    assert (admission.outcome, admission.duration_s > 0) == ("accepted", True)
    (asked,) = server.received
    signing.verify(signing.keys(SECRET), asked.headers, asked.body, int(asked.headers["webhook-timestamp"]))
    assert asked.headers["webhook-id"].startswith("sr_")
    assert asked.headers["agentd-timeout-ms"] == "2000"
    assert asked.json["type"] == "session.request"
    assert asked.json["data"] == {
        "agent": {"name": "desk", "revision": "desk-1"},
        "job": {"id": "AJ_7", "dispatch_id": "", "metadata": '{"from": "+1555"}'},
        "room": {"name": "room", "sid": "", "metadata": "gold"},
        "participant": None,
        "attributes": {},
    }


@pytest.mark.parametrize("on_error", ["accept", "refuse"])
async def test_every_fault_has_the_result_that_the_file_says(on_error: Any) -> None:
    short = {"timeout": Duration(0.2), "on_error": on_error}
    async with webhook_server() as server, WebhookClient() as client:
        server.then(hang(), reset(), respond({}, status=503), respond(text="hello"))
        outcomes = [await ask(asking(server, **short), JOB, client) for _ in range(4)]
        refused = AgentDefinition(
            **{f: getattr(definition("desk"), f) for f in ("name", "vad")},
            on_request=OnRequest(url="https://169.254.169.254/", on_error=on_error),
        )
        outcomes.append(await ask(refused, JOB, client))
    assert [each.outcome for each in outcomes] == ["timeout", "unreachable", "error", "error", "error"]
    assert {each.accept for each in outcomes} == {on_error == "accept"}
    assert all(each.message for each in outcomes)


async def test_an_endpoint_that_is_down_is_not_waited_for_by_every_caller() -> None:
    async with webhook_server() as server, WebhookClient() as client:
        server.default = hang()
        desk = asking(server, timeout=Duration(0.1))
        for _ in range(5):
            await ask(desk, JOB, client)
        admission = await ask(desk, JOB, client)
    assert (admission.outcome, admission.accept, len(server.received)) == ("unreachable", True, 5)
    assert admission.duration_s < 0.1


def requested(daemon: Daemon, outcome: str) -> float:
    return daemon.measures.of("session_requests_total", agent="desk", outcome=outcome)


async def test_the_answer_is_what_the_call_begins_with_and_stands_in_its_journal(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond(
            {"variables": {"name": "Ann", "plan": "gold"}, "instructions_append": "She is deaf in one ear."}
        )
        async with running(tmp_path, Files({"desk": asking(server)})) as daemon:
            session = await daemon.call("desk", metadata='{"variables": {"name": "?", "from": "web"}}')
            setup = FakeSession.running[session].setup
            assert setup.variables == {"name": "Ann", "plan": "gold", "from": "web"}
            assert setup.requested is not None
            assert setup.requested["instructions_append"] == "She is deaf in one ear."
            assert requested(daemon, "accepted") == 1


async def test_a_refused_call_is_offered_to_nobody_else(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond({"accept": False})
        async with running(tmp_path, Files({"desk": asking(server)})) as daemon:
            link = daemon.registrations["desk"]
            assert await link.offer(link.job()) == Decline(terminate=True)
            assert not daemon.supervisor.sessions()
            assert daemon.supervisor.calls.table.load_of_agent("desk") == 0
            assert requested(daemon, "refused") == 1


async def test_no_answer_accepts_or_refuses_as_the_file_says(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = hang()
        files = Files({"desk": asking(server, timeout=Duration(0.1), on_error="refuse")})
        async with running(tmp_path, files) as daemon:
            link = daemon.registrations["desk"]
            assert await link.offer(link.job()) == Decline(terminate=False)
            files.put(replace(asking(server, timeout=Duration(0.1)), digest="desk-2"))
            await daemon.supervisor.reload()
            session = await daemon.call("desk")
            setup = FakeSession.running[session].setup
            assert setup.requested is not None
            assert (setup.requested["outcome"], setup.requested["accept"]) == ("timeout", True)
            assert requested(daemon, "timeout") == 2


async def test_another_agent_takes_the_call_and_its_job_ends_where_it_came_from(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond({"agent": "billing"})
        files = Files({"desk": asking(server), "billing": definition("billing", concurrency=1)})
        async with running(tmp_path, files) as daemon:
            session = await daemon.call("desk")
            held = daemon.session(session)
            assert held is not None
            assert (held.agent, held.registration, FakeSession.running[session].setup.definition.name) == (
                *("billing", "desk", "billing"),
            )
            assert daemon.registrations["desk"].running == [held.job]
            assert daemon.registrations["billing"].running == []
            link = daemon.registrations["desk"]
            assert isinstance(await link.offer(link.job()), Decline)  # billing has one place
            del files.agents["desk"]  # its job is told to LiveKit for as long as it runs
            await daemon.supervisor.reload()
            await daemon.hang_up(session)
            assert link.ended == {held.job: ""}


async def test_a_canary_takes_its_share_of_calls_that_were_asked_about(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond({"variables": {"name": "Ann"}})
        canary = replace(definition("next"), rollout=Rollout(of="desk", percent=50))
        async with running(tmp_path, Files({"desk": asking(server), "next": canary})) as daemon:
            held = [daemon.session(await daemon.call("desk")) for _ in range(4)]
            assert [each.agent for each in held if each] == ["next", "desk", "next", "desk"]
            assert {each.called for each in held if each} == {"desk"}
            assert {each.variables["name"] for each in held if each} == {"Ann"}
            assert requested(daemon, "accepted") == 4


async def test_an_agent_that_is_not_loaded_is_an_answer_that_cannot_be_used(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond({"agent": "nobody"})
        async with running(tmp_path, Files({"desk": asking(server)})) as daemon:
            session = await daemon.call("desk")
            held = daemon.session(session)
            assert held is not None
            assert held.agent == "desk"
            assert held.admission is not None
            assert "nobody" in held.admission.message
            assert requested(daemon, "error") == 1


async def test_a_place_that_has_lapsed_takes_what_was_said_of_the_call_with_it(tmp_path: Path) -> None:
    async with webhook_server() as server, running(tmp_path, Files({"desk": asking(server)})) as daemon:
        link = daemon.registrations["desk"]
        job = link.job()
        assert isinstance(await link.offer(job), Accept)
        daemon.supervisor.calls.table.take_reservation(job.id)
        link.assign(job)
        await until(lambda: job.id in link.ended)
        assert "lapsed" in link.ended[job.id]


async def test_the_answer_survives_the_death_of_the_calls_worker(tmp_path: Path) -> None:
    async with webhook_server() as server:
        server.default = respond({"agent": "billing", "instructions_append": "Be brief.", "variables": {"a": 1}})
        files = Files({"desk": asking(server), "billing": definition("billing")})
        async with running(tmp_path, files) as daemon:
            session = await daemon.call("desk")
            held = daemon.session(session)
            assert held is not None
            daemon.kill(held.worker)
            await until(
                lambda: (now := daemon.session(session)) is not None and now.incarnation == 2 and daemon.talks(session)
            )
            setup = FakeSession.running[session].setup
            assert setup.requested is not None
            assert (setup.definition.name, setup.variables) == ("billing", {"a": 1})
            assert setup.requested["instructions_append"] == "Be brief."
            assert [record.kind for record in read_journal(held.journal)].count("session.started") == 1


async def test_the_next_daemon_knows_under_whose_name_a_call_came(tmp_path: Path) -> None:
    journal = Journal.create(journal_path(tmp_path, "s-1"))
    journal.append("session.started", {"agent": "billing", "room": "room", "job_id": "AJ_1", "variables": {"a": 1}})
    admission = reading(answered({"agent": "billing"}))
    journal.append("session.requested", {**admission.record(), "asked": "desk"})
    found = unfinished(journal.path)
    assert found is not None
    session = left_behind(found, definition("billing"), "ws://here", {})
    assert (session.agent, session.registration, session.variables) == ("billing", "desk", {"a": 1})
