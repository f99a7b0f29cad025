"""The daemon's calls: offered, placed, held, ended. Workers run inside the test's process, over in-memory links."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentd.runtime.supervisor import NoValidAgent
from agentd.session.journal import read_journal
from agentd.tools.acts import CancelSpeech, EndSession, GenerateReply, SayText
from agentd.transport.protocol import Accept, Decline
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSession, FakeSettings, Files, definition, labels_alive

ENTERED = {"revision": "1", "first": True, "enters": "wait", "language": "en", "variables": {}, "first_hook": 0}


async def test_a_call_is_accepted_held_and_ended(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        session_id = await daemon.call("desk", metadata='{"variables": {"name": "Ann"}}')
        [status] = daemon.supervisor.sessions()
        assert (status.agent, status.state, status.caller, status.incarnation) == ("desk", "listening", "Ann", 1)
        setup = FakeSession.running[session_id].setup
        assert (setup.variables, setup.metadata) == ({"name": "Ann"}, '{"variables": {"name": "Ann"}}')
        assert daemon.registrations["desk"].running == [status.job_id]
        await daemon.hang_up(session_id)
        assert daemon.registrations["desk"].ended == {status.job_id: ""}
        assert daemon.measures.of("sessions_total", agent="desk", reason="caller_left") == 1
    [journal] = (tmp_path / "state" / "sessions").iterdir()
    assert [record.kind for record in read_journal(journal)][-1] == "session.ended"


async def test_calls_spread_over_the_workers_and_the_full_daemon_refuses_at_once(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, sessions_per_worker=2) as daemon:
        link = daemon.registrations["desk"]
        for _ in range(4):
            await daemon.call("desk")
        assert sorted(worker.sessions for worker in daemon.supervisor.workers()) == [2, 2]
        assert link.load().full
        assert isinstance(await link.offer(link.job()), Decline)


async def test_concurrency_counts_jobs_that_are_promised_and_not_yet_assigned(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk", concurrency=2), "shop": definition("shop")})
    async with running(tmp_path, files) as daemon:
        link = daemon.registrations["desk"]
        await daemon.call("desk")
        promised = link.job()
        assert isinstance(await link.offer(promised), Accept)
        assert link.load().full
        assert isinstance(await link.offer(link.job()), Decline)
        assert not daemon.registrations["shop"].load().full
        link.assign(promised)
        await until(lambda: len(daemon.supervisor.sessions()) == 2)


async def test_a_call_that_was_handed_over_counts_for_the_agent_that_has_it(tmp_path: Path) -> None:
    """Its limit protects what it works with; a handoff itself is never refused for it, as the caller is on the line."""
    files = Files({"desk": definition("desk", concurrency=1), "billing": definition("billing", concurrency=1)})
    async with running(tmp_path, files) as daemon:
        desk, billing = daemon.registrations["desk"], daemon.registrations["billing"]
        first = await daemon.call("desk")
        assert (desk.load().full, billing.load().full) == (True, False)
        FakeSession.running[first].record("agent.entered", **ENTERED, agent="billing", previous="desk")
        await until(lambda: billing.load().full)
        assert not desk.load().full
        assert isinstance(await billing.offer(billing.job()), Decline)
        second = await daemon.call("desk")
        await daemon.hang_up(first)
        assert (desk.load().full, billing.load().full) == (True, False)
        FakeSession.running[second].record("agent.entered", **ENTERED, agent="billing", previous="desk")
        await until(lambda: billing.load().full)
        FakeSession.running[second].record("agent.entered", **ENTERED, agent="desk", previous="billing")
        await until(lambda: desk.load().full)
        assert not billing.load().full


async def test_an_agents_registration_stays_while_a_call_that_it_began_goes_on_elsewhere(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk"), "billing": definition("billing")})
    async with running(tmp_path, files) as daemon:
        call = await daemon.call("desk")
        FakeSession.running[call].record("agent.entered", **ENTERED, agent="billing", previous="desk")
        await until(lambda: daemon.session(call).acting == "billing")  # type: ignore[union-attr]
        table = daemon.supervisor.calls.table
        assert (table.load_of_agent("desk"), table.of_registration("desk")) == (0, 1)


async def test_a_session_that_crashes_harms_no_other(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=1) as daemon:
        other, faulty = await daemon.call("desk"), await daemon.call("desk")
        job = daemon.session(faulty).job  # type: ignore[union-attr]
        await daemon.supervisor.control(faulty, SayText(text="crash"))
        await until(lambda: daemon.session(faulty) is None)
        assert daemon.registrations["desk"].ended == {job: "error_RuntimeError"}
        assert daemon.talks(other)
        assert daemon.measures.of("sessions_total", reason="error_RuntimeError") == 1


async def test_the_operator_can_speak_and_end_and_an_unknown_session_is_told_apart(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        session_id = await daemon.call("desk")
        await daemon.supervisor.control(session_id, SayText(text="hello"))
        await until(lambda: daemon.supervisor.sessions()[0].turns == 1)
        with pytest.raises(KeyError):
            await daemon.supervisor.control("nobody", EndSession(reason="ended_by_operator"))
        await daemon.supervisor.control(session_id, EndSession(reason="ended_by_operator"))
        await until(lambda: not daemon.supervisor.sessions())
        assert daemon.measures.of("sessions_total", reason="ended_by_operator") == 1


async def test_a_drain_waits_for_calls_and_takes_no_new_ones(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        session_id = await daemon.call("desk")
        daemon.supervisor.stop_signal()
        link = daemon.registrations["desk"]
        assert link.draining
        assert isinstance(await link.offer(link.job()), Decline)
        assert "The daemon is draining." in daemon.supervisor.readiness().reasons
        assert daemon.run is not None
        assert not daemon.run.done()
        await daemon.hang_up(session_id)
        assert await daemon.run is True


async def test_a_second_signal_cuts_the_calls(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        await daemon.call("desk")
        daemon.supervisor.stop_signal()
        daemon.supervisor.stop_signal()
        assert daemon.run is not None
        assert await daemon.run is False
        assert daemon.measures.of("sessions_total", reason="drain_deadline") == 1


async def test_calls_are_cut_at_the_drain_deadline(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, drain_timeout_s=0.05) as daemon:
        await daemon.call("desk")
        daemon.supervisor.stop_signal()
        assert daemon.run is not None
        assert await daemon.run is False


async def test_with_no_valid_agent_it_does_not_start(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk", llm=FakeSettings(refuse="no key"))})
    async with running(tmp_path, files, wait=False) as daemon:
        assert daemon.run is not None
        await asyncio.wait([daemon.run])
        failure = daemon.run.exception()
        assert isinstance(failure, NoValidAgent)
        assert "no key" in str(failure)


async def test_equal_providers_are_shared_and_closed_with_their_last_user(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk"), "shop": definition("shop", llm=FakeSettings(label="other"))})
    async with running(tmp_path, files, workers=1) as daemon:
        assert labels_alive() == {"stt": 1, "llm": 1, "tts": 1, "vad": 1, "other": 1}
        del files.agents["shop"]
        await daemon.supervisor.reload()
        await until(lambda: "other" not in labels_alive())
        assert labels_alive() == {"stt": 1, "llm": 1, "tts": 1, "vad": 1}
    assert labels_alive() == {}


async def test_a_termination_ends_the_call_but_not_one_that_joined_again(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        first, second = await daemon.call("desk"), await daemon.call("desk")
        jobs = [daemon.session(each).job for each in (first, second)]  # type: ignore[union-attr]
        daemon.supervisor.calls.table.update(second, own_token=True)
        for job in jobs:
            daemon.supervisor.calls.terminated(job)
        await until(lambda: daemon.session(first) is None)
        assert daemon.talks(second)


async def test_what_was_asked_to_be_said_is_followed_to_its_end(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"front-desk": definition("front-desk")})) as daemon:
        call = await daemon.call("front-desk")
        supervisor = daemon.supervisor
        said = await supervisor.control(call, SayText(text="Hello."))
        waits = await supervisor.control(call, GenerateReply())
        assert said is not None
        assert waits is not None
        assert [status.id for status in supervisor.speeches(call)] == [said.id, waits.id]
        done = await supervisor.speech(call, said.id, wait_s=10)
        assert done is not None
        assert (done.state, done.interrupted) == ("done", False)
        await supervisor.control(call, CancelSpeech(speech=waits.id))
        cancelled = await supervisor.speech(call, waits.id, wait_s=10)
        assert cancelled is not None
        assert (cancelled.state, cancelled.interrupted) == ("done", True)
        left = await supervisor.control(call, GenerateReply())
        assert left is not None
        await daemon.hang_up(call)
        ended = await supervisor.speech(call, left.id, wait_s=10)
        assert ended is not None
        assert (ended.state, ended.interrupted) == ("done", True)


async def test_what_happens_in_calls_reaches_the_supervisor_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        ring = daemon.supervisor.events()
        first, second = await daemon.call("desk"), await daemon.call("desk")
        await daemon.supervisor.control(first, SayText(text="hello"))
        await daemon.hang_up(first)
        await daemon.hang_up(second)
        await until(lambda: sum(kept.event.type == "close" for kept in ring.read(0).events) == 2)
        told = [kept.event for kept in ring.read(0).events]
        assert {event.agent for event in told} == {"desk"}
        assert [event.type for event in told if event.session == first] == [
            "session_started",
            "agent_entered",
            "participant_linked",
            "agent_state_changed",
            "conversation_item_added",
            "speech_finished",
            "agent_left",
            "close",
        ]
