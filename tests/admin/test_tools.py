"""`GET /v1/tools` and `agentd get tools`: what each agent that serves may call, and where it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.config.agent_files import AgentFiles
from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.registry import installed
from tests.admin.conftest import Serve
from tests.admin.test_remote import Remote
from tests.fakes.daemon import FakeDaemon, agent

LOCAL = 'stt: {provider: whisper}\nllm: {provider: scripted, replies: ["Yes."]}\ntts: {provider: hibari}\n'
DESK = """\
tools:
  - {type: python, ref: "tools.desk:find_table"}
  - {type: python, ref: "tools.desk:kitchen", name: kitchen}
  - {type: webhook, name: book, description: Books a table., url: "https://app.example/tools"}
  - {type: mcp, name: files, command: [files-server], allow: [read]}
  - {type: client, name: show_map, description: Shows the way.}
  - {type: builtin, name: end_call}
  - {type: builtin, name: recall}
tasks:
  - {name: callback, description: Takes a callback., fields: [{name: number, type: phone}]}
handoffs:
  - {agent: billing, when: it is about a bill}
"""
CODE = '''\
class Kitchen:
    def soup_of_the_day(self) -> str:
        """Tells the soup."""
        return "leek"


kitchen = Kitchen()


def find_table(people: int) -> str:
    """Looks for a free table.

    Args:
        people: How many come.
    """
    return "7"
'''


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "desk.py").write_text(CODE)
    (tmp_path / "desk.yaml").write_text(LOCAL + DESK)
    (tmp_path / "billing.yaml").write_text(LOCAL + "tools: [{type: builtin, name: end_call}]\n")
    return tmp_path


@pytest.fixture
def loaded(directory: Path) -> Loaded:
    found = load(directory, DaemonConfig(), installed(), {})
    assert list(found.errors) == []
    return found


@pytest.fixture
def daemon(loaded: Loaded) -> FakeDaemon:
    daemon = FakeDaemon(agent("billing", state="stale"), agent("desk"), agent("gone", state="draining"))
    daemon.definitions = {**loaded.agents, "gone": loaded.agents["billing"]}
    return daemon


@pytest.fixture
async def remote(daemon: FakeDaemon, directory: Path, loaded: Loaded) -> Iterator[Remote]:
    settings = AdminSettings(addr="127.0.0.1:0", token="correct")
    files = AgentFiles(directory, lambda drafts: loaded)
    async with serve_admin(daemon, settings, Metrics(), agent_files=files) as address:
        yield Remote(address, "correct")


async def told(remote: Remote, *arguments: str) -> list[dict[str, str]]:
    answer = await remote("get", "tools", *arguments, "-o", "json")
    assert answer.exit_code == 0, answer.output
    found: list[dict[str, str]] = json.loads(answer.stdout)
    return found


async def test_each_tool_of_each_agent_that_serves_is_told_with_its_kind(remote: Remote) -> None:
    assert [(each["agent"], each["name"], each["type"]) for each in await told(remote)] == [
        ("billing", "end_call", "builtin"),
        ("desk", "find_table", "python"),
        ("desk", "kitchen", "python"),
        ("desk", "book", "webhook"),
        ("desk", "files", "mcp"),
        ("desk", "show_map", "client"),
        ("desk", "end_call", "builtin"),
        ("desk", "recall", "builtin"),
        ("desk", "collect_callback", "task"),
        ("desk", "handoff_to_billing", "handoff"),
    ]


async def test_a_tool_is_described_as_its_model_reads_it(remote: Remote) -> None:
    described = {each["name"]: each["description"] for each in await told(remote) if each["agent"] == "desk"}
    assert described["find_table"] == "Looks for a free table."
    assert described["kitchen"] == "Public methods of kitchen."
    assert described["book"] == "Books a table."
    assert "read" in described["files"]
    assert described["recall"] == "Tells what was kept about this caller in earlier calls."
    assert "it is about a bill" in described["handoff_to_billing"]
    assert all(described.values())


async def test_a_tool_is_told_with_its_place(remote: Remote, directory: Path) -> None:
    places = {each["name"]: each["defined_at"] for each in await told(remote) if each["agent"] == "desk"}
    assert places["find_table"] == f"{directory}/desk.yaml:5"
    assert places["book"] == f"{directory}/desk.yaml:7"
    assert places["handoff_to_billing"] == f"{directory}/desk.yaml:15"
    assert places["collect_callback"] == f"{directory}/desk.yaml"


async def test_code_that_is_newer_than_what_serves_does_not_describe_it(remote: Remote, directory: Path) -> None:
    (directory / "tools" / "desk.py").write_text(CODE.replace("Looks for", "Never looks for"))
    assert [each["description"] for each in await told(remote, "find_table")] == [""]


async def test_a_name_picks_the_tools_of_that_name(remote: Remote) -> None:
    assert [each["agent"] for each in await told(remote, "end_call")] == ["billing", "desk"]
    assert (await remote("get", "tools", "book", "-o", "name")).stdout == "book\n"
    header, *rows = (await remote("get", "tools", "kitchen")).stdout.splitlines()
    assert header.split() == ["NAME", "AGENT", "TYPE", "DEFINED", "AT", "DESCRIPTION"]
    assert len(rows) == 1
    assert rows[0].split()[:3] == ["kitchen", "desk", "python"]


async def test_where_no_directory_is_known_docstrings_are_left_out(serve: Serve, daemon: FakeDaemon) -> None:
    answer = await (await (await serve()).get("/v1/tools")).json()
    described = {each["name"]: each["description"] for each in answer["tools"]}
    assert (described["find_table"], described["book"]) == ("", "Books a table.")
