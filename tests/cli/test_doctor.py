"""`agentd doctor`: each check, well and not, and what it says to do."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.cli import checks_install, checks_machine, checks_network, checks_state
from agentd.cli.checks import Finding
from agentd.cli.main import main
from agentd.config.admin import AdminSection
from agentd.config.daemon import DaemonConfig, LiveKitSettings
from agentd.config.provider_choice import ProviderChoice
from agentd.config.workers import WorkersSection
from agentd.errors import ProviderRefused
from agentd.providers.fields import Secret
from agentd.registry import Component, Plugin, Registry, installed
from agentd.runtime.journals import locked
from agentd.runtime.memory import total_bytes
from tests.fakes.daemon import FakeDaemon
from tests.fakes.mute_server import mute_server

MINIMAL = "stt: {provider: whisper}\nllm: {provider: scripted, replies: [Yes.]}\ntts: {provider: hibari}\n"
SECRET = "a-secret-that-is-long-enough-for-hs256"


def states(findings: list[Finding] | tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(each.check, each.state) for each in findings]


# Installation


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("3.11.14", ">=3.11,<4", True),
        ("4.0", ">=3.11,<4", False),
        ("3.9", ">=3.11,<4", False),
        ("1.0", "==1.0.0", True),
        ("1.1.0", "==1.0", False),
        ("2.0rc1", "<2", False),
        ("1.5", "!=1.5", False),
        ("anything", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, bounds: str, fits: bool) -> None:
    assert checks_install.within(version, bounds) is fits


def test_packages_that_are_missing_or_of_another_version_are_named() -> None:
    assert checks_install.packages().state == "ok"
    missing = checks_install.packages(["no-such-package>=1", "click>=8"])
    assert (missing.state, missing.found) == ("fail", "not installed: no-such-package")
    old = checks_install.packages(["click<1", 'no-such-package>=1; extra == "other"'])
    assert (old.state, "click" in old.found) == ("warn", True)


def test_agentd_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(checks_install, "requires", requires)
    assert checks_install.packages().state == "warn"


def test_python_is_told_with_its_version() -> None:
    assert checks_install.python().state == "ok"


async def nothing(settings: Any) -> None: ...


def no_model(settings: Any) -> Path:
    raise ProviderRefused("odd", "weights.bin is missing: install it")


def a_model(settings: Any) -> Path:
    return Path("weights.bin")


def odd(factory: str = f"{__name__}:nothing", model: str = "") -> Registry:
    part = Component(
        kind="vad", provider="odd", settings=f"{__name__}:SECRET", factory=factory, summary="", model=model
    )
    return Registry([Plugin(name="odd", version="1", components=(part,))])


USED = [ProviderChoice(kind="vad", provider="odd", settings=None, digest="d")]


def test_a_plugin_that_does_not_load_fails_only_where_it_is_used() -> None:
    assert states([*checks_install.plugins(odd(), USED)]) == [("plugins", "ok")]
    broken = odd("no_such_sdk:make")
    (failed,) = checks_install.plugins(broken, USED)
    assert (failed.state, "no_such_sdk" in failed.found) == ("fail", True)
    assert states([*checks_install.plugins(broken, [])]) == [("plugins", "warn")]
    cannot = Registry([], ["plugin strange: no module"])
    assert states([*checks_install.plugins(cannot, [])]) == [("plugins", "fail"), ("plugins", "warn")]


def test_a_model_that_is_not_there_is_told_with_its_plugins_advice() -> None:
    (failed,) = checks_install.models(odd(model=f"{__name__}:no_model"), USED)
    assert (failed.state, failed.found) == ("fail", "odd: weights.bin is missing: install it")
    (found,) = checks_install.models(odd(model=f"{__name__}:a_model"), USED)
    assert (found.state, "odd" in found.found) == ("ok", True)
    assert states([*checks_install.models(odd(), USED)]) == [("models", "ok")]


def test_the_models_of_this_installation_are_found() -> None:
    registry = installed()
    parts = [each for each in registry.components() if each.model and each.provider != "smart-turn"]
    assert {each.provider for each in parts} == {"silero", "whisper", "hibari", "fasttext"}
    used = [
        ProviderChoice(kind=each.kind, provider=each.provider, settings=registry.settings_class(each)(), digest="d")
        for each in parts
    ]
    (found,) = checks_install.models(registry, used)
    assert found.state == "ok", found


# Machine


def test_descriptors_are_counted_against_agents_and_calls() -> None:
    config = DaemonConfig(sessions_per_worker=10)
    assert checks_machine.descriptors(config, 5, 4, limit=4096).state == "ok"
    assert checks_machine.descriptors(config, 5, 4, limit=256).state == "fail"
    many = checks_machine.descriptors(config, 1000, 4, limit=1024)
    assert (many.state, "LimitNOFILE" in many.todo) == ("fail", True)
    assert checks_machine.descriptors(config, 800, 4, limit=1024).state == "warn"


def test_workers_are_set_against_cores_and_memory() -> None:
    gib = 1 << 30
    assert checks_machine.room_for_workers(DaemonConfig(), 2, 4 * gib).state == "ok"
    assert "memory" in checks_machine.room_for_workers(DaemonConfig(), 4, gib).todo
    eight = DaemonConfig(workers=WorkersSection(max=8))
    assert "cores" in checks_machine.room_for_workers(eight, 2, 64 * gib).todo
    assert checks_machine.room_for_workers(DaemonConfig(workers=WorkersSection(max=0)), 2, gib).state == "ok"
    assert checks_machine.room_for_workers(DaemonConfig(), 2, 0).state == "ok"  # nobody tells


def test_memory_is_the_groups_where_that_is_less(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4096 kB\nMemAvailable: 1024 kB\n")
    assert total_bytes(tmp_path) == 4096 << 10
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/a/b/memory.max").write_text("max\n")
    (tmp_path / "sys/fs/cgroup/a/memory.max").write_text("1000\n")
    assert total_bytes(tmp_path) == 1000
    assert total_bytes(tmp_path / "nowhere") == 0


def test_a_scratch_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    assert checks_machine.scratch({}, tmp_path).state == "ok"
    assert checks_machine.scratch({"TMPDIR": str(tmp_path / "none")}, tmp_path).state == "warn"
    assert checks_machine.scratch({}, tmp_path / "none").state == "fail"


def test_a_directory_is_watched_for_a_moment(tmp_path: Path) -> None:
    assert checks_machine.watch_failure(tmp_path) == 0
    assert checks_machine.watch_failure(tmp_path / "none") == errno.ENOENT
    assert checks_machine.notices(tmp_path).state == "ok"


@pytest.mark.parametrize(
    ("failed", "limit"), [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_limits_that_are_used_up_are_told(
    failed: int, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_machine, "watch_failure", lambda directory: failed)
    told = checks_machine.notices(tmp_path)
    assert (told.state, f"sysctl fs.inotify.{limit}=" in told.todo) == ("warn", True)


# State


def test_a_state_directory_is_free_held_or_still_to_be_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "state"
    assert checks_state.state_directory(path, answers=False).found == f"{path} will be made"
    with locked(path):
        pid = str(os.getpid())
        ours = checks_state.state_directory(path, answers=True)
        assert (ours.state, pid in ours.found) == ("ok", True)
        strange = checks_state.state_directory(path, answers=False)
        assert (strange.state, pid in strange.found) == ("fail", True)
    assert checks_state.state_directory(path, answers=False).found == f"{path}, held by nobody"
    path.chmod(0o755)
    assert checks_state.state_directory(path, answers=False).state == "warn"


def test_a_state_directory_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = checks_state.state_directory(tmp_path / "file" / "state", answers=False)
    assert (told.state, "cannot be made" in told.found) == ("fail", True)


def test_looking_at_a_state_directory_does_not_hold_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    checks_state.state_directory(tmp_path, answers=False)
    with locked(tmp_path):
        pass


def test_journals_are_counted_with_the_room_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "s-1.journal").write_bytes(bytes(3 << 20))
    (tmp_path / "sessions" / "s-2.journal").symlink_to("removed")
    for free, state in ((5 << 30, "ok"), (1 << 29, "warn"), (1 << 20, "fail")):
        monkeypatch.setattr(checks_state.shutil, "disk_usage", lambda path, free=free: _Usage(free))
        told = checks_state.journals(tmp_path)
        assert (told.state, told.found.startswith("2 of 3.0 MiB")) == (state, True)


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


# Network


@asynccontextmanager
async def livekit_server(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_post("/twirp/livekit.RoomService/ListRooms", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def dated(offset_s: float, status: int = 200) -> Callable[[web.Request], web.Response]:
    def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"].startswith("Bearer ey")
        date = formatdate(time.time() + offset_s, usegmt=True)
        return web.json_response({"rooms": []}, status=status, headers={"Date": date})

    return answer


def config_of(url: str, key: str = "LIVEKIT_API_KEY", secret: str = "LIVEKIT_API_SECRET") -> DaemonConfig:
    settings = LiveKitSettings(url=url, api_key=Secret("env", key), api_secret=Secret("env", secret))
    return DaemonConfig(livekit=settings)


KEYS: Mapping[str, str] = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": SECRET}


async def test_livekit_takes_the_key_and_has_our_clock() -> None:
    async with livekit_server(dated(0)) as url:
        found = await checks_network.livekit(config_of(url), KEYS)
    assert states(found) == [("livekit", "ok"), ("clock", "ok")]
    assert "takes the key" in found[0].found


@pytest.mark.parametrize(("status", "said"), [(401, "does not take the key"), (404, "HTTP 404")])
async def test_a_key_or_an_address_that_is_wrong_is_told(status: int, said: str) -> None:
    async with livekit_server(dated(0, status)) as url:
        found = await checks_network.livekit(config_of(url), KEYS)
    assert (found[0].state, said in found[0].found) == ("fail", True)
    assert SECRET not in str(found)


@pytest.mark.parametrize(("offset_s", "state"), [(-20, "warn"), (20, "warn"), (300, "fail")])
async def test_a_clock_that_is_off_is_told(offset_s: float, state: str) -> None:
    async with livekit_server(dated(offset_s)) as url:
        found = await checks_network.livekit(config_of(url), KEYS)
    assert states(found) == [("livekit", "ok"), ("clock", state)]
    assert ("ahead of" if offset_s < 0 else "behind") in found[1].found


def test_where_no_date_is_told_no_clock_is_compared() -> None:
    assert checks_network.clock("", time.time()) == []


async def test_a_server_that_is_not_named_not_there_or_without_keys() -> None:
    assert states(await checks_network.livekit(config_of(""), KEYS)) == [("livekit", "warn")]
    (keyless,) = await checks_network.livekit(config_of("ws://user:pw@127.0.0.1:9"), {})
    assert (keyless.state, "LIVEKIT_API_KEY is not set" in keyless.found, "pw" in keyless.found) == (
        "fail", True, False,
    )  # fmt: skip
    (away,) = await checks_network.livekit(config_of("ws://127.0.0.1:9"), KEYS)
    assert (away.state, "cannot be reached" in away.found) == ("fail", True)


async def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_network, "LIVEKIT_S", 0.2)
    async with mute_server() as address:
        (mute,) = await checks_network.livekit(config_of(f"ws://{address}"), KEYS)
    assert (mute.state, "did not answer within 0.2 s" in mute.found) == ("fail", True)


def admin_config(addr: str, **changes: Any) -> DaemonConfig:
    return DaemonConfig(admin=replace(AdminSection(addr=addr), **changes))


async def test_the_admin_address_is_a_daemons() -> None:
    async with serve_admin(FakeDaemon(), AdminSettings(addr="127.0.0.1:0"), Metrics()) as address:
        found = await checks_network.admin(admin_config(address), {})
    assert (found.finding.state, found.answers) == ("ok", True)


async def test_the_admin_address_is_free_or_somebody_elses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        monkey = await checks_network.admin(admin_config(addr), {})
        assert (monkey.finding.state, monkey.answers) == ("fail", False)
    assert (await checks_network.admin(admin_config(addr), {})).finding.found == f"{addr} is free"


async def test_an_open_admin_address_without_a_token_fails() -> None:
    assert (await checks_network.admin(admin_config("0.0.0.0:0"), {})).finding.state == "fail"
    token = Secret("env", "ADMIN_TOKEN")
    told = (await checks_network.admin(admin_config("0.0.0.0:0", token=token), {})).finding
    assert (told.state, "ADMIN_TOKEN is not set" in told.found) == ("fail", True)
    guarded = await checks_network.admin(admin_config("0.0.0.0:0", token=token), {"ADMIN_TOKEN": "x" * 20})
    assert guarded.finding.state == "ok"


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "AGENTD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AGENTD_STORE", str(tmp_path / "state"))
    monkeypatch.setenv("AGENTD_ADMIN_ADDR", "127.0.0.1:0")
    (tmp_path / "agents.d").mkdir()
    (tmp_path / "agents.d" / "a.yaml").write_text(MINIMAL)
    return tmp_path


def test_a_page_of_checks_and_0_with_warnings(folder: Path) -> None:
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    shown = [line.split()[1] for line in lines if not line.startswith(" ")]
    assert shown == [
        "python", "packages", *["plugins"] * shown.count("plugins"), "agents", "models", "livekit", "admin", "state",
        "journals", "scratch", "descriptors", "capacity", "inotify",
    ]  # fmt: skip
    assert "ok    agents       1 valid: a" in lines
    assert lines[[line.split()[1] for line in lines].index("livekit") + 1].strip().startswith("-> set LIVEKIT_URL")
    assert told.stderr.endswith(" 0 failed\n")
    assert not (folder / "state").exists()


def test_what_is_broken_is_told_and_ends_it_with_1(folder: Path) -> None:
    (folder / "agents.d" / "b.yaml").write_text(f"{MINIMAL}greting: x\n")
    (folder / "agentd.yaml").write_text("worker: 1\n")
    told = CliRunner().invoke(main, ["doctor", "-o", "json"])
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    failed = {each["check"]: each for each in answer["checks"] if each["state"] == "fail"}
    assert (answer["healthy"], set(failed)) == (False, {"agents", "agentd.yaml"})
    assert "agents.d/b.yaml:4:1: error unknown-key" in failed["agents"]["found"]
    assert failed["agents"]["todo"] == "agentd validate tells them all"
    assert all(each["todo"] for each in answer["checks"] if each["state"] != "ok")


def test_where_there_are_no_agents_it_says_how_to_begin(folder: Path) -> None:
    told = CliRunner().invoke(main, ["doctor", "-d", "nowhere"])
    assert told.exit_code == 1
    assert "fail  agents" in told.stdout
