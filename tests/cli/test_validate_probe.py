"""`agentd validate --probe`: each provider that a file names, at its line."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentd.cli.main import main
from tests.config.files import write
from tests.fakes.deepgram_server import KEY as DEEPGRAM_KEY
from tests.fakes.deepgram_server import deepgram_server
from tests.fakes.openai_server import KEY, openai_server

WRONG = "sk-wrong-000111222333"


async def validate(*arguments: str) -> Result:
    """Beside the servers, which answer in this test's loop."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        return await loop.run_in_executor(thread, lambda: CliRunner().invoke(main, ["validate", "--probe", *arguments]))


def agent(openai: str, deepgram: str) -> str:
    return (
        f'stt: {{provider: deepgram, base_url: "{deepgram}", api_key: "${{HEARING_KEY:?}}"}}\n'
        "llm:\n"
        "  provider: scripted\n"
        '  replies: ["Yes."]\n'
        "  fallback:\n"
        f'    - {{provider: openai, base_url: "{openai}", api_key: "${{THINKING_KEY:?}}"}}\n'
        f'tts: {{provider: openai, base_url: "{openai}", api_key: "${{THINKING_KEY:?}}"}}\n'
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARING_KEY", DEEPGRAM_KEY)
    monkeypatch.setenv("THINKING_KEY", KEY)
    return tmp_path


async def test_each_provider_is_told_at_its_line(folder: Path) -> None:
    async with openai_server() as openai, deepgram_server() as deepgram:
        write(folder, {"agents.d/a.yaml": agent(openai.url, deepgram.url)})
        told = await validate()
    assert told.exit_code == 0, told.output
    lines = [line.rpartition(" (after ")[0] for line in told.stdout.splitlines()]
    assert "agents.d/a.yaml:1:1: ok: vad silero" in lines
    assert [line for line in lines if " vad " not in line] == [
        "agents.d/a.yaml:1:1: ok: stt deepgram",
        "agents.d/a.yaml:3:1: ok: llm scripted",
        "agents.d/a.yaml:6:1: ok: llm openai",
        "agents.d/a.yaml:7:1: ok: tts openai",
    ]
    assert told.stderr == "1 valid agent, 0 errors, 0 warnings\n"


async def test_one_that_does_not_serve_is_an_error_at_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKING_KEY", WRONG)
    async with openai_server() as openai, deepgram_server() as deepgram:
        write(folder, {"agents.d/a.yaml": agent(openai.url, deepgram.url)})
        told = await validate()
        as_json = json.loads((await validate("--format", "json")).stdout)
        github = await validate("--format", "github")
    assert told.exit_code == 78
    problems = [line for line in told.stdout.splitlines() if " error " in line]
    assert [line.partition(": Incorrect")[0] for line in problems] == [
        "agents.d/a.yaml:6:1: error probe-failed: llm openai: HTTP 401",
        "agents.d/a.yaml:7:1: error probe-failed: tts openai: HTTP 401",
    ]
    assert "2 errors" in told.stderr
    assert [each["pointer"] for each in as_json["problems"]] == ["/llm/fallback/0", "/tts"]
    probes = {each["setting"]: each["ok"] for each in as_json["probes"]}
    assert (probes["stt"], probes["llm.fallback[0]"], probes["tts"]) == (True, False, False)
    assert github.stdout.count("title=probe-failed") == 2
    assert " ok: " not in github.stdout
    for output in (told.output, json.dumps(as_json), github.output):
        assert WRONG not in output
        assert DEEPGRAM_KEY not in output


async def test_keys_come_from_an_env_file_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THINKING_KEY")
    async with openai_server() as openai, deepgram_server() as deepgram:
        write(folder, {"agents.d/a.yaml": agent(openai.url, deepgram.url), "keys.env": f"THINKING_KEY={KEY}\n"})
        told = await validate("--env-file", "keys.env")
    monkeypatch.delenv("THINKING_KEY", raising=False)
    assert told.exit_code == 0, told.output


async def test_without_it_nobody_is_asked(folder: Path) -> None:
    async with openai_server() as openai, deepgram_server() as deepgram:
        write(folder, {"agents.d/a.yaml": agent(openai.url, deepgram.url)})
        plain = CliRunner().invoke(main, ["validate"])
        assert plain.exit_code == 0
        assert openai.requests == []
        assert deepgram.connections == []


async def test_what_no_valid_agent_names_is_not_asked(folder: Path) -> None:
    async with openai_server() as openai, deepgram_server() as deepgram:
        write(folder, {"agents.d/a.yaml": agent(openai.url, deepgram.url) + "greting: x\n"})
        told = await validate()
        assert openai.requests == []
    assert told.exit_code == 78
    assert told.stdout.startswith("agents.d/a.yaml:8:1: error unknown-key")
