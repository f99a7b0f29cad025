"""`agentd explain`: from the state directory, from a file, and from a daemon that knows the call."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.cli.explained import WIDTH, bar
from agentd.cli.main import main
from agentd.runtime.journals import journal_path
from agentd.session.journal import Journal
from tests.fakes.call import calling
from tests.fakes.clock import run_virtual
from tests.fakes.daemon import FakeDaemon
from tests.fakes.providers import says
from tests.session.test_explanation import agent as speaking
from tests.session.test_explanation import interrupted

NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journals of two calls."""
    state = tmp_path_factory.mktemp("state")
    for name in ("s-4f1c", "s-9a07"):
        _keep(state, name)
    return state


def _keep(state: Path, name: str) -> None:
    async def call() -> None:
        async with calling(agent=speaking(), script=says("We open at nine, and we close at five.", "Bye.")) as call:
            await call.say("When do you open?")
            await call.say("Stop please.")
            await call.room.silent(2)
            call.room.leave()
            await call.task
            journal = Journal.create(journal_path(state, name))
            for record in call.records:
                journal.append(record.kind, record.data)
            journal.close()

    run_virtual(call())


def explained(state: Path, *arguments: str, addr: str = NOBODY) -> Result:
    environment = {"AGENTD_STORE": str(state), "AGENTD_ADMIN_ADDR": addr, "AGENTD_ADMIN_TOKEN": "correct"}
    return CliRunner().invoke(main, ["explain", *arguments], env=environment)


def test_a_call_is_told_turn_by_turn_with_rule_value_and_line(state: Path) -> None:
    result = explained(state, "s-4f1c")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("session s-4f1c: ")
    assert lines[0].endswith("caller_left")
    assert "agent test-agent (agents.d/front-desk.yaml), revision revision, caller caller" in lines
    assert '  caller   "When do you open?"' in lines
    told = " ".join(line.strip() for line in lines)
    assert "the silence lasted [silence] turn.endpointing.min_delay=0.5 (agents.d/front-desk.yaml:12)" in told
    assert "words of the caller's [words] turn.interruption.min_words=0 (default)" in told
    assert "gap 0.550 s = eou 0.500 + tts_ttfb 0.050" in told.replace("gap      ", "gap ")
    assert max(map(len, lines)) <= WIDTH
    assert "\x1b" not in result.stdout


def test_one_turn_alone(state: Path) -> None:
    result = explained(state, "s-4f1c", "2")
    assert '"Stop please."' in result.stdout
    assert "When do you open?" not in result.stdout
    wrong = explained(state, "s-4f1c", "7")
    assert wrong.exit_code == 1
    assert wrong.stderr == "Error: session s-4f1c has no turn 7: it has turns 1 to 2\n"


def test_json_has_the_documented_shape(state: Path) -> None:
    shown = json.loads(explained(state, "s-4f1c", "-o", "json").stdout)
    assert (shown["version"], shown["session"], len(shown["turns"])) == (1, "s-4f1c", 2)
    assert shown["turns"][0]["ended"]["place"] == "agents.d/front-desk.yaml:12"
    assert [turn["turn"] for turn in json.loads(explained(state, "s-4f1c", "2", "-o", "json").stdout)["turns"]] == [2]


def test_the_beginning_of_an_id_and_a_file_name_a_call_too(state: Path) -> None:
    whole = explained(state, "s-4f1c").stdout
    assert explained(state, "s-4").stdout == whole
    assert explained(state, str(journal_path(state, "s-4f1c"))).stdout == whole
    several = explained(state, "s-")
    assert several.exit_code == 1
    assert "several sessions begin with s-: s-4f1c, s-9a07" in several.stderr


def test_an_unknown_call_exits_1_and_tells_a_near_one(state: Path) -> None:
    result = explained(state, "s-4f2c")
    assert result.exit_code == 1
    assert "there is no session s-4f2c" in result.stderr
    assert result.stderr.endswith("did you mean s-4f1c?\n")


def test_a_file_that_is_no_journal_is_refused_in_one_line(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.journal"
    path.write_text("hello")
    result = explained(state, str(path))
    assert result.exit_code == 1
    assert "is not a session journal" in result.stderr


async def remote(state: Path, at: Path, *arguments: str, token: str | None = "correct") -> Result:
    """Asked on a machine without journals, of a daemon that has them."""
    daemon = FakeDaemon()
    daemon.state = state
    async with serve_admin(daemon, AdminSettings(addr="127.0.0.1:0", token=token), Metrics()) as address:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            ask: Any = lambda: explained(at, *arguments, addr=address)  # noqa: E731
            return await loop.run_in_executor(thread, ask)


async def test_a_daemon_is_asked_for_what_is_not_here(state: Path, tmp_path: Path) -> None:
    result = await remote(state, tmp_path, "s-4f1c")
    assert result.stdout == explained(state, "s-4f1c").stdout


async def test_a_daemon_that_does_not_know_the_call_tells_a_near_one(state: Path, tmp_path: Path) -> None:
    result = await remote(state, tmp_path, "s-4f1d")
    assert result.exit_code == 1
    assert result.stderr.endswith("did you mean s-4f1c?\n")
    assert (await remote(state, tmp_path, "../s-4f1c")).exit_code == 1


async def test_a_daemon_without_a_token_tells_no_journal(state: Path, tmp_path: Path) -> None:
    result = await remote(state, tmp_path, "s-4f1c", token=None)
    assert result.exit_code == 1
    assert "only where an admin token is set" in result.stderr


def test_the_bar_is_to_scale_and_names_what_fits() -> None:
    assert bar([("eou", 0.5), ("llm_ttft", 0.5)], 1.0) == "|eou" + "-" * 24 + "|llm_ttft" + "-" * 19 + "|"
    assert bar([("eou", 0.99), ("stt", 0.01)], 1.0).endswith("-||")


def test_a_conversation_of_the_other_tests_is_told_whole() -> None:
    from agentd.cli.explained import text_of

    told = text_of(run_virtual(interrupted()))
    assert told.index("greeting, ") < told.index("turn 1, ") < told.index("turn 2, ")
    assert "unheard" in told
