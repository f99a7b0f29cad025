from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import pytest
import yaml
from click.testing import CliRunner, Result

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.cli.main import main
from agentd.cli.remote import outcome_line, table
from agentd.errors import Problem
from agentd.runtime.status import BudgetStatus, DrainStatus, ReloadOutcome, SinkStatus
from tests.fakes.daemon import FakeDaemon, agent

PROBLEM = Problem(file="a.yaml", line=4, column=3, pointer="/x", code="unknown-key", message="no such key", hint="y?")


class Remote:
    """The command line against a daemon that serves in this test's event loop."""

    def __init__(self, addr: str, token: str) -> None:
        self._environment = {"AGENTD_ADMIN_ADDR": addr, "AGENTD_ADMIN_TOKEN": token}

    async def __call__(self, *arguments: str, **environment: str) -> Result:
        run = CliRunner().invoke
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            given = {**self._environment, **environment}
            return await loop.run_in_executor(thread, lambda: run(main, list(arguments), env=given))


@pytest.fixture
def daemon() -> FakeDaemon:
    return FakeDaemon(agent("front-desk"), agent("billing", state="stale", sessions=0, problems=(PROBLEM,)))


@pytest.fixture
async def remote(daemon: FakeDaemon) -> Iterator[Remote]:
    settings = AdminSettings(addr="127.0.0.1:0", token="correct")
    async with serve_admin(daemon, settings, Metrics()) as address:
        yield Remote(address, "correct")


async def test_get_agents_shows_a_table_and_what_is_wrong(remote: Remote) -> None:
    result = await remote("get", "agents")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "NAME         STATE     REGISTERED   SESSIONS   GENERATION   REVISION   SOURCE",
        "front-desk   serving   yes          1          3            a1b2c3     agents.d/front-desk.yaml",
        "billing      stale     yes          0          3            a1b2c3     agents.d/billing.yaml",
    ]
    assert result.stderr == "a.yaml:4:3: error unknown-key: no such key (y?)\n"


async def test_get_writes_json_yaml_and_names(remote: Remote) -> None:
    assert (await remote("get", "agents", "-o", "name")).stdout == "front-desk\nbilling\n"
    workers = json.loads((await remote("get", "workers", "-o", "json")).stdout)
    assert [entry["id"] for entry in workers] == ["w1"]
    session = yaml.safe_load((await remote("get", "sessions", "s-1", "-o", "yaml")).stdout)
    assert session["room"] == "call-1"


async def test_get_sinks_shows_how_each_does(remote: Remote, daemon: FakeDaemon) -> None:
    same = {"types": ("*",), "url": "https://x.example/e"}
    daemon.sink_list = (
        SinkStatus(agent="front-desk", state="failing", waiting=3, lost=1, last_error="it answered 500", **same),
        SinkStatus(agent="", state="ok", waiting=0, delivered=9, **same),
    )
    assert (await remote("get", "sinks")).stdout.splitlines() == [
        "AGENT        URL                   STATE     WAITING   DELIVERED   LOST   ERROR",
        "front-desk   https://x.example/e   failing   3         0           1      it answered 500",
        "             https://x.example/e   ok        0         9           0      -",
    ]
    (sink,) = json.loads((await remote("get", "sinks", "front-desk", "-o", "json")).stdout)
    assert (sink["state"], sink["last_error_at"]) == ("failing", None)


async def test_get_budgets_shows_agents_and_the_callers_who_have_used_theirs_up(
    remote: Remote, daemon: FakeDaemon
) -> None:
    daemon.budget_list = (
        BudgetStatus(agent="desk", caller="", day="2027-01-16", tokens=900, minutes=12.5, cost=0.25),
        BudgetStatus(
            agent="desk", caller="ann", day="2027-01-16", tokens=700, minutes=3.0, cost=0.2, used_up=("tokens_per_day",)
        ),
    )
    assert (await remote("get", "budgets")).stdout.splitlines() == [
        "AGENT   CALLER   DAY          TOKENS   MINUTES   COST   USED UP",
        "desk             2027-01-16   900      12.50     0.25   -",
        "desk    ann      2027-01-16   700      3.00      0.20   tokens_per_day",
    ]


async def test_get_of_an_unknown_name_fails(remote: Remote) -> None:
    result = await remote("get", "sessions", "none")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no session none\n")


async def test_reload_takes_wait_as_it_always_waits(remote: Remote) -> None:
    assert (await remote("reload", "--wait")).stdout == (await remote("reload")).stdout


async def test_reload_says_what_changed(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.outcome = ReloadOutcome(
        applied=True, changed=True, generation=4, added=("new",), updated=("a", "b"), duration_s=0.314
    )
    result = await remote("reload")
    assert (result.exit_code, result.stdout) == (0, "Generation 4 serves after 0.31 s: added new; updated a, b.\n")


async def test_a_refused_reload_shows_every_problem_and_exits_78(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.outcome = ReloadOutcome(applied=False, changed=True, generation=4, updated=("a",), problems=(PROBLEM,))
    result = await remote("reload")
    assert result.exit_code == 78
    assert result.stderr == "a.yaml:4:3: error unknown-key: no such key (y?)\n"
    assert result.stdout == "Refused: 1 error: the last good versions go on serving. Applied: updated a.\n"
    assert json.loads((await remote("reload", "-o", "json")).stdout)["problems"][0]["code"] == "unknown-key"


async def test_drain_tells_how_many_calls_go_on(remote: Remote, daemon: FakeDaemon) -> None:
    assert (await remote("drain")).stdout == "Draining: 1 call under way.\n"
    assert daemon.drained


async def test_a_wrong_token_says_what_to_set(remote: Remote) -> None:
    result = await remote("get", "agents", AGENTD_ADMIN_TOKEN="wrong")
    assert result.exit_code == 1
    assert "set AGENTD_ADMIN_TOKEN" in result.stderr


async def test_the_token_may_stand_in_a_file(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct\n")
    result = await remote("get", "agents", AGENTD_ADMIN_TOKEN="", AGENTD_ADMIN_TOKEN_FILE=str(tmp_path / "token"))
    assert result.exit_code == 0
    result = await remote("get", "agents", AGENTD_ADMIN_TOKEN="", AGENTD_ADMIN_TOKEN_FILE=str(tmp_path / "none"))
    assert result.exit_code == 2


def test_no_daemon_is_one_line_and_exit_69() -> None:
    result = CliRunner().invoke(main, ["get", "agents", "--admin-addr", "127.0.0.1:9"])
    assert result.exit_code == 69
    assert result.stderr.count("\n") == 1
    assert "no agentd answers at http://127.0.0.1:9" in result.stderr


def test_a_table_without_entries_is_its_heading() -> None:
    assert table("sessions", [], now=0) == "ID   AGENT   STATE   CALLER   TURNS   AGE   ROOM   WORKER\n"


def test_a_reload_of_nothing_says_so() -> None:
    assert outcome_line({"applied": True, "generation": 3}) == "Nothing changed; generation 3."
    code = {"state": "replaced", "files": ["a.py", "b.py"], "workers": ["worker-3", "worker-4"]}
    assert outcome_line({"applied": True, "generation": 3, "duration_s": 2.5, "code": code}) == (
        "Generation 3 serves after 2.50 s: worker-3, worker-4 take the calls with new code in 2 files."
    )
    waits = {"state": "waits", "files": ["a.py"], "workers": []}
    assert outcome_line({"applied": True, "generation": 3, "code": waits}) == "Nothing changed; generation 3."


def test_a_token_is_minted_for_an_agent() -> None:
    secret = "a-secret-of-at-least-32-characters-"
    keys = {"LIVEKIT_URL": "http://127.0.0.1:7880", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": secret}
    arguments = ["token", "--agent", "front-desk", "--room", "r", "--identity", "ann", "--ttl", "60", "--json"]
    result = CliRunner().invoke(main, arguments, env=keys)
    answer = json.loads(result.stdout)
    claims = jwt.decode(answer["participant_token"], secret, algorithms=["HS256"])
    assert answer["server_url"] == "ws://127.0.0.1:7880"
    assert (claims["sub"], claims["video"]["room"], claims["exp"] - claims["nbf"]) == ("ann", "r", 60)
    assert claims["roomConfig"] == {"agents": [{"agentName": "front-desk"}]}


def test_a_token_names_livekits_address_as_callers_reach_it(tmp_path: Path) -> None:
    (tmp_path / "agentd.yaml").write_text(
        "livekit: {url: 'ws://livekit:7880', public_url: 'https://voice.example.com'}"
    )
    environment = {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32, "LIVEKIT_URL": ""}
    result = CliRunner().invoke(main, ["token", "--json", "-c", str(tmp_path / "agentd.yaml")], env=environment)
    assert json.loads(result.stdout)["server_url"] == "wss://voice.example.com"


async def test_a_token_for_dev_names_the_server_of_the_daemon_that_runs(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.livekit_url = "ws://127.0.0.1:7999"
    assert json.loads((await remote("token", "--dev", "--json")).stdout)["server_url"] == "ws://127.0.0.1:7999"
    daemon.livekit_url = "wss://livekit.example.com"  # no server of its own: another daemon's key would not do there
    assert json.loads((await remote("token", "--dev", "--json")).stdout)["server_url"] == "ws://127.0.0.1:7880"


@pytest.mark.parametrize(
    ("arguments", "environment", "word"),
    [
        ([], {}, "set LIVEKIT_URL"),
        ([], {"LIVEKIT_URL": "ws://127.0.0.1:7880"}, "LIVEKIT_API_KEY"),
        (["--dev", "--metadata", "x"], {}, "--agent"),
    ],
)
def test_a_token_without_its_inputs_says_what_to_set(
    arguments: list[str], environment: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(main, ["token", *arguments], env=environment)
    assert result.exit_code == 2
    assert word in result.stderr


async def test_an_upgrade_waits_for_another_instance(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.successor = {"instance": "second", "version": "9.9"}
    result = await remote("upgrade")
    assert result.exit_code == 0
    assert re.fullmatch(r"Upgraded 0\.1\.0 to 9\.9 in \d+\.\d s under 1 call\.\n", result.stdout)


async def test_an_upgrade_that_is_refused_says_why(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.upgrade_refused = "what is installed would not serve"
    result = await remote("upgrade")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the daemon refused (409): what is installed would not serve\n",
    )


NOT_YET, DRAINING = DrainStatus(state="none", sessions=1), DrainStatus(state="draining", sessions=1)


@pytest.mark.parametrize(
    ("cut", "code", "said"), [(0, 0, "It has ended.\n"), (1, 4, "It has ended, and cut 1 call.\n")]
)
async def test_a_drain_can_be_waited_for(remote: Remote, daemon: FakeDaemon, cut: int, code: int, said: str) -> None:
    ended = DrainStatus(state="ended", sessions=0, cut=cut)
    daemon.drains = [NOT_YET, DRAINING, DrainStatus(state="draining", sessions=0), ended]
    result = await remote("drain", "--wait")
    assert (result.exit_code, result.stdout) == (code, f"Draining: 1 call under way.\n0 calls under way.\n{said}")


async def test_a_daemon_that_cannot_be_reached_any_more_is_not_one_that_has_drained(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.cli.drain.LOST_S", 0.0)
    settings = AdminSettings(addr="127.0.0.1:0", token="correct")
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serve_admin(daemon, settings, Metrics()))
        waiting = asyncio.create_task(Remote(address, "correct")("drain", "--wait"))
        while not daemon.drained:
            await asyncio.sleep(0.01)
        await stack.aclose()
        result = await waiting
    assert (result.exit_code, result.stdout) == (69, "Draining: 1 call under way.\n")
    assert "no agentd answers" in result.stderr
    assert "1 call under way when it last answered" in result.stderr


async def test_another_daemon_at_the_address_is_not_taken_for_that_which_drains(
    remote: Remote, daemon: FakeDaemon
) -> None:
    daemon.drains = [NOT_YET, DRAINING, DrainStatus(state="none", sessions=0)]
    result = await remote("drain", "--wait")
    assert result.exit_code == 69
    assert "another agentd has begun there" in result.stderr


async def test_an_upgrade_that_a_drain_ended_is_told_so(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.successor = {"state": "draining"}
    result = await remote("upgrade")
    assert (result.exit_code, "the upgrade was abandoned" in result.stderr) == (1, True)
