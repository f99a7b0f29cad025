"""What documentation, container file and carried files say is so."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentd.admin.claims import Deciding
from agentd.admin.metrics import PREFIX, Metrics
from agentd.admin.server import admin_application
from agentd.admin.settings import AdminSettings
from agentd.admin.talk import FILES, STATIC
from agentd.admin.token_endpoint import admit
from agentd.cli.main import main
from tests.admin.conftest import ENDPOINT, Serve
from tests.documents import blocks, shell_lines
from tests.fakes.daemon import FakeDaemon
from tests.tools_needed import needed

PROJECT = Path(__file__).parents[2]
PAGE = "docs/http.md"
HTTP_PAGE = (PROJECT / "docs" / "http.md").read_text(encoding="utf-8")
LIVEKIT_CLIENT_SHA256 = "fb646f2260d84f91238d0a2dc10726c456631d6a26c7cafc43cfee5959b4d31d"  # npm livekit-client 2.23.0


def commands(program: str) -> list[list[str]]:
    lines = [shlex.split(line) for page, line in shell_lines() if page == PAGE]
    return [line[1:] for line in lines if line[0] == program]


def test_the_page_names_every_path_that_is_served_and_no_other() -> None:
    application = admin_application(FakeDaemon(), AdminSettings(talk_page=True), Metrics(), ENDPOINT)
    served = {route.resource.canonical for route in application.router.routes() if route.resource}
    named = set(re.findall(r"`(?:GET|POST|PUT|DELETE) (/[^`]*)`", HTTP_PAGE))
    assert named == {path for path in served if not path.startswith("/talk")} - {"/api/token"}


def test_the_page_names_every_figure_that_is_exposed_and_no_other() -> None:
    metrics = Metrics()
    metrics.follow(FakeDaemon())
    exposed = set(re.findall(rf"^# TYPE ({PREFIX}\w+) ", metrics.text().decode(), re.MULTILINE))
    assert set(re.findall(rf"^\| `({PREFIX}\w+)`", HTTP_PAGE, re.MULTILINE)) == exposed


@pytest.mark.parametrize("arguments", commands("curl"), ids=" ".join)
async def test_each_curl_command_of_the_page_works(serve: Serve, arguments: list[str]) -> None:
    client = await serve(endpoint=ENDPOINT)
    url = next(argument for argument in arguments if argument.startswith("http"))
    body = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
    headers = dict([arguments[arguments.index("-H") + 1].split(": ")]) if "-H" in arguments else {}
    method = "POST" if body or "POST" in arguments else "GET"
    answer = await client.request(method, url.removeprefix("http://127.0.0.1:8081"), data=body, headers=headers)
    assert answer.status < 300


@pytest.mark.parametrize("arguments", commands("agentd"), ids=" ".join)
def test_each_agentd_command_of_the_page_is_understood(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, [*arguments, "--admin-addr", "127.0.0.1:9"])
    assert result.exit_code == 69  # understood, and nobody there: 2 would be a usage error


def test_each_token_request_of_the_page_is_taken() -> None:
    for block in blocks(PAGE, "json"):
        assert admit(json.loads(block), agents=["front-desk"], choose_room=False, nonce="n", deciding=Deciding()).agents


def test_the_carried_livekit_client_is_the_published_one() -> None:
    assert hashlib.sha256((STATIC / "livekit-client.umd.js").read_bytes()).hexdigest() == LIVEKIT_CLIENT_SHA256
    assert "livekit-client 2.23.0" in (STATIC / "licences.html").read_text(encoding="utf-8")


def test_the_talk_page_loads_only_files_that_we_serve() -> None:
    page = (STATIC / "talk.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)
    assert {path.removeprefix("/talk/") for path in loaded} == set(FILES)


def test_every_runtime_dependency_is_accounted_for_with_its_range() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (PROJECT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")
    extras = [
        entry
        for name in ("openai", "deepgram", "elevenlabs", "local", "languages")
        for entry in project["optional-dependencies"][name]
        if not entry.startswith("agentd[")
    ]
    for requirement in [*project["dependencies"], *extras]:
        name, version_range = re.fullmatch(r"([a-z0-9-]+)([<>=].*)", requirement).groups()
        assert f"| {name} | {version_range} |" in page, requirement


def test_hadolint_finds_nothing_in_the_container_file() -> None:
    checked = subprocess.run(
        [needed("hadolint"), str(PROJECT / "Dockerfile")], capture_output=True, text=True, timeout=15
    )
    assert (checked.stdout, checked.returncode) == ("", 0)


def test_the_container_runs_without_root_and_is_checked() -> None:
    final = (PROJECT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\\\n\s+CMD \[.*livez", final, re.MULTILINE)
    assert "pip install" not in final  # built in the first stage


async def test_the_containers_health_check_asks_the_daemon(serve: Serve) -> None:
    client = await serve()
    container_file = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    _, option, code = json.loads(re.search(r"^\s+CMD (\[.*\])$", container_file, re.MULTILINE).group(1))
    import asyncio

    async def check(addr: str) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, option, code, env={"AGENTD_ADMIN_ADDR": addr}, stderr=subprocess.DEVNULL
        )
        return await process.wait()

    assert await check(f"0.0.0.0:{client._base_url.port}") == 0
    assert await check("127.0.0.1:9") != 0
