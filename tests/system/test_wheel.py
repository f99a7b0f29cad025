"""The wheel, installed away from the source tree: it holds every file, and its commands, its console and its daemon
run from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentd.admin.talk import FILES
from agentd.loadtest.caller import Caller
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from tests.documents import ROOT
from tests.system.caller import server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SOURCES = ("agentd", "plugins", "pyproject.toml", "README.md", "LICENSE")  # what the Dockerfile copies
PLUGINS = ("deepgram", "elevenlabs", "local", "openai", "scripted")
EXAMPLE_KEYS = dict.fromkeys(("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "ELEVENLABS_API_KEY"), "a-key")

CLERK = """\
version: 1
name: clerk
greeting: {say: "Hello from the wheel."}
stt: {provider: scripted}
tts: {provider: scripted, character: 5ms}
llm:
  provider: scripted
  dialogue:
    start: ready
    states:
      ready: {expect: [{match: ["where are you"], goto: tell}]}
      tell: {tool: {name: place, say: "I am in {result}.", goto: ready}}
tools:
  - {type: python, ref: "tools.clerk:place"}
"""
PLACE = '''\
def place() -> str:
    """Where agentd is that runs this."""
    import agentd
    return agentd.__file__
'''


@dataclass(frozen=True, slots=True)
class Installed:
    """The wheel in an environment of its own. `folder`: an agents' directory lies there, and no source of agentd."""

    wheel: Path
    environment: Path
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "LIVEKIT_", "AGENTD_"))
        }
        return {**kept, "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str, typed: str = "", **variables: str) -> str:
        """What the command says; it succeeds."""
        ran = subprocess.run(
            [str(self.environment / "bin" / command[0]), *command[1:]],
            cwd=self.folder,
            env={**self.variables, **variables},
            input=typed,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("wheel")
    wheel = built(place / "source", place / "dist")
    environment = place / "environment"
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=100)
    lend_dependencies(environment)
    folder = place / "elsewhere"
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(ROOT / "agents.d", folder / "agents.d")
    (folder / "agents.d" / "clerk.yaml").write_text(CLERK)
    (folder / "agents.d" / "tools" / "clerk.py").write_text(PLACE)
    (folder / "numpy.py").write_text("raise SystemExit('a module of the working directory was imported')\n")
    return Installed(wheel, environment, folder)


def built(source: Path, out: Path) -> Path:
    """The wheel of the sources, built from a copy: the build leaves files beside them."""
    source.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=unwanted)
        else:
            shutil.copy(path, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def lend_dependencies(environment: Path) -> None:
    """Those of the environment that runs this test. Its `.pth` files, of which one names our source tree, are not
    read in a directory that is itself named by one."""
    (theirs,) = environment.glob("lib/python*/site-packages")
    ours = next(path for path in sys.path if Path(path).name == "site-packages" and (Path(path) / "aiohttp").is_dir())
    (theirs / "lent.pth").write_text(f"{ours}\n")


def test_the_wheel_holds_every_file_of_the_packages(installed: Installed) -> None:
    roots = (ROOT, ROOT / "plugins")
    ours = {
        path.relative_to(root).as_posix()
        for root in roots
        for package in root.glob("agentd*")
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not package.name.endswith(".egg-info")
    }
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert {f"agentd/admin/static/{name}" for name in (*FILES, "talk.html")} <= ours


def test_its_packages_are_imported_from_the_environment(installed: Installed) -> None:
    modules = ["agentd", *(f"agentd_{name}" for name in PLUGINS)]
    code = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {modules}), sep='\\n')"
    files = installed.run("python", "-P", "-c", code).splitlines()
    assert len(files) == len(modules)
    assert all(Path(file).is_relative_to(installed.environment) for file in files)


def test_version_providers_and_schemas(installed: Installed) -> None:
    version = json.loads(installed.run("agentd", "version", "--json"))
    assert version["agentd"] == installed.wheel.name.split("-")[1]
    assert sorted(version["plugins"]) == list(PLUGINS)
    providers = json.loads(installed.run("agentd", "providers", "--output", "json"))
    assert providers["broken"] == []
    assert {each["plugin"] for each in providers["providers"]} == set(PLUGINS)
    for kind in ("agent", "daemon"):
        assert installed.run("agentd", "schema", kind) == (ROOT / "schemas" / f"{kind}.schema.json").read_text()


def test_it_validates_the_examples(installed: Installed) -> None:
    answer = json.loads(installed.run("agentd", "validate", "--format", "json", "agents.d", "examples", **EXAMPLE_KEYS))
    assert answer["valid"], answer
    assert {"clerk", "front-desk", "parrot", "clinic"} <= set(answer["agents"])


def test_its_console_talks_and_runs_a_tool(installed: Installed) -> None:
    said = installed.run("agentd", "console", "clerk", "--text", typed="where are you\n")
    assert "Hello from the wheel." in said
    assert str(installed.environment) in said


def test_its_bench_measures_a_call(installed: Installed, credentials: LiveKitCredentials) -> None:
    """With the callers and the speech that it has itself."""
    (installed.folder / "bench.d").mkdir()
    (installed.folder / "bench.d" / "desk.yaml").write_text(zero_cost_agent("desk"))
    told = installed.run(
        *("agentd", "bench", "desk", "-d", "bench.d", "--calls", "1", "--seconds", "2", "--workers", "1", "-o", "json"),
        LIVEKIT_URL=credentials.url,
        LIVEKIT_API_KEY=credentials.api_key,
        LIVEKIT_API_SECRET=credentials.api_secret,
    )
    (step,) = json.loads(told)["steps"]
    assert step["v2v_s"]["n"] >= 1


async def test_its_daemon_shows_the_talk_page_and_holds_a_call(
    installed: Installed, credentials: LiveKitCredentials
) -> None:
    server = server_of(credentials)
    async with running_daemon(
        server,
        {"clerk.yaml": CLERK, "tools/clerk.py": PLACE},
        workers=1,
        flags=("--dev",),
        environment={"PYTHONPATH": ""},
        program=(str(installed.environment / "bin" / "agentd"),),
        cwd=installed.folder,
    ) as daemon:
        for name in ("", *(f"/{name}" for name in FILES)):
            async with daemon.http.get(f"{daemon.admin_url}/talk{name}") as page:
                assert page.status == 200
                assert len(await page.text()) > 100
        async with Caller.join(server, agent="clerk", microphone=False) as caller:
            await caller.agent_state("listening", 20)
            await caller.chat("where are you")
            await caller.until(lambda: any("I am in" in c.text for c in caller.agent_captions()), 20)
            said = " ".join(caption.text for caption in caller.agent_captions())
    assert str(installed.environment) in said
