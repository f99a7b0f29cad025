"""`agentd bench`, as far as no daemon is started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentd.cli import bench as benches
from agentd.cli.bench import QUESTION, Bench, is_remote
from agentd.cli.main import main
from agentd.config.provider_choice import ProviderChoice

AGENT = """\
version: 1
name: desk
stt: {provider: scripted}
tts: {provider: scripted}
llm: {provider: scripted, replies: [yes]}
limits: {concurrency: 7}
"""
REMOTE = AGENT.replace("llm: {provider: scripted, replies: [yes]}", "llm: {provider: openai, model: gpt-4.1-mini}")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Bench, Any]]:
    """What would be measured, over a directory with an agent."""
    monkeypatch.chdir(tmp_path)
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    (tmp_path / "agents.d").mkdir()
    (tmp_path / "agents.d" / "desk.yaml").write_text(AGENT)
    planned: list[tuple[Bench, Any]] = []

    async def run(bench: Bench, server: Any) -> int:
        planned.append((bench, server))
        return 0

    monkeypatch.setattr(benches, "_run", run)
    return planned


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", "desk", *arguments])


def test_the_steps_and_what_callers_say(started: list[tuple[Bench, Any]]) -> None:
    result = run("--calls", "5,1,5", "--seconds", "3", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "share its" in result.stderr
    ((planned, server),) = started
    assert (planned.calls, planned.workers, server) == ((1, 5), 2, None)
    assert (planned.talk.agent, planned.talk.question, planned.talk.seconds) == ("desk", QUESTION, 3)
    assert int(planned.environment["AGENTD_SESSIONS_PER_WORKER"]) >= 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--calls", "1,none"), "write numbers of calls with commas"),
        (("--calls", "0"), "write numbers of calls with commas"),
        (("--calls", "8"), "limits.concurrency of desk is 7"),
        (("--calls", "1", "--speech", "agents.d/desk.yaml"), "--speech agents.d/desk.yaml"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    started: list[tuple[Bench, Any]], arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, started) == (2, [])
    assert words in result.stderr


def test_calls_that_cost_money_are_asked_for(started: list[tuple[Bench, Any]]) -> None:
    Path("agents.d/desk.yaml").write_text(REMOTE)
    result = run("--calls", "1")
    assert (result.exit_code, started) == (2, [])
    assert "cost what they cost at llm openai: give --yes" in result.stderr
    assert run("--calls", "1", "--yes").exit_code == 0
    assert len(started) == 1


def test_a_server_that_others_use_is_asked_for(
    started: list[tuple[Bench, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.setenv(name, "a" * 40)
    monkeypatch.setenv("LIVEKIT_URL", "wss://voice.example.com")
    result = run("--calls", "1")
    assert (result.exit_code, started) == (2, [])
    assert "may be others' too" in result.stderr
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:7880")
    assert run("--calls", "1").exit_code == 0
    assert started[0][1].url == "ws://127.0.0.1:7880"


@pytest.mark.parametrize(
    ("settings", "remote"),
    [
        ({"api_key": None, "base_url": "https://api.example.com/v1"}, True),
        ({"api_key": None, "base_url": "http://127.0.0.1:8000/v1"}, False),
        ({"api_key": None}, True),
        ({"model": "tiny.en"}, False),
    ],
)
def test_a_provider_is_remote_when_it_is_asked_elsewhere(settings: dict[str, Any], remote: bool) -> None:
    choice = ProviderChoice(kind="llm", provider="any", settings=SimpleNamespace(**settings), digest="")
    assert is_remote(choice) is remote
