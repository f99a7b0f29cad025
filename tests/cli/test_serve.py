"""`agentd serve` as a process: exit codes, signals, what systemd is told. LiveKit is a stand-in that takes
registrations; what needs a call is in tests/system/test_daemon.py."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentd.runtime.journals import locked
from agentd.tools import signing
from bench.daemon import free_port, zero_cost_agent
from tests.fakes.webhook_server import hang, respond, webhook_server
from tests.transport.fake_server import FakeServer, fake_server

pytestmark = pytest.mark.timeout(120)
PATIENCE_S = 45  # a daemon starts in seconds, but not on a machine that does ten other things

WITHOUT_LIVEKIT = {
    name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "AGENTD_", "NOTIFY_"))
}
SECRET = "whsec_" + "C" * 32
SHORT_PATIENCE = "import agentd.cli.wiring as w; w.REQUIRE_LIVEKIT_S = 0.3; from agentd.cli.main import main; main()"


@dataclass
class Serve:
    """A daemon's process and what it logs."""

    process: asyncio.subprocess.Process
    lines: list[str]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def logged(self, message: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["message"] == message]

    async def until_logged(self, message: str, times: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.logged(message)) < times:
                assert self.process.returncode is None, self.lines
                await asyncio.sleep(0.02)
        return self.logged(message)[-1]

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with one agent that costs nothing."""
    (tmp_path / "agents.d").mkdir()
    (tmp_path / "agents.d" / "ada.yaml").write_text(zero_cost_agent("ada"))
    return tmp_path


@asynccontextmanager
async def serving(
    place: Path,
    *arguments: str,
    livekit: str | None = None,
    environment: Mapping[str, str] | None = None,
    program: tuple[str, ...] = ("-m", "agentd"),
) -> AsyncIterator[Serve]:
    """`agentd serve` in `place`; killed at the end of the block if it still runs."""
    keys = {"LIVEKIT_URL": livekit, "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32} if livekit else {}
    own = {"AGENTD_STORE": str(place / "state"), "AGENTD_ADMIN_ADDR": "127.0.0.1:0", "AGENTD_WORKERS": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, "serve", *arguments,
        cwd=place, env={**WITHOUT_LIVEKIT, **own, **keys, **(environment or {})},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    serve = Serve(process, [])
    assert process.stderr is not None

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            serve.lines.append(line.decode().rstrip())

    async with asyncio.TaskGroup() as group:
        group.create_task(read(process.stderr))
        try:
            yield serve
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def told(place: Path, *arguments: str, **options: Any) -> tuple[int, str]:
    """The exit code of a daemon that does not start, and the last line that it says."""
    async with serving(place, *arguments, **options) as serve:
        code = await serve.ended()
    return code, serve.lines[-1]


def here(port: int = 9) -> str:
    return f"ws://127.0.0.1:{port}"


# Exit codes


async def test_2_for_an_option_that_does_not_exist(place: Path) -> None:
    code, line = await told(place, "--wrokers", "1")
    assert code == 2
    assert "--wrokers" in line


@pytest.mark.parametrize(
    ("files", "environment", "livekit", "line"),
    [
        ({"agents.d/ada.yaml": "version: 1\nnam: ada\n"}, {}, here(), "agentd: agents.d holds no agent that can run"),
        ({"agentd.yaml": "worker: 1\n"}, {}, here(), "agentd: agentd.yaml or the environment is invalid"),
        ({}, {"AGENTD_WORKERS": "many"}, here(), "agentd: agentd.yaml or the environment is invalid"),
        ({}, {}, None, "agentd: no LiveKit server: set LIVEKIT_URL, .* or use --dev"),
        ({}, {"LIVEKIT_URL": here()}, None, "agentd: .*needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
        ({}, {"AGENTD_ADMIN_ADDR": "0.0.0.0:0"}, here(), "agentd: .*set AGENTD_ADMIN_TOKEN .*"),
    ],
    ids=["no agent", "agentd.yaml", "environment", "no server", "no key", "open address"],
)
async def test_78_for_what_cannot_be_served(
    place: Path, files: dict[str, str], environment: dict[str, str], livekit: str | None, line: str
) -> None:
    for name, text in files.items():
        (place / name).write_text(text)
    code, said = await told(place, livekit=livekit, environment=environment)
    assert (code, bool(re.fullmatch(line, said))) == (78, True), said


async def test_78_for_an_agent_that_no_worker_can_make(place: Path) -> None:
    agent = zero_cost_agent("ada", extra='tools: [{type: python, ref: "tools.clinic:find_slot"}]')
    (place / "agents.d" / "ada.yaml").write_text(agent)
    (place / "agents.d" / "tools").mkdir()
    code = "import not_installed\n\n\ndef find_slot() -> str:\n    return not_installed.slot()\n"
    (place / "agents.d" / "tools" / "clinic.py").write_text(code)
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        assert await serve.ended() == 78
        assert "not-prepared" in serve.lines[-1]
        assert "not_installed" in serve.lines[-1]


async def test_69_when_livekit_cannot_be_reached_and_must_be(place: Path) -> None:
    code, line = await told(place, "--require-livekit", livekit=here(), program=("-c", SHORT_PATIENCE))
    assert code == 69
    assert line.startswith("agentd: LiveKit cannot be reached: ws://127.0.0.1:9 cannot be reached")


async def test_69_when_no_server_of_our_own_can_be_had(place: Path) -> None:
    code, line = await told(place, "--dev", environment={"PATH": ""})
    assert code == 69
    assert line.endswith("without one, try: python -m agentd console ada")


async def test_73_while_another_daemon_holds_the_state_directory(place: Path) -> None:
    with locked(place / "state"):
        code, line = await told(place, livekit=here())
    assert code == 73
    assert line.startswith(f"agentd: another agentd (pid {os.getpid()}) holds ")


async def test_73_when_the_state_directory_cannot_be_made(place: Path) -> None:
    (place / "state").write_text("a file")
    code, line = await told(place, livekit=here())
    assert code == 73
    assert "cannot be used" in line


async def test_98_when_the_admin_address_is_taken(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        code, line = await told(place, "--admin-addr", addr, livekit=here())
    assert (code, line) == (98, f"agentd: the admin address {addr} cannot be had: choose another with --admin-addr")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64])
async def test_98_when_the_admin_host_is_not_found(place: Path, host: str) -> None:
    environment = {"AGENTD_ADMIN_TOKEN": "a token of some length"}
    code, line = await told(place, "--admin-addr", f"{host}:8081", livekit=here(), environment=environment)
    assert code == 98
    assert re.fullmatch(rf"agentd: .* {host}:8081 is not found \(.*\): choose another with --admin-addr", line)


@pytest.mark.parametrize(
    ("flags", "files", "style"),
    [
        ((), {}, "text"),
        (("--env-file", "environment"), {"environment": "AGENTD_LOG_FORMAT=json"}, "json"),
        ((), {"agentd.yaml": "log: {format: json}"}, "json"),
        (("--log-format", "text"), {"agentd.yaml": "log: {format: json}"}, "text"),
    ],
    ids=["by itself", "--env-file", "agentd.yaml", "flag"],
)
async def test_dev_logs_text_unless_something_else_is_asked_for(
    place: Path, flags: tuple[str, ...], files: dict[str, str], style: str
) -> None:
    for name, text in files.items():
        (place / name).write_text(text)
    async with serving(place, "--dev", *flags, livekit=here()) as serve:
        async with asyncio.timeout(PATIENCE_S):
            while not (said := [line for line in serve.lines if "admin server started" in line]):
                await asyncio.sleep(0.02)
        assert said[0].startswith("{") is (style == "json")


# Signals


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_daemon_without_calls_ends_with_0(place: Path, stop: signal.Signals) -> None:
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await serve.until_logged("agent registered")
        serve.process.send_signal(stop)
        assert await serve.ended() == 0
        assert serve.logged("drain began")[0]["sessions"] == 0


async def test_with_no_workers_it_serves_from_one_process(place: Path) -> None:
    async with fake_server() as livekit, serving(place, "--workers", "0", livekit=livekit.url) as serve:
        assert (await serve.until_logged("worker ready"))["worker_pid"] == serve.process.pid
        await serve.until_logged("agent registered")
        serve.process.send_signal(signal.SIGTERM)
        assert await serve.ended() == 0


async def test_sighup_reads_the_files_again(place: Path) -> None:
    async with fake_server() as livekit, serving(place, "--no-watch", livekit=livekit.url) as serve:
        await serve.until_logged("agent registered")
        (place / "agents.d" / "bob.yaml").write_text(zero_cost_agent("bob"))
        await asyncio.sleep(0.5)
        assert names(await registered(livekit)) == ["ada"], "--no-watch: an edit alone changes nothing"
        serve.process.send_signal(signal.SIGHUP)
        applied = await serve.until_logged("configuration applied", times=2)
        assert (applied["generation"], applied["added"]) == (2, "bob")
        assert (await livekit.next("register")).register.agent_name == "bob"


async def test_sigusr1_writes_the_tasks_of_every_process_to_the_log(place: Path) -> None:
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await serve.until_logged("agent registered")
        serve.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(10):
            while {record.get("worker") for record in serve.logged("task")} != {None, "worker-1"}:
                await asyncio.sleep(0.05)
        assert "registration ada" in {record["task_name"] for record in serve.logged("task")}


async def test_a_killed_daemon_leaves_no_worker_no_lock_and_no_files(place: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    async with fake_server() as livekit:
        async with serving(place, livekit=livekit.url, environment={"TMPDIR": str(temporary)}) as serve:
            worker = (await serve.until_logged("worker ready"))["worker_pid"]
            serve.process.kill()
            await serve.ended()
            async with asyncio.timeout(5):
                while _runs(worker):
                    await asyncio.sleep(0.02)
            assert list(temporary.iterdir()) == []
        async with serving(place, livekit=livekit.url) as next_one:
            await next_one.until_logged("daemon started")


async def test_events_that_wait_when_the_daemon_is_killed_are_delivered_by_the_next(place: Path) -> None:
    async with fake_server() as livekit, webhook_server() as hooks:
        hooks.default = hang()
        (place / "agentd.yaml").write_text(f"events: [{{url: '{hooks.url}', secret: '${{EVENTS_WHSEC}}'}}]\n")
        environment = {"EVENTS_WHSEC": SECRET}
        async with serving(place, livekit=livekit.url, environment=environment) as serve:
            await serve.until_logged("daemon started")
            async with asyncio.timeout(PATIENCE_S):
                while len(hooks.received) < 2:
                    await asyncio.sleep(0.02)
            first = {received.headers["webhook-id"]: received for received in hooks.received}
            serve.process.kill()
            await serve.ended()
        assert SECRET.encode() not in b"".join(path.read_bytes() for path in (place / "state").glob("outbox*"))
        hooks.received.clear()
        hooks.default = respond()
        async with serving(place, livekit=livekit.url, environment=environment) as next_one:
            await next_one.until_logged("daemon started")
            async with asyncio.timeout(PATIENCE_S):
                while len(hooks.received) < 4:
                    await asyncio.sleep(0.02)
        assert SECRET not in "\n".join(next_one.lines)
    again = {received.headers["webhook-id"]: received for received in hooks.received}
    assert first.keys() < again.keys()
    for received in again.values():
        stamp = int(received.headers["webhook-timestamp"])
        signing.verify(signing.keys(SECRET), received.headers, received.body, stamp)
    told = sorted((received.json["data"]["seq"], received.json["type"]) for received in again.values())
    assert told == [(seq, ("agent.loaded", "worker.registered")[(seq - 1) % 2]) for seq in range(1, 5)]


# Without LiveKit, and its return


async def test_without_livekit_it_serves_and_registers_when_that_comes(place: Path) -> None:
    port = free_port()
    async with serving(place, livekit=here(port)) as serve:
        await serve.until_logged("daemon started")
        lost = await serve.until_logged("registration lost")
        assert (lost["agent"], "cannot be reached" in lost["reason"]) == ("ada", True)
        livekit = FakeServer()
        livekit.port = port
        await livekit.start()
        try:
            await serve.until_logged("agent registered")
        finally:
            await livekit.stop()


# systemd


async def test_systemd_is_told_of_the_start_a_reload_and_the_end(place: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(place / "notify")}
        async with fake_server() as livekit, serving(place, livekit=livekit.url, environment=environment) as serve:
            assert await next_word(manager) == "READY=1"
            await serve.until_logged("agent registered")
            serve.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await next_word(manager))
            assert await next_word(manager) == "READY=1"
            serve.process.send_signal(signal.SIGTERM)
            assert await next_word(manager) == "STOPPING=1"
            assert await serve.ended() == 0


STUCK_WHEN_ASKED = """
import sys, time
from agentd.runtime.supervisor import Supervisor

def dump(self):
    print("it hangs", file=sys.stderr, flush=True)
    time.sleep(600)

Supervisor.dump = dump
from agentd.cli.main import main
main()
"""


@asynccontextmanager
async def watched(place: Path, livekit: str, **options: Any) -> AsyncIterator[tuple[Serve, socket.socket]]:
    """A daemon that serves, with a watchdog; what its service manager is told from then on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(place / "notify"), "WATCHDOG_USEC": "30000000"}
        async with serving(place, livekit=livekit, environment=environment, **options) as serve:
            await serve.until_logged("agent registered")
            await serve.until_logged("daemon started")
            yield serve, manager


def left_in(manager: socket.socket) -> list[str]:
    """What it was told and has not read."""
    words = []
    with suppress(BlockingIOError):
        while True:
            words.append(manager.recv(4096).decode())
    return words


async def test_the_watchdog_is_fed_while_it_serves_and_while_livekit_is_away(place: Path) -> None:
    async with fake_server() as livekit, watched(place, livekit.url) as (serve, manager):
        left_in(manager)
        assert [await next_word(manager) for _ in range(2)] == ["WATCHDOG=1"] * 2
        await livekit.stop()
        await serve.until_logged("registration lost")
        left_in(manager)
        assert [await next_word(manager) for _ in range(2)] == ["WATCHDOG=1"] * 2


async def test_a_daemon_that_is_stuck_feeds_no_watchdog_and_says_where_it_hung(place: Path) -> None:
    async with (
        fake_server() as livekit,
        watched(place, livekit.url, program=("-c", STUCK_WHEN_ASKED)) as (serve, manager),
    ):
        assert "WATCHDOG=1" in {await next_word(manager) for _ in range(2)}  # the other: READY=1
        serve.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE_S):
            while "it hangs" not in serve.lines:
                await asyncio.sleep(0.02)
        left_in(manager)
        await asyncio.sleep(1.5)  # it was fed each second
        assert left_in(manager) == []
        assert serve.process.returncode is None
        serve.process.send_signal(signal.SIGABRT)  # what systemd then sends
        assert await serve.ended() == -signal.SIGABRT
    assert any(line.startswith("Fatal Python error: Aborted") for line in serve.lines)
    assert any(line.strip().endswith(" in dump") for line in serve.lines)


async def test_a_broken_file_is_told_by_metric_and_log_until_it_is_mended(place: Path) -> None:
    file = place / "agents.d" / "ada.yaml"
    good = file.read_text()
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await serve.until_logged("agent registered")
        address = serve.logged("admin server started")[0]["address"]
        succeeded_at = await figure(address, "agentd_config_last_reload_success_timestamp_seconds")
        assert (await figure(address, "agentd_config_last_reload_successful"), succeeded_at > 0) == (1.0, True)
        file.write_text(good + "stt: {")
        refused = await serve.until_logged("configuration refused")
        assert (refused["level"], refused["applied"], refused["generation"]) == ("info", False, 1)
        problems = [record["message"] for record in serve.records if record["level"] == "error"]
        assert problems
        assert all("ada.yaml:" in problem for problem in problems)
        assert await figure(address, "agentd_config_last_reload_successful") == 0.0
        assert await figure(address, "agentd_config_last_reload_success_timestamp_seconds") == succeeded_at
        file.write_text(good)
        async with asyncio.timeout(PATIENCE_S):
            while await figure(address, "agentd_config_last_reload_successful") != 1.0:
                await asyncio.sleep(0.05)
        assert await figure(address, "agentd_config_last_reload_success_timestamp_seconds") > succeeded_at


async def figure(address: str, name: str) -> float:
    """The value of a figure without labels, as Prometheus reads it."""
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}/metrics") as answer:
        (value,) = [line.split()[1] for line in (await answer.text()).splitlines() if line.split()[0] == name]
    return float(value)


async def test_every_log_line_is_an_object_with_its_standard_fields(place: Path) -> None:
    async with fake_server() as livekit, serving(place, livekit=livekit.url) as serve:
        await serve.until_logged("agent registered")
        serve.process.send_signal(signal.SIGTERM)
        await serve.ended()
    assert len(serve.records) == len(serve.lines)
    for record in serve.records:
        assert list(record)[:4] == ["time", "level", "logger", "message"]


async def next_word(manager: socket.socket) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()


async def registered(livekit: FakeServer) -> list[Any]:
    """The registrations so far."""
    found = []
    while not livekit.received.empty():
        word = livekit.received.get_nowait()
        if word.HasField("register"):
            found.append(word.register)
    return found


def names(registrations: list[Any]) -> list[str]:
    return [each.agent_name for each in registrations]


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def test_check_tells_whether_it_would_serve_and_starts_nothing(place: Path) -> None:
    async with serving(place, "--check", livekit=here()) as serve:
        assert (await serve.ended(), serve.lines) == (0, [])
    (place / "agents.d" / "ada.yaml").write_text("version: 1\nname: ada\nlmm: {}\n")
    async with serving(place, "--check", livekit=here()) as serve:
        assert await serve.ended() == 78
        assert any("ada.yaml:3:1" in line for line in serve.lines)
    assert not list(place.rglob("lock"))


async def test_check_refuses_to_succeed_a_daemon_whose_calls_are_in_another_state_directory(place: Path) -> None:
    environment = {"AGENTD_HANDED_STATE": str(place / "another")}
    code, said = await told(place, "--check", livekit=here(), environment=environment)
    assert (code, "drain it first" in said) == (78, True)
    environment = {"AGENTD_HANDED_STATE": str(place / "state")}
    async with serving(place, "--check", livekit=here(), environment=environment) as serve:
        assert await serve.ended() == 0
