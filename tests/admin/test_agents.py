"""Agents over HTTP: files that are checked, written whole, and put back where no worker can make them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml
from yarl import URL

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.config.agent_files import AgentFiles, tag_of
from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.errors import Problem
from agentd.runtime.status import ReloadOutcome
from tests.admin.conformance import conforming
from tests.config.files import PROVIDERS, write
from tests.fakes.daemon import FakeDaemon, agent
from tests.fakes.plugins import fake_registry


def agent_file(name: str) -> str:
    return f"name: {name}\n{PROVIDERS}"


YAML = {"Content-Type": "application/yaml"}


@dataclass
class Desk:
    """An operator at a daemon whose agents are files in `directory`."""

    client: aiohttp.ClientSession
    directory: Path
    daemon: ReadingDaemon

    async def put(self, name: str, text: str, **headers: str) -> aiohttp.ClientResponse:
        told = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.client.put(f"/v1/agents/{name}", data=text, headers={**YAML, **told})

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory))


class ReadingDaemon(FakeDaemon):
    """Its agents are what the files say; `refused`: what its workers cannot make."""

    def __init__(self, read: AgentFiles) -> None:
        super().__init__()
        self.read = read
        self.refused: tuple[str, ...] = ()
        self.reloads = 0

    async def reload(self) -> ReloadOutcome:
        self.reloads += 1
        loaded: Loaded = self.read._load({})
        self.agent_list = tuple(
            agent(name, source=each.source, revision=each.digest) for name, each in loaded.agents.items()
        )
        problems = [
            Problem(file=each.source, line=1, column=1, pointer="", code="cannot-prepare", message="no such model")
            for each in loaded.agents.values()
            if each.name in self.refused
        ]
        return ReloadOutcome(applied=not problems, changed=True, generation=4, problems=tuple(problems))


@asynccontextmanager
async def desk_at(directory: Path, *, writable: bool = True) -> AsyncIterator[Desk]:
    def read(drafts: Mapping[str, str]) -> Loaded:
        return load(directory, DaemonConfig(), fake_registry(), {"OWL_API_KEY": "k"}, drafts=drafts)

    files = AgentFiles(directory, read)
    daemon = ReadingDaemon(files)
    await daemon.reload()
    settings = AdminSettings(addr="127.0.0.1:0", write_agents=writable)
    async with (
        serve_admin(daemon, settings, Metrics(), agent_files=files) as address,
        conforming(address) as client,
    ):
        yield Desk(client, directory, daemon)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    write(tmp_path, {"front-desk.yaml": agent_file("front-desk")})
    async with desk_at(tmp_path) as found:
        yield found


async def test_a_new_agent_is_a_file_that_serves(desk: Desk) -> None:
    answer = await desk.put("billing", agent_file("billing"))
    told = await answer.json()
    assert (answer.status, told["created"], told["agent"]["name"]) == (201, True, "billing")
    assert (desk.directory / "billing.yaml").read_text() == agent_file("billing")
    assert answer.headers["ETag"] == tag_of(agent_file("billing"))
    assert desk.files() == ["billing.yaml", "front-desk.yaml"]  # no draft is left


async def test_an_agent_may_be_json(desk: Desk) -> None:
    body = yaml.safe_load(agent_file("billing")) | {"description": "Für Rechnungen"}
    assert (await desk.client.put("/v1/agents/billing", json=body)).status == 201
    assert yaml.safe_load((desk.directory / "billing.yaml").read_text()) == body


async def test_a_broken_agent_changes_nothing_and_every_problem_is_told(desk: Desk) -> None:
    answer = await desk.put("billing", agent_file("billing") + "limts: {}\ngreting: {}\n")
    told = await answer.json()
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert [problem["code"] for problem in told["problems"]] == ["unknown-key", "unknown-key"]
    assert told["problems"][0]["line"] == agent_file("billing").count("\n") + 1
    assert desk.files() == ["front-desk.yaml"]


async def test_nobody_overwrites_what_they_have_not_seen(desk: Desk) -> None:
    first, second = agent_file("front-desk") + "description: one\n", agent_file("front-desk") + "description: two\n"
    seen = (await desk.client.get("/v1/agents/front-desk")).headers["ETag"]
    assert (await desk.put("front-desk", first)).status == 428
    assert (await desk.put("front-desk", first, If_None_Match="*")).status == 412
    assert (await desk.put("front-desk", first, If_Match=seen)).status == 200
    assert (await desk.put("front-desk", second, If_Match=seen)).status == 412
    assert (desk.directory / "front-desk.yaml").read_text() == first
    assert (await desk.put("front-desk", second, If_Match=tag_of(first))).status == 200
    assert (await desk.put("billing", agent_file("billing"), If_Match=seen)).status == 412


async def test_what_no_worker_can_make_is_put_back(desk: Desk) -> None:
    before = (desk.directory / "front-desk.yaml").read_text()
    desk.daemon.refused = ("front-desk", "billing")
    answer = await desk.put("front-desk", before + "description: new\n", If_Match="*")
    assert (answer.status, (await answer.json())["problems"][0]["code"]) == (422, "cannot-prepare")
    assert (await desk.put("billing", agent_file("billing"))).status == 422
    assert desk.files() == ["front-desk.yaml"]
    assert (desk.directory / "front-desk.yaml").read_text() == before


async def test_a_deleted_agent_drains(desk: Desk) -> None:
    assert (await desk.client.delete("/v1/agents/front-desk")).status == 428
    answer = await desk.client.delete("/v1/agents/front-desk", headers={"If-Match": "*"})
    assert await answer.json() == {"deleted": "front-desk", "sessions": 1}
    assert desk.files() == []
    assert (await desk.client.delete("/v1/agents/front-desk", headers={"If-Match": "*"})).status == 404


async def test_an_agent_of_another_file_is_not_taken_over(desk: Desk) -> None:
    write(desk.directory, {"all.yaml": agent_file("sales"), "zoo.yaml": agent_file("night")})
    for name in ("sales", "night"):  # before and after the others by its file's name
        answer = await desk.put(name, agent_file(name))
        assert (answer.status, (await answer.json())["problems"][0]["code"]) == (422, "duplicate-name")


@pytest.mark.parametrize("name", ["..%2Fetc", "UPPER", "a.b", "-a", "a" * 70])
async def test_a_name_that_is_none_is_no_path(desk: Desk, name: str) -> None:
    answer = await desk.client.put(URL(f"/v1/agents/{name}", encoded=True), data="{}", headers=YAML)
    assert answer.status == 409
    assert desk.files() == ["front-desk.yaml"]


async def test_a_file_names_its_own_agent_and_only_one(desk: Desk) -> None:
    other = await desk.put("billing", agent_file("sales"))
    two = await desk.put("billing", agent_file("billing") + "---\n" + agent_file("sales"))
    codes = [(await answer.json())["problems"][0]["code"] for answer in (other, two)]
    assert codes == ["other-name", "several-documents"]


async def test_a_linked_file_is_left_to_whoever_keeps_it(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("kept") / "billing.yaml"
    kept.write_text(agent_file("billing"))
    (desk.directory / "billing.yaml").symlink_to(kept)
    answer = await desk.put("billing", agent_file("billing"), If_Match="*")
    assert answer.status == 409
    assert "is a link" in (await answer.json())["detail"]


async def test_agents_are_written_only_where_the_daemon_allows_it(tmp_path: Path) -> None:
    write(tmp_path, {"front-desk.yaml": agent_file("front-desk")})
    async with desk_at(tmp_path, writable=False) as desk:
        assert (await desk.put("billing", agent_file("billing"))).status == 403
        assert (await desk.client.delete("/v1/agents/front-desk", headers={"If-Match": "*"})).status == 403
        checked = await desk.client.post("/v1/agents/validate", data=agent_file("billing"), headers=YAML)
        assert (await checked.json())["valid"]
        assert desk.files() == ["front-desk.yaml"]


async def test_validation_tells_what_a_change_of_an_agent_would(desk: Desk) -> None:
    good, bad = agent_file("front-desk") + "description: new\n", agent_file("front-desk") + "descripton: new\n"
    answers = [await desk.client.post("/v1/agents/validate", data=text, headers=YAML) for text in (good, bad)]
    told = [await answer.json() for answer in answers]
    assert [(each["valid"], each["name"]) for each in told] == [(True, "front-desk"), (False, "front-desk")]
    assert told[1]["problems"][0]["hint"] == 'did you mean "description"?'
    assert told[0]["revision"] not in ("", desk.daemon.agent_list[0].revision)
    assert desk.daemon.reloads == 1  # the one at the start
