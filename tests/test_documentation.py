"""Every example in README, docs/, agents.d/ and examples/ works, and what pages name is there.

The Python and JSON of python-tools.md, webhooks.md, events.md and job-context.md run in tests/tools/test_docs.py,
requests and figures of http.md in tests/admin/test_documents.py; exit codes and signals of operations/ in
tests/cli/test_serve.py and tests/system/test_daemon.py, its promises in tests/reload/; examples/ are read in
tests/plugins/test_cloud_plugins.py.
"""

from __future__ import annotations

import ast
import base64
import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from agentd.cli.main import VERBS, main
from agentd.config.daemon import DaemonConfig, from_environment, load_daemon
from agentd.config.load import load
from agentd.config.shapes import fields_of
from agentd.errors import Problem
from agentd.registry import installed
from tests.documents import ROOT, Block, all_blocks, blocks, code_words, name_of, pages, prose, shell_lines

LOCAL = {"stt": "{provider: whisper}", "llm": '{provider: scripted, replies: ["Yes."]}', "tts": "{provider: hibari}"}
PYTHON_PAGES = ("docs/python-tools.md", "docs/events.md", "docs/job-context.md")
YAML = [block for block in all_blocks() if block.language == "yaml"]
SHIPPED = sorted((ROOT / "agents.d").glob("*.yaml"))
COMMANDS = sorted(
    {(page, text) for page, text in shell_lines() if re.match(r"(\.venv/bin/)?agentd\b", text)}
    | {(page, text) for page, text in code_words() if text.startswith("agentd ") and "<" not in text}
)
TOP_LEVEL = {path.name for path in ROOT.iterdir()}


# Agent files, and agentd.yaml


def environment_of(text: str) -> dict[str, str]:
    """A value for every variable that the text needs."""
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    names = re.findall(r"\$\{([A-Z_]+)(?!\w|:-)", text)
    return {name: secret if name.endswith("WHSEC") else "a-value" for name in names}


def problems_of(text: str, folder: Path) -> list[Problem]:
    """What is wrong with a part of an agent file, or of agentd.yaml; missing providers are the local ones."""
    environment = environment_of(text)
    keys = set(yaml.safe_load(text))
    if keys <= {field.key for field in fields_of(DaemonConfig)}:
        (folder / "agentd.yaml").write_text(text)
        return list(load_daemon(folder / "agentd.yaml", environment).problems)
    for block in (block for page in PYTHON_PAGES for block in blocks(page, "python")):
        path = folder / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    local = {} if "realtime" in keys else LOCAL
    missing = "".join(f"{key}: {value}\n" for key, value in local.items() if key not in keys)
    (folder / "agents.d").mkdir(exist_ok=True)
    (folder / "agents.d" / "example.yaml").write_text(text + missing)
    for named in set(re.findall(r"\bagent: ([a-z-]+)", text)):
        (folder / "agents.d" / f"{named}.yaml").write_text(missing)
    if rollout := yaml.safe_load(text).get("rollout"):
        other = "".join(f"{key}: {value}\n" for key, value in LOCAL.items())
        (folder / "agents.d" / f"{rollout['of']}.yaml").write_text(other)
    return list(load(folder / "agents.d", DaemonConfig(), installed(), environment).problems)


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.id)
def test_each_yaml_example_is_valid(block: Block, tmp_path: Path) -> None:
    assert problems_of(block.text, tmp_path) == []


def test_a_mistake_in_an_example_would_be_found(tmp_path: Path) -> None:
    assert [problem.code for problem in problems_of("turn: {endpoint: {}}\n", tmp_path)] == ["unknown-key"]
    assert [problem.code for problem in problems_of("drain_timeout: 5\n", tmp_path)] != []


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_the_agents_that_are_shipped_are_valid_and_need_no_key(path: Path) -> None:
    loaded = load(path.parent, DaemonConfig(), installed(), {}, only=(path.name,))
    assert list(loaded.problems) == []
    (agent,) = loaded.agents.values()
    named = {choice.provider for choice in (agent.vad, agent.stt, agent.llm, agent.tts)}
    assert named <= {"silero", "whisper", "scripted", "hibari"}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=name_of)
def test_an_example_names_the_keys_that_it_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert environment_of(text)
    assert all(name in comments for name in environment_of(text))


@pytest.mark.parametrize("folder", sorted({path.parent for path in (ROOT / "examples").glob("*/*.yaml")}), ids=name_of)
def test_a_workflow_is_valid_with_the_secrets_that_it_names(folder: Path) -> None:
    environment = environment_of("".join(path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")))
    assert list(load(folder, DaemonConfig(), installed(), environment).problems) == []


# Commands


def understood(arguments: list[str]) -> click.Context:
    """The context of an `agentd` command line. Raises click.UsageError as the program would."""
    verb, *rest = arguments
    command = main.get_command(click.Context(main), verb)
    if command is None:
        raise click.UsageError(f"no such command: {verb}")
    return command.make_context(verb, rest, resilient_parsing=not rest)  # a verb alone is named, not called


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_each_agentd_command_is_understood(page: str, line: str) -> None:
    _, *arguments = itertools.takewhile(lambda word: word != ">", shlex.split(line))
    understood(arguments)


def test_an_option_that_does_not_exist_would_be_found() -> None:
    for wrong in (["serve", "--wrokers", "2"], ["sevre"], ["get", "agent"], ["render", "a", "b"]):
        with pytest.raises(click.UsageError):
            understood(wrong)


@cache
def options() -> frozenset[str]:
    verbs = [verb for name in VERBS if (verb := main.get_command(click.Context(main), name))]
    verbs += [below for verb in verbs if isinstance(verb, click.Group) for below in verb.commands.values()]
    parameters = [parameter for verb in verbs for parameter in verb.params]
    return frozenset(name for each in parameters for name in (*each.opts, *each.secondary_opts))


def test_each_option_that_a_sentence_names_exists() -> None:
    named = {(page, option) for page, text in code_words() for option in re.findall(r"^(--[a-z-]+)", text)}
    strange = {(page, option) for page, option in named if option not in options() and not _of_a_benchmark(option)}
    assert strange == set()


def _of_a_benchmark(option: str) -> bool:
    return any(f'"{option}"' in path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))


def other_lines() -> Iterator[tuple[str, list[str]]]:
    for page, line in sorted(
        {*shell_lines(), *((p, t) for p, t in code_words() if t.startswith(("make ", "python ")))}
    ):
        words = shlex.split(line)
        if not words[0].endswith("agentd"):
            yield page, words


OTHERS = list(other_lines())


@pytest.mark.parametrize(("page", "words"), OTHERS, ids=[f"{page}: {' '.join(words)}" for page, words in OTHERS])
def test_each_other_command_names_what_is_there(page: str, words: list[str]) -> None:
    match words:
        case ["make", *targets]:
            subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True, timeout=15)
        case ["python" | ".venv/bin/python", "-m", module, *rest] if module.startswith("bench"):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()
            assert all(_of_a_benchmark(word) for word in rest if word.startswith("--"))
        case ["python", "-m", "pip", *_]:
            pass
        case ["python" | ".venv/bin/python", "-m", "pytest", *paths]:
            assert all((ROOT / path.partition("::")[0]).exists() for path in paths if not path.startswith("-"))
        case ["python" | ".venv/bin/python", script, *_] if script.endswith(".py"):
            assert (ROOT / script).exists()
        case ["curl", *_] if ("docs/http.md", words) in OTHERS:
            pass  # asked in tests/admin/test_documents.py
        case ["helm", "install" | "upgrade", _, chart, *settings]:  # what it makes is looked at in tests/deploy
            assert (ROOT / chart / "Chart.yaml").exists()
            assert all((ROOT / each.rpartition("=")[2]).exists() for each in settings if "=agents.d/" in each)
        case ["cp" | "install", *paths]:
            assert all((ROOT / path).exists() for path in paths if path.startswith(("deploy/", "agents.d")))
        case ["python3", "-m", "venv", _] | ["/opt/agentd/bin/pip" | "printf" | "export", *_]:
            pass  # how one installs what is here, in tests/system/test_wheel.py
        case ["docker" | "systemctl" | "journalctl" | "kill" | "bash" | "pip" | "find" | "apt-get", *_]:
            pass  # another program, or a choice of ours without a file
        case _:
            pytest.fail(f"nothing checks: {shlex.join(words)}")


def test_each_block_is_in_a_language_that_is_checked() -> None:
    elsewhere = {
        ("docs/python-tools.md", "python"), ("docs/webhooks.md", "python"), ("docs/webhooks.md", "json"),
        ("docs/http.md", "json"), ("docs/events.md", "python"), ("docs/job-context.md", "python"),
    }  # fmt: skip
    checked = {"yaml", "sh", "console", "text", "ini"}  # text: drawings, and lines that a program prints
    unchecked = {(block.page, block.language) for block in all_blocks() if block.language not in checked} - elsewhere
    assert unchecked == set()


# Names


def test_each_variable_of_the_environment_is_read() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for page in pages():
        for name in set(re.findall(r"\bAGENTD_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8"))):
            known = from_environment({name.removesuffix("_FILE"): "1"}).entries
            assert known or f'"{name}"' in sources, f"{name_of(page)}: {name}"


def test_each_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    broken = []
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            if not found.exists() or (anchor and anchor not in _anchors(found)):
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_path_that_a_page_names_is_there() -> None:
    missing = []
    for page, text in code_words():
        path = re.sub(r"(:[\w.]+|::.*)$", "", text)
        if not re.fullmatch(r"[\w.*/-]+", path) or "/" not in path or path.split("/")[0] not in TOP_LEVEL - {".cache"}:
            continue
        if not any(ROOT.glob(path.rstrip("/"))) and text not in ALLOWED_PATHS:
            missing.append(f"{page}: {text}")
    assert missing == []


ALLOWED_PATHS = {"agentd/agentd", "agents.d/tools/clinic.py"}  # an image's name; the example of python-tools.md


def test_each_name_in_code_is_defined_in_its_file() -> None:
    """`agentd/session/turns.py:TurnMachine` is a name in that file."""
    wrong = []
    for page, text in code_words():
        if found := re.fullmatch(r"([\w./-]+\.py):(\w+)", text):
            path = ROOT / found[1]
            if not path.exists() or found[2] not in _defined(path):
                wrong.append(f"{page}: {text}")
    assert wrong == []


@cache
def _defined(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return frozenset(names)


def test_each_page_is_found_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        if page.name != "index.md":
            assert f"({page.name})" in index, page.name
    operations = (ROOT / "docs" / "operations" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "operations").glob("*.md")):
        if page.name != "index.md":
            assert f"({page.name})" in operations, page.name
    decisions = {page.name for page in (ROOT / "docs" / "decisions").glob("*.md")}
    listed = set(re.findall(r"\(decisions/([\w-]+\.md)\)", index))
    assert decisions == listed


# operations/


OPERATIONS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "operations").glob("*.md")))


def test_the_pages_of_operations_name_every_verb_and_exit_code_and_no_other() -> None:
    assert set(re.findall(r"^\| `agentd (\w+)", OPERATIONS, re.MULTILINE)) == set(VERBS)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "agentd" / "cli").glob("*.py")]
    codes = {int(code) for text in sources for code in re.findall(r"^EXIT_\w+ = (\d+)", text, re.MULTILINE)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", OPERATIONS, re.MULTILINE)} == codes | {0, 1, 2}


def test_the_runbook_names_every_alert_and_no_other() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    runbook = (ROOT / "docs" / "operations" / "runbook.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(Agentd\w+)`", runbook)) == alerts


def test_each_log_line_that_the_page_names_is_written_with_these_fields() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "agentd").rglob("*.py"))
    rows = re.findall(r"^\| `([^`]+)` \| (?:debug|info|warning|error) \| (.*?) \|", OPERATIONS, re.MULTILINE)
    assert len(rows) >= 10
    for message, fields in rows:
        assert f'"{message}"' in sources, message
        for field in re.findall(r"`(\w+)`", fields):
            assert re.search(rf'"{field}":|\b{field}=', sources), f"{message}: {field}"


def test_the_options_of_serve_are_all_described() -> None:
    serve = main.get_command(click.Context(main), "serve")
    assert serve is not None
    for parameter in serve.params:
        for option in parameter.opts:
            assert option in OPERATIONS or option.startswith("--help"), option


def test_the_systemd_unit_starts_a_command_that_is_understood() -> None:
    unit = (ROOT / "deploy" / "agentd.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert command is not None
    path, *arguments = shlex.split(command[1])
    assert os.path.basename(path) == "agentd"
    assert understood(arguments).command.name == "serve"
    assert "Type=notify\n" in unit  # Debian 12's systemd does not know notify-reload
