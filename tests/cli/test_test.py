"""`agentd test`: which agents, how it is told, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from agentd.cli.main import main
from tests.documents import ROOT, blocks

AGENT = """\
stt: {provider: scripted}
tts: {provider: scripted}
llm: {provider: scripted, replies: ["Said {text}."]}
tests:
  scenarios:
    - name: echoes
      turns: [{say: hi, expect: {contains: [said hi]}}]
"""
WRONG = """\
    - name: sings
      turns:
        - say: hi
          expect: {contains: [la]}
"""


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    (tmp_path / "desk.yaml").write_text(AGENT)
    (tmp_path / "shop.yaml").write_text(AGENT + WRONG)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["test", *arguments], env={"AGENTD_LOG_LEVEL": None})


def test_the_scripted_dialogue_of_the_manual_is_as_its_tests_say(tmp_path: Path) -> None:
    [dialogue] = [text for text in blocks("docs/providers.md", "yaml") if "scenarios:" in text]
    (tmp_path / "taxi.yaml").write_text(dialogue)
    result = run("-d", str(tmp_path))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 of 1 scenarios are as expected."), result.stdout


def test_the_sample_agent_is_as_its_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its tools in their process, one of which its code adds in the call."""
    monkeypatch.chdir(ROOT)
    result = run("library")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "3 of 3 scenarios are as expected."), result.stdout


def test_all_agents_are_tried_and_a_failure_exits_with_1(agents: Path) -> None:
    result = run("-d", str(agents))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "ok    desk: echoes (2.0 s)",
        "ok    shop: echoes (2.0 s)",
        "FAIL  shop: sings",
        f'  {agents}/shop.yaml:11: "la" was not said, but: "Said hi."',
        "    caller: hi",
        "    agent: Said hi.",
        "    end: caller_left",
        "2 of 3 scenarios are as expected.",
    ]


@pytest.mark.parametrize("target", ["desk", "desk.yaml", "."])
def test_an_agent_a_file_or_a_directory_may_be_named(agents: Path, target: str) -> None:
    place = target if target == "desk" else str(agents / target)
    result = run(place, "-d", str(agents), "-k", "echo")
    assert (result.exit_code, "desk: echoes" in result.stdout) == (0, True)
    assert ("shop" in result.stdout) == (target == ".")


def test_json_and_junit_tell_the_same(agents: Path) -> None:
    report = agents / "report.xml"
    result = run("shop", "-d", str(agents), "-o", "json", "--junit", str(report))
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["version"], told["passed"], told["failed"]) == (1, 1, 1)
    good, bad = told["scenarios"]
    assert (good["agent"], good["scenario"], good["passed"], good["failures"]) == ("shop", "echoes", True, [])
    assert bad["failures"] == [{"place": f"{agents}/shop.yaml:11", "message": '"la" was not said, but: "Said hi."'}]
    suite = ElementTree.fromstring(report.read_text())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = {case.get("name"): case for case in suite}
    assert cases["echoes"].find("failure") is None
    assert cases["sings"].get("line") == "8"
    assert f"{agents}/shop.yaml:11" in (cases["sings"].findtext("failure") or "")


def test_a_file_that_cannot_be_used_exits_with_78_and_another_does_not_matter(agents: Path) -> None:
    (agents / "shop.yaml").write_text("llm: {\n")
    assert run("desk", "-d", str(agents)).exit_code == 0
    result = run("-d", str(agents))
    assert result.exit_code == 78
    assert "shop.yaml:" in result.stderr
    assert run(str(agents / "shop.yaml")).exit_code == 78


def test_an_unknown_name_exits_with_2_and_no_tests_are_no_failure(agents: Path) -> None:
    assert run("club", "-d", str(agents)).exit_code == 2
    result = run("desk", "-d", str(agents), "-k", "nothing like it")
    assert (result.exit_code, result.stdout) == (0, "There are no tests.\n")
