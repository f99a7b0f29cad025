"""`agentd init`: what it writes is valid, commented, and never over what is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner, Result

from agentd.cli.init import STARTERS, TEMPLATES, summary
from agentd.cli.main import main
from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.registry import installed
from tests.test_documentation import environment_of

KEYLESS = {"minimal", "keyless"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_template_writes_is_valid(template: str, folder: Path) -> None:
    told = init("front-desk", "--template", template)
    assert told.exit_code == 0, told.output
    text = Path("agents.d/front-desk.yaml").read_text()
    environment = environment_of(text)
    loaded = load(Path("agents.d"), DaemonConfig(), installed(), environment)
    assert list(loaded.problems) == []
    assert list(loaded.agents) == ["front-desk"]
    assert text.count("#") >= 3
    written = {line.removeprefix("wrote ") for line in told.stdout.splitlines()}
    assert written == {str(path) for path in Path("agents.d").rglob("*") if path.is_file()}


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_a_template_needs_is_in_the_example_of_its_variables(template: str, folder: Path) -> None:
    init("a", "--template", template)
    example = Path("agents.d/a.env.example")
    if template in KEYLESS:
        assert not example.exists()
        return
    lines = [line for line in example.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(line.endswith("=") for line in lines)
    text = Path("agents.d/a.yaml").read_text()
    settings = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert {line.removesuffix("=") for line in lines} == set(environment_of(settings))


def test_every_template_is_listed_in_a_line(folder: Path) -> None:
    assert {path.stem for path in STARTERS.glob("*.yaml")} == set(TEMPLATES)
    listed = init("--list")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(TEMPLATES)
    assert all(summary(template) in listed.stdout and len(summary(template)) > 30 for template in TEMPLATES)


def test_python_tools_go_into_a_file_of_the_agents_own(folder: Path) -> None:
    init("front-desk", "--template", "tools")
    agent = yaml.safe_load(Path("agents.d/front-desk.yaml").read_text())
    refs = [tool["ref"] for tool in agent["tools"] if tool["type"] == "python"]
    assert refs == ["tools.front_desk:find_order", "tools.front_desk:cancel_order"]
    spec = importlib.util.spec_from_file_location("front_desk", "agents.d/tools/front_desk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.find_order("1042") == "shipped on Monday"
    context = SimpleNamespace(variables={})
    assert module.cancel_order(context, "1043") == "It is cancelled."
    assert context.variables == {"cancelled": "1043"}
    assert "cannot" in module.cancel_order(context, "1042")


@pytest.mark.parametrize("there", ["b/desk.yaml", "b/tools/desk.py", "b/desk.env.example"])
def test_what_is_there_stays_and_nothing_is_written_beside_it(there: str, folder: Path) -> None:
    Path(there).parent.mkdir(parents=True)
    Path(there).write_text("mine")
    told = init("desk", "--template", "tools", "--dir", "b")
    assert told.exit_code == 1
    assert told.stderr.startswith(f"Error: {there} is there already")
    assert Path(there).read_text() == "mine"
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / there]


def test_a_name_that_is_none_and_a_template_that_is_none_are_refused(folder: Path) -> None:
    assert init("Front Desk").exit_code == 2
    assert init("desk", "--template", "nothing").exit_code == 2
    assert init().exit_code == 2
    assert list(folder.iterdir()) == []


def test_it_says_what_to_do_next(folder: Path) -> None:
    assert "console desk --text" in init("desk").stderr
    assert "console desk -d b --text" in init("desk", "--dir", "b").stderr
    assert "validate --probe --env-file other.env" in init("other", "--template", "openai").stderr


def test_a_directory_that_cannot_be_written_is_told(folder: Path) -> None:
    Path("file").write_text("")
    told = init("desk", "--dir", "file")
    assert (told.exit_code, told.stderr.count("cannot be written")) == (1, 1)
