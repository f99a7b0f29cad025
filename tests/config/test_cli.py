"""The verbs that read configuration, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from agentd import __version__
from agentd.cli import files
from agentd.cli.main import VERBS, main
from tests.config.files import PROVIDERS, write
from tests.fakes.plugins import fake_registry

SECRET = "canary-7f3a91"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OWL_API_KEY", SECRET)
    monkeypatch.setattr(files, "installed", fake_registry)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_good_files_exit_with_0(folder: Path) -> None:
    write(folder, {"agents.d/a.yaml": PROVIDERS})
    result = run("validate")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 valid agent, 0 errors, 0 warnings\n")


def test_errors_exit_with_78_one_a_line(folder: Path) -> None:
    write(folder, {"agents.d/a.yaml": f"{PROVIDERS}greting: x\n", "agents.d/b.yaml": "stt: {"})
    result = run("validate")
    assert result.exit_code == 78
    lines = result.stdout.splitlines()
    assert lines[0] == 'agents.d/a.yaml:4:1: error unknown-key: unknown key "greting" (did you mean "greeting"?)'
    assert len(lines) == 2
    assert result.stderr == "0 valid agents, 2 errors, 0 warnings\n"


def test_warnings_exit_with_3_when_strict(folder: Path) -> None:
    write(folder, {"agents.d/a.yaml": f"{PROVIDERS}recording: {{audio: true}}\n"})
    assert run("validate").exit_code == 0
    assert run("validate", "--strict").exit_code == 3


def test_json_and_github_formats(folder: Path) -> None:
    write(folder, {"agents.d/a.yaml": f"{PROVIDERS}greting: x\n", "agents.d/b.yaml": PROVIDERS})
    answer = json.loads(run("validate", "--format", "json").stdout)
    assert (answer["valid"], answer["agents"]) == (False, ["b"])
    assert answer["problems"][0]["pointer"] == "/greting"
    assert run("validate", "--format", "github").stdout == (
        "::error file=agents.d/a.yaml,line=4,col=1,title=unknown-key::"
        'unknown key "greting" (did you mean "greeting"?)\n'
    )


def test_single_files_and_other_directories(folder: Path) -> None:
    write(folder, {"x/a.yaml": PROVIDERS, "x/b.yaml": "nothing"})
    assert run("validate", "x/a.yaml").exit_code == 0
    assert run("validate", "x/b.yaml").exit_code == 78
    assert run("validate", "-d", "x").exit_code == 78
    assert run("validate", "nowhere").exit_code == 2
    assert run("validate", "--format", "xml").exit_code == 2


def test_the_daemons_file_is_checked_too(folder: Path) -> None:
    write(folder, {"agents.d/a.yaml": PROVIDERS, "agentd.yaml": "worker: 1\n"})
    result = run("validate")
    assert result.exit_code == 78
    assert result.stdout.startswith("agentd.yaml:1:1: error unknown-key")


def test_variables_come_from_an_env_file_under_the_environment(folder: Path) -> None:
    text = PROVIDERS + "description: ${FROM_FILE}-${OWL_API_KEY}\n"
    write(folder, {"agents.d/a.yaml": text, "vars": "# c\nexport FROM_FILE='one'\nOWL_API_KEY=other\n", "bad": "x y\n"})
    assert run("validate").exit_code == 78
    assert run("validate", "--env-file", "vars").exit_code == 0
    assert f"description: one-{SECRET}" in run("render", "a", "--env-file", "vars").stdout
    assert run("validate", "--env-file", "bad").exit_code == 2


def test_render_shows_everything_but_secrets(folder: Path) -> None:
    text = (
        PROVIDERS.replace("provider: owl", 'provider: owl, api_key: "${OWL_API_KEY:?}"')
        + "limits: {max_duration: 15m}\nvariables: {a: sk-abcdefghijklmnopqrstuvwx, u: 'https://me:pw-canary@x.example/'}\n"
        + 'tools:\n  - {type: webhook, name: t, description: d, url: "https://x.example", '
        + "secret: whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5, "
        + 'headers: {A: "Bearer ${OWL_API_KEY}", B: "pre-canary-${OWL_API_KEY}"}}\n'
    )
    write(folder, {"agents.d/a.yaml": text})
    result = run("render", "a")
    assert result.exit_code == 0, result.stderr
    shown = yaml.safe_load(result.stdout)
    assert shown["stt"]["api_key"] == "${OWL_API_KEY}"
    assert shown["limits"]["max_duration"] == "15m"
    assert shown["tools"][0]["secret"] == "***"
    assert shown["tools"][0]["headers"] == {"A": "Bearer ${OWL_API_KEY}", "B": "***${OWL_API_KEY}"}
    assert shown["variables"] == {"a": "***", "u": "https://me:***@x.example/"}
    assert json.loads(run("render", "a", "-o", "json").stdout) == shown
    for hidden in (SECRET, "whsec_", "sk-", "canary"):
        assert hidden not in result.stdout


def test_render_explains_what_is_not_there(folder: Path) -> None:
    write(folder, {"agents.d/desk.yaml": PROVIDERS, "agents.d/bad.yaml": "stt: 1\n"})
    assert 'did you mean "desk"?' in run("render", "desc").stderr
    broken = run("render", "bad")
    assert broken.exit_code == 78
    assert "agents.d/bad.yaml:1:6" in broken.stderr


def test_version() -> None:
    assert run("version").stdout == f"agentd {__version__}\n"
    assert json.loads(run("version", "--json").stdout)["agentd"] == __version__


def test_providers_are_listed() -> None:
    listed = json.loads(run("providers", "-o", "json").stdout)["providers"]
    assert {"kind": "vad", "provider": "silero"}.items() <= next(row for row in listed if row["kind"] == "vad").items()
    assert run("providers").stdout.startswith("KIND")


def test_schema_is_written_and_checked(tmp_path: Path) -> None:
    assert run("schema", "--check", "--root", str(tmp_path)).exit_code == 1
    assert run("schema", "--write", "--root", str(tmp_path)).exit_code == 0
    assert run("schema", "--check", "--root", str(tmp_path)).exit_code == 0
    assert json.loads((tmp_path / "schemas/agent.schema.json").read_text()) == json.loads(run("schema").stdout)
    (tmp_path / "docs/agent-file.md").write_text("old")
    stale = run("schema", "--check", "--root", str(tmp_path))
    assert (stale.exit_code, stale.stderr) == (1, "stale: docs/agent-file.md; run: agentd schema --write\n")


def test_help_lists_every_verb_and_a_typing_mistake_is_met() -> None:
    shown = run("--help").stdout
    assert all(verb in shown for verb in VERBS)
    wrong = run("validat")
    assert wrong.exit_code == 2
    assert 'Did you mean "validate"?' in wrong.stderr


def test_validating_imports_no_transport_and_no_provider_sdk(tmp_path: Path) -> None:
    code = """
import sys
from agentd.cli.main import main
try:
    main(["validate", sys.argv[1]])
except SystemExit as ended:
    assert ended.code == 0, ended.code
heavy = {"livekit", "numpy", "aiohttp", "openai", "deepgram", "elevenlabs", "onnxruntime", "faster_whisper"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    agents = Path(__file__).parents[2] / "agents.d"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(agents)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
