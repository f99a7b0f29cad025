from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import yaml

from agentd.admin.metrics import Metrics
from agentd.admin.roles import operator
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.cli.completion import SHELLS
from agentd.cli.remote import AdminClient, Answer, Missing, Unavailable
from agentd.cli.watching import by_identity, changed, watch, watch_one
from tests.admin.test_api import definition
from tests.admin.test_remote import PROBLEM, Remote
from tests.fakes.daemon import FakeDaemon, agent, held_agents, session, worker
from tests.tools_needed import needed

READER = operator("reader", "read", "reader-0123456789abc")


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon(agent("front-desk"), agent("billing", state="stale", sessions=0, problems=(PROBLEM,)))


@pytest.fixture
async def remote(daemon: FakeDaemon) -> AsyncIterator[Remote]:
    async def dispatch(agent_name: str, room: str, metadata: str) -> str:
        return f"AD_{metadata}"

    settings = AdminSettings(addr="127.0.0.1:0", token="correct", operators=(READER,))
    async with serve_admin(daemon, settings, Metrics(), dispatch=dispatch) as address:
        yield Remote(address, "correct")


async def test_an_agent_is_described_with_its_problems_its_calls_and_no_secret(
    remote: Remote, daemon: FakeDaemon
) -> None:
    daemon.definitions["front-desk"] = definition()
    told = await remote("describe", "agent", "front-desk")
    assert told.exit_code == 0
    assert "state:         serving\n" in told.stdout
    assert "calls:         s-1\n" in told.stdout
    assert "    provider:      vendor\n" in told.stdout
    assert "sk-very-secret" not in told.stdout
    broken = await remote("describe", "agents", "billing")
    assert "problems:\n  a.yaml:4:3: error unknown-key: no such key (y?)\n" in broken.stdout


async def test_calls_and_workers_are_described(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.session_list = (session(latencies={"e2e": 0.9310, "eou": 0.5}),)
    assert "latencies:\n  e2e:           0.931\n" in (await remote("describe", "session", "s-1")).stdout
    assert "pid:           4711\n" in (await remote("describe", "worker", "w1")).stdout
    for kind in ("agent", "session", "worker"):
        assert (await remote("describe", kind, "none")).exit_code == 1


async def test_what_is_described_is_told_as_yaml_and_by_its_name(remote: Remote) -> None:
    told = yaml.safe_load((await remote("describe", "session", "s-1", "-o", "yaml")).stdout)
    assert (told["id"], told["room"]) == ("s-1", "call-1")
    assert (await remote("describe", "agent", "billing", "-o", "name")).stdout == "billing\n"


async def test_an_agent_is_dispatched(remote: Remote) -> None:
    told = await remote("dispatch", "front-desk", "--room", "ward", "--var", "bed=B", "--var", "a=", "-o", "json")
    assert json.loads(told.stdout)["dispatch"] == 'AD_{"variables": {"bed": "B", "a": ""}}'
    assert (await remote("dispatch", "nobody")).exit_code == 1
    assert (await remote("dispatch", "front-desk", "--var", "bed")).exit_code == 2


async def test_an_agent_of_which_an_earlier_revision_serves_is_dispatched(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.agent_list = held_agents()
    for held in daemon.agent_list:
        told = await remote("dispatch", held.name)
        assert (told.exit_code, told.stdout.partition(" was called into the room ")[0]) == (0, held.name)


async def test_a_token_that_may_not_is_told_which_role_is_missing(remote: Remote) -> None:
    told = await remote("drain", AGENTD_ADMIN_TOKEN=READER.token)
    assert (told.exit_code, told.stderr.count("asks for operate")) == (1, 1)


# --watch


def test_only_what_changed_is_shown_and_what_is_gone() -> None:
    one, two = {"id": "a", "state": "x", "load": 0.1}, {"id": "b", "state": "x", "load": 0.1}
    before = {"a": one, "b": two}
    assert list(changed({}, before)) == [("a", one), ("b", two)]
    assert list(changed(before, {"a": {**one, "load": 0.9}, "b": two})) == []
    assert list(changed(before, {"a": {**one, "state": "y"}})) == [
        ("a", {**one, "state": "y"}),
        ("b", {**two, "state": "gone"}),
    ]


def test_sinks_and_budgets_of_one_agent_are_told_apart() -> None:
    sinks = [{"agent": "a", "url": "https://one"}, {"agent": "a", "url": "https://two"}]
    assert list(by_identity("sinks", sinks).values()) == sinks
    budgets = [{"agent": "a", "caller": None}, {"agent": "a", "caller": "sip:1"}]
    assert list(by_identity("budgets", budgets).values()) == budgets


def test_a_watch_outlives_the_daemon(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["serving"], None, ["serving"], ["stale"], []])

    def call(self: AdminClient, method: str, path: str, body: object = None, **options: object) -> Answer:
        states = next(answers, "over")
        if states == "over":
            raise KeyboardInterrupt
        if states is None:
            raise Unavailable("away")
        return Answer(200, {"agents": [{"name": "front-desk", "state": state} for state in states]})

    monkeypatch.setattr(AdminClient, "call", call)
    watch(AdminClient(addr="x", token=None), "agents", None, "json", sleep=lambda seconds: None)
    shown = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["serving", "stale", "gone"]


def test_one_thing_is_shown_when_it_changes_and_when_it_is_gone() -> None:
    one = {"id": "w1", "state": "ready", "load": 0.1}
    later = {**one, "load": 0.9}
    answers = iter([one, later, Unavailable("away"), {**one, "state": "hung"}, Missing("no"), Missing("no"), one])
    shown: list[Mapping[str, object]] = []

    def told() -> Mapping[str, object]:
        answer = next(answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch_one(told, shown.append, sleep=lambda seconds: None)
    assert [each["state"] for each in shown] == ["ready", "hung", "gone", "ready"]


@pytest.mark.parametrize(("output", "between"), [("text", "\n"), ("yaml", "---\n"), ("json", ""), ("name", "")])
async def test_states_of_one_thing_are_told_apart(
    remote: Remote, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, output: str, between: str
) -> None:
    states = iter(["hung", ""])

    def pause(seconds: float) -> None:
        state = next(states)
        if not state:
            raise KeyboardInterrupt
        daemon.worker_list = (worker(state="hung"),)

    monkeypatch.setattr("agentd.cli.watching.watch_one", partial(watch_one, sleep=pause))
    told = await remote("describe", "worker", "w1", "--watch", "-o", output)
    assert told.exit_code == 0
    first = (await remote("describe", "worker", "w1", "-o", output)).stdout.replace("hung", "ready")
    if output == "json":
        assert [json.loads(line)["state"] for line in told.stdout.splitlines()] == ["ready", "hung"]
    else:
        assert told.stdout == first + between + first.replace("ready", "hung")


async def test_a_watch_of_what_is_not_there_fails(remote: Remote) -> None:
    assert (await remote("describe", "worker", "none", "--watch")).exit_code == 1
    assert (await remote("describe", "session", "none", "--watch")).exit_code == 1


async def test_a_watch_of_nobody_fails(remote: Remote) -> None:
    assert (await remote("get", "agents", "--watch", "--admin-addr", "127.0.0.1:9")).exit_code == 69


# Completion


@pytest.mark.parametrize("shell", SHELLS)
async def test_each_shell_takes_its_script(remote: Remote, shell: str, tmp_path: Path) -> None:
    script = (await remote("completion", shell)).stdout
    assert "_AGENTD_COMPLETE" in script
    found = needed(shell)
    (tmp_path / "script").write_text(script)
    flags = ["--no-execute"] if shell == "fish" else ["-n"]
    subprocess.run([found, *flags, str(tmp_path / "script")], check=True, timeout=10)


async def test_verbs_kinds_and_names_are_completed(remote: Remote) -> None:
    async def completed(words: str, number: int, **environment: str) -> list[str]:
        asked = {"_AGENTD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number), **environment}
        addr = remote._environment["AGENTD_ADMIN_ADDR"]
        env = {"AGENTD_ADMIN_ADDR": addr, "AGENTD_ADMIN_TOKEN": "correct", **asked}
        line = [sys.executable, "-c", "from agentd.cli.main import main; main(prog_name='agentd')"]
        told = await run(line, env)
        return [each.partition(",")[2] for each in told.splitlines() if each]

    assert "describe" in await completed("agentd de", 1)
    assert await completed("agentd describe ag", 2) == ["agent", "agents"]
    assert await completed("agentd describe agent f", 3) == ["front-desk"]
    assert await completed("agentd get sessions ", 3) == ["s-1"]
    assert await completed("agentd get agents ", 3, AGENTD_ADMIN_ADDR="127.0.0.1:9") == []


async def run(line: list[str], env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(*line, env={**os.environ, **env}, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()
