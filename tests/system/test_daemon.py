"""A daemon of one process, the end of a daemon that holds a call, its tools' code under a call, and the console: as
README and docs/operations/ tell them."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentd.audio import OUTPUT_HZ, read_wav, write_wav
from agentd.loadtest.caller import Caller, Server
from agentd.providers.llm import Message
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.documents import ROOT, shell_lines
from tests.fakes.webhook_server import WebhookServer, hang, respond, webhook_server
from tests.speech import utterance
from tests.system.caller import ended_journal, server_of, speak, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

CLOCK = """\
version: 1
name: clock
stt: {provider: scripted}
tts: {provider: scripted, character: 5ms}
llm:
  provider: scripted
  dialogue:
    start: ready
    states:
      ready: {expect: [{match: ["what time is it"], goto: tell}]}
      tell: {tool: {name: now, say: "{result}", goto: ready}}
tools:
  - {type: python, ref: "tools.clock:now"}
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def test_one_process_alone_holds_a_call(server: Server, tmp_path: Path) -> None:
    agent = zero_cost_agent("solo", ["You said: {text}."], character="20ms", extra='greeting: {say: "Good day."}')
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, {"solo.yaml": agent}, workers=0, environment=environment) as daemon:
        async with Caller.join(server, agent="solo") as caller:
            await spoken(caller, 0)
            greeted = caller.heard.audible_s(0)
            _, ended_at = await speak(caller, utterance("When do you open?"))
            await spoken(caller, ended_at)
            answered = caller.heard.audible_s(ended_at)
            assert await asked(caller, "hello") == "You said: hello."
            (session,) = await daemon.sessions()
            (worker,) = await daemon.workers()
            processes = daemon.pids()
            await caller.agent_state("listening", 15)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert (session["agent"], session["room"]) == ("solo", caller.room)
    assert worker["pid"] == daemon.process.pid
    assert processes == [daemon.process.pid]
    assert min(greeted, answered) > 0.1, "the agent was not heard"
    assert restore(records).items == (
        Message(role="assistant", text="Good day."),
        Message(role="user", text="utterance 1"),
        Message(role="assistant", text="You said: utterance 1."),
        Message(role="user", text="hello"),
        Message(role="assistant", text="You said: hello."),
    )
    assert records[-1].data["reason"] == "caller_left"


async def test_every_log_line_of_a_call_has_the_calls_fields(server: Server, tmp_path: Path) -> None:
    agent = zero_cost_agent("desk", ["You said: {text}."], character="5ms")
    environment = {"AGENTD_STORE": str(tmp_path), "AGENTD_LOG_CONTENT": "true"}
    async with running_daemon(server, {"desk.yaml": agent}, workers=1, environment=environment) as daemon:
        async with Caller.join(server, agent="desk", microphone=False) as caller:
            assert await asked(caller, "hello") == "You said: hello."
            assert await asked(caller, "again") == "You said: again."
            (session,) = await daemon.sessions()
            await caller.leave()
        await ended_journal(tmp_path, caller.room)
        await daemon.until(lambda: logs(daemon, "session ended"))
        records = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    call = {"session": session["id"], "agent": "desk", "room": caller.room, "job": session["job_id"]}
    assert all(call.values())
    of_call = [record for record in records if set(call) - {"agent"} & set(record)]
    for record in records:
        assert list(record)[:4] == ["time", "level", "logger", "message"]
    for record in of_call:
        assert {name: record.get(name) for name in call} == call, record
    said = [(record["message"], record["turn"], record["worker"]) for record in of_call if "text" in record]
    told = ["caller said", "agent said"]
    assert said == [(message, turn, session["worker"]) for turn in (1, 2) for message in told]
    by_message = {record["message"]: record for record in of_call}
    assert by_message["session ended in the worker"]["turn"] == 2
    assert by_message["session ended"]["reason"] == "caller_left"


async def logs(daemon: Daemon, message: str) -> bool:
    return f'"message": "{message}"' in daemon.log.read_text()


async def ended(daemon: Daemon, within_s: float = 20.0) -> int:
    async with asyncio.timeout(within_s):
        return await daemon.process.wait()


async def draining(daemon: Daemon) -> None:
    async def unready() -> bool:
        async with daemon.http.get(daemon.admin_url + "/readyz") as reply:
            return reply.status == 503 and "draining" in await reply.text()

    await daemon.until(unready)


async def test_a_drain_lets_the_call_come_to_its_end_and_exits_0(server: Server) -> None:
    async with running_daemon(server, {"a.yaml": zero_cost_agent("a", character="5ms")}, workers=1) as daemon:
        async with Caller.join(server, agent="a", microphone=False) as caller:
            await caller.agent_state("listening", 20)
            daemon.process.send_signal(signal.SIGTERM)
            await draining(daemon)
            assert await asked(caller, "are you there") == "This is the answer."
            assert daemon.process.returncode is None
            await caller.leave()
        assert await ended(daemon) == 0


async def test_a_second_signal_cuts_the_call_and_exits_4(server: Server) -> None:
    async with (
        running_daemon(server, {"a.yaml": zero_cost_agent("a")}, workers=1) as daemon,
        Caller.join(server, agent="a", microphone=False) as caller,
    ):
        await caller.agent_state("listening", 20)
        daemon.process.send_signal(signal.SIGTERM)
        await draining(daemon)
        daemon.process.send_signal(signal.SIGTERM)
        assert await ended(daemon) == 4


async def test_the_drains_deadline_cuts_the_call_and_both_who_waits_and_the_daemon_exit_4(server: Server) -> None:
    agents = {"a.yaml": zero_cost_agent("a")}
    async with (
        running_daemon(server, agents, workers=1, flags=("--drain-timeout", "1s")) as daemon,
        Caller.join(server, agent="a", microphone=False) as caller,
    ):
        await caller.agent_state("listening", 20)
        command = (sys.executable, "-m", "agentd", "drain", "--wait", "--admin-addr", daemon.admin_url)
        waiting = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await waiting.communicate()
        assert (waiting.returncode, said.decode().splitlines()[-1]) == (4, "It has ended, and cut 1 call.")
        assert await ended(daemon) == 4


COUNTER = """\
version: 1
name: counter
greeting: {say: "How many people?"}
stt: {provider: scripted}
tts: {provider: scripted, character: 20ms}
llm:
  provider: scripted
  dialogue:
    start: people
    states:
      people: {say: "How many people?", expect: [{match: ["{people:number} people"], goto: check}]}
      check: {say: "You said {people} people, is that right?", expect: [{match: ["what did I say"], repeat: true}]}
"""


async def test_calls_of_a_daemon_that_was_killed_whole_go_on_in_the_next(server: Server, tmp_path: Path) -> None:
    options = {"workers": 2, "environment": {"AGENTD_STORE": str(tmp_path), "AGENTD_ALONE_TIMEOUT": "0"}}
    async with (
        webhook_server() as hooks,
        running_daemon(server, {"counter.yaml": COUNTER + told_to(hooks)}, **options) as first,
        Caller.join(server, agent="counter") as caller,
    ):
        await spoken(caller, 0)
        taken = [received.json for received in hooks.received]
        hooks.default = hang()  # what follows is on its way, or waits, when the daemon is killed
        assert await asked(caller, "4 people") == "You said 4 people, is that right?"
        await caller.agent_state("listening", 15)
        processes = first.pids()
        killed_at = time.monotonic()
        await first.kill()
        hooks.default = respond()
        hooks.received.clear()
        async with running_daemon(server, {"counter.yaml": COUNTER + told_to(hooks)}, **options) as second:
            await caller.hears_after(killed_at + 0.1, 30)
            await spoken(caller, killed_at)
            assert await asked(caller, "what did I say") == "You said 4 people, is that right?"
            await caller.agent_state("listening", 15)
            (session,) = await second.sessions()
            await caller.leave()
            records = await ended_journal(tmp_path, caller.room)
            async with asyncio.timeout(15):
                while not any(received.json["type"] == "session.ended" for received in hooks.received):
                    await asyncio.sleep(0.05)
    told = {event["data"]["seq"]: event for event in (*taken, *(received.json for received in hooks.received))}
    assert sorted(told) == list(range(1, len(told) + 1))
    words = [told[seq]["data"]["text"] for seq in sorted(told) if told[seq]["type"] == "turn.user"]
    assert words == ["4 people", "what did I say"]
    assert told[len(told)]["type"] == "session.ended"
    assert len(processes) >= 3, "a supervisor and two workers"
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert session["room"] == caller.room
    identities = {seen.identity for seen in caller.happened if seen.detail == "agent"}
    assert len(identities) == 1, "the agent came back under another identity"
    assert [c.text.strip() for c in caller.agent_captions()][2] == "Sorry, I lost you for a moment."
    assert [r.data["incarnation"] for r in records if r.kind == "session.resumed"] == [2]
    assert [r.data["turn"] for r in records if r.kind == "turn.user"] == [1, 2]
    assert restore(records).items == (
        Message(role="assistant", text="How many people?"),
        Message(role="user", text="4 people"),
        Message(role="assistant", text="You said 4 people, is that right?"),
        Message(role="assistant", text="Sorry, I lost you for a moment."),
        Message(role="user", text="what did I say"),
        Message(role="assistant", text="You said 4 people, is that right?"),
    )


async def test_tool_code_reloads_and_a_call_under_way_keeps_the_old(server: Server) -> None:
    code = 'def now() -> str:\n    """Tell the time."""\n    return "It is early."\n'
    async with (
        running_daemon(server, {"clock.yaml": CLOCK, "tools/clock.py": code}, workers=1) as daemon,
        Caller.join(server, agent="clock", microphone=False) as old,
    ):
        await old.agent_state("listening", 20)
        assert await asked(old, "what time is it") == "It is early."
        (daemon.agents_dir / "tools" / "clock.py").write_text(code.replace("early", "late"))
        _, outcome = await daemon.post("/v1/reload")
        assert outcome["generation"] == 2
        async with Caller.join(server, agent="clock", microphone=False) as new:
            await new.agent_state("listening", 20)
            assert await asked(new, "what time is it") == "It is late."
        assert await asked(old, "what time is it") == "It is early."


def told_to(hooks: WebhookServer) -> str:
    types = '["session.*", "turn.*", "participant.*", "tool.*"]'
    return f"events: [{{url: '{hooks.url}', types: {types}}}]\n"


async def asked(caller: Caller, words: str) -> str:
    """What the agent answers, once all that it said before is shown."""
    await caller.agent_state("listening", 15)
    await caller.until(lambda: all_shown(caller), 15)
    count = len(caller.agent_captions())
    await caller.chat(words)
    await caller.until(lambda: len(caller.agent_captions()) > count, 15)
    return caller.agent_captions()[count].text.strip()


def all_shown(caller: Caller) -> bool:
    ended = {caption.stream_id for caption in caller.agent_captions()}
    return ended == {caption.stream_id for caption in caller.captions if caption.sender != caller.identity}


def run_line(line: str, typed: str = "") -> str:
    """A line of README, in the project's directory."""
    environment = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    environment.pop("LIVEKIT_URL", None)
    ran = subprocess.run(
        shlex.split(line), cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_lines_of_readme_that_need_no_server_run() -> None:
    lines = [line for page, line in shell_lines() if page == "README.md"]
    assert ".venv/bin/agentd console front-desk --text" in lines
    said = run_line(".venv/bin/agentd console front-desk --text", "a table for four\ngoodbye\n")
    assert "The Copper Pot, good day." in said
    assert "For which day?" in said
    assert "Goodbye!" in said
    assert "agentd validate" in lines
    run_line("agentd validate")


def test_the_console_hears_a_file_and_records_the_answer(tmp_path: Path) -> None:
    write_wav(tmp_path / "caller.wav", utterance("I would like to book a table."))
    said = run_line(
        f".venv/bin/agentd console front-desk --input {tmp_path / 'caller.wav'} --record {tmp_path / 'agent.wav'}"
    )
    assert "caller:" in said or "you:" in said
    assert "The Copper Pot" in said
    recorded = read_wav(tmp_path / "agent.wav")
    assert recorded.sample_rate_hz == OUTPUT_HZ
    assert recorded.duration_s > 3
    assert abs(recorded.array()).max() > 1000
