"""A full daemon on a real LiveKit server: who calls then waits, hears so, and is answered when a call ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.speech import human
from tests.system.caller import Caller, Server, ended_journal, server_of, speak

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

DESK = """\
version: 1
name: desk
greeting: {say: "This is the desk."}
stt: {provider: scripted, texts: ["utterance {number}"]}
llm: {provider: scripted, replies: ["You said: {text}."]}
tts: {provider: hibari}
"""
SAY = "You are number {{ position }} in the queue."
FULL = {
    "AGENTD_SESSIONS_PER_WORKER": "1",
    "AGENTD_LOAD_THRESHOLD": "1",
    "AGENTD_MEMORY_THRESHOLD": "1",
    "AGENTD_LAG_THRESHOLD": "10s",
}


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


def queue(timeout: str, every: str = "20s") -> str:
    return f'when_busy: [{{queue: {{max: 1, timeout: {timeout}, every: {every}, say: "{SAY}"}}}}]\n'


async def is_queued(daemon: Daemon) -> bool:
    return [session["state"] for session in await daemon.sessions()].count("queued") == 1


def said(caller: Caller) -> str:
    return " ".join(caption.text.strip() for caption in caller.agent_captions())


async def test_a_queued_caller_hears_so_gets_the_place_and_is_answered(server: Server, tmp_path: Path) -> None:
    environment = {**FULL, "AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, {"desk.yaml": DESK + queue("2m")}, workers=1, environment=environment) as daemon:
        async with Caller.join(server, agent="desk") as first:
            await first.until(lambda: "This is the desk" in said(first), 60)
            async with Caller.join(server, agent="desk") as second:
                await daemon.until(lambda: is_queued(daemon), 60)
                await second.until(lambda: "number 1" in said(second), 60)
                await second.until(lambda: second.heard.audible_s(0.0) > 6, 60)  # the sentence, and hold sound
                assert (await daemon.agents())[0]["queued"] == 1
                assert "This is the desk" not in said(second)
                await first.leave()
                await second.until(lambda: "This is the desk" in said(second), 60)
                await speak(second, human("go-forward")[0])
                await second.until(lambda: "You said: utterance 1" in said(second), 60)
                await second.leave()
        records = await ended_journal(tmp_path, second.room)
        metrics = await daemon.metrics()
    (waited,) = [record for record in records if record.kind == "session.queued"]
    assert waited.data["waited_s"] > 5
    assert 'agentd_calls_queued_total{agent="desk",outcome="admitted"} 1.0' in metrics
    assert not any("number 1" in str(item) for item in restore(records).items), "the wait is none of the conversation"


async def test_the_place_of_another_worker_is_taken_in_the_same_room(server: Server, tmp_path: Path) -> None:
    agents = {"desk.yaml": zero_cost_agent("desk", ["I heard {text}."], extra=queue("2m"))}
    environment = {**FULL, "AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, agents, workers=2, environment=environment) as daemon:
        async with (
            Caller.join(server, agent="desk", microphone=False) as one,
            Caller.join(server, agent="desk", microphone=False) as two,
        ):
            for caller in (one, two):
                await caller.agent_state("listening", 60)
            workers = {session["room"]: session["worker"] for session in await daemon.sessions()}
            async with Caller.join(server, agent="desk", microphone=False) as third:
                await daemon.until(lambda: is_queued(daemon))
                await third.until(lambda: "number 1" in said(third), 60)
                (waiting,) = [each for each in await daemon.sessions() if each["state"] == "queued"]
                other = next(each for each in (one, two) if workers[each.room] != waiting["worker"])
                await other.leave()
                await third.agent_state("listening", 60)
                (moved,) = [each for each in await daemon.sessions() if each["id"] == waiting["id"]]
                await third.chat("are you there")
                await third.until(lambda: "I heard are you there" in said(third), 60)
                await third.leave()
        records = await ended_journal(tmp_path, third.room)
    assert moved["worker"] == workers[other.room] != waiting["worker"]
    assert records[-1].data["reason"] == "caller_left"


async def test_when_no_call_ends_there_is_an_apology_and_the_call_is_over(server: Server) -> None:
    agents = {"desk.yaml": zero_cost_agent("desk", extra=queue("5s", "2s"))}
    async with running_daemon(server, agents, workers=1, environment=FULL) as daemon:

        async def alone() -> bool:
            return len(await daemon.sessions()) == 1

        async with Caller.join(server, agent="desk", microphone=False) as first:
            await first.agent_state("listening", 60)
            async with Caller.join(server, agent="desk", microphone=False) as second:
                await second.until(lambda: "all lines are still busy" in said(second), 60)
                await daemon.until(alone)
            assert 'outcome="timeout"} 1.0' in await daemon.metrics()
