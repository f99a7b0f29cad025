"""The supervisor goes while its calls are held, killed or to begin anew as another version: they notice nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.upgrade import GAP_S, longest_gap_s
from tests.system.caller import ended_journal, server_of
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

LONG = " ".join(["And so it goes on for quite a while without a stop"] * 10)
AGENT = zero_cost_agent("talker", ["You said: {text}."], character="30ms", extra=f'greeting: {{say: "{LONG}."}}')


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def spoken_through(caller: Caller, since: float, change_at: float) -> None:
    """The greeting, during which the supervisor changed, is heard to its end and without a gap."""
    assert caller.states[-1].state == "speaking", "it had stopped before the next supervisor was there"
    await caller.agent_state("listening", 40)
    await caller.until(lambda: caller.heard.silent_from(change_at))
    ended_at = caller.heard.silent_from(change_at) or 0.0
    assert longest_gap_s(caller.heard, since, ended_at) <= GAP_S
    assert caller.heard.audible_s(since, ended_at) > 0.9 * len(LONG) * 0.03


async def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def worker_of(daemon: Daemon) -> int:
    (worker,) = await daemon.workers()
    return int(worker["pid"])


async def test_a_killed_supervisors_call_goes_on_and_the_next_one_adopts_it(server: Server, tmp_path: Path) -> None:
    options = {"workers": 1, "environment": {"AGENTD_STORE": str(tmp_path)}}
    async with (
        running_daemon(server, {"talker.yaml": AGENT}, **options) as first,
        Caller.join(server, agent="talker", microphone=False) as caller,
    ):
        begun = await caller.hears_after(0, 20)
        await asyncio.sleep(1)
        (session,) = await first.sessions()
        worker = await worker_of(first)
        await first.kill()
        async with running_daemon(server, {"talker.yaml": AGENT}, **options) as second:
            (adopted,) = await second.sessions()
            await spoken_through(caller, begun, time.monotonic())
            assert await asked(caller, "are you there") == "You said: are you there."
            status, _ = await second.post(f"/v1/sessions/{session['id']}/say", {"text": "The operator speaks."})
            await caller.until(lambda: "The operator speaks." in caller.agent_captions()[-1].text, 15)
            workers = {each["id"]: each for each in await second.workers()}
            await caller.agent_state("listening", 15)
            await caller.leave()
            records = await ended_journal(tmp_path, caller.room)
            await second.until(lambda: gone(worker))
    assert (adopted["id"], adopted["started_at"]) == (session["id"], session["started_at"])
    assert status == 202
    assert {each["state"] for each in workers.values()} == {"ready", "draining"}
    assert workers[f"worker-1.{worker}"]["pid"] == worker
    assert "session.resumed" not in {record.kind for record in records}
    assert [item.text for item in restore(records).items][1:] == [
        "are you there", "You said: are you there.", "The operator speaks.",
    ]  # fmt: skip


async def upgraded(daemon: Daemon) -> tuple[int, str]:
    """Exit code and words of `agentd upgrade`."""
    command = (sys.executable, "-m", "agentd", "upgrade", "--admin-addr", daemon.admin_url)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_an_upgrade_takes_the_supervisors_place_under_its_calls(server: Server, tmp_path: Path) -> None:
    settings = tmp_path / "agentd.yaml"
    settings.write_text("workers: 1\n")
    refused: list[str] = []

    async def knock(daemon: Daemon) -> None:
        while True:
            try:
                await daemon.get("/v1/status")
            except aiohttp.ClientConnectorError as error:
                refused.append(repr(error))
            except aiohttp.ClientError:  # who was connected to the former process asks again
                continue
            await asyncio.sleep(0.05)

    flags = ("-c", str(settings))
    environment = {"AGENTD_STORE": str(tmp_path / "state")}
    async with (
        running_daemon(server, {"talker.yaml": AGENT}, workers=1, flags=flags, environment=environment) as daemon,
        Caller.join(server, agent="talker", microphone=False) as caller,
    ):
        begun = await caller.hears_after(0, 20)
        (before,) = await daemon.sessions()
        worker = await worker_of(daemon)
        instance = (await daemon.get("/v1/status"))["instance"]
        settings.write_text("sessions_per_worker: many\n")
        code, said = await upgraded(daemon)
        assert (code, "agentd.yaml:1:22" in said) == (1, True), said
        assert (await daemon.get("/v1/status"))["instance"] == instance
        settings.write_text("workers: 1\nsessions_per_worker: 3\n")
        knocking = asyncio.create_task(knock(daemon))
        code, said = await upgraded(daemon)
        knocking.cancel()
        assert code == 0, said
        assert said.endswith("under 1 call.\n")
        (after,) = await daemon.sessions()
        await spoken_through(caller, begun, time.monotonic())
        assert after["id"] == before["id"]
        assert daemon.process.returncode is None
        workers = {each["state"]: each for each in await daemon.workers()}
        assert (workers["draining"]["pid"], workers["ready"]["capacity"]) == (worker, 3)
        async with Caller.join(server, agent="talker", microphone=False) as newer:
            await newer.agent_state("speaking", 20)
            assert await asked(caller, "are you there") == "You said: are you there."
            await caller.leave()
            await daemon.until(lambda: gone(worker))
            await newer.leave()
    assert refused == []
