"""A plugin's code is edited on a real LiveKit server: the call under way goes on with the old, the next has the new."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon
from tests.system.caller import ended_journal, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

AGENT = """\
version: 1
name: owl
stt: {provider: scripted}
llm: {provider: owl}
tts: {provider: scripted, character: 25ms}
"""
PLUGIN = """\
from agentd.registry import Component, Plugin

plugin = Plugin(
    name="owl",
    version="1",
    components=(
        Component(
            kind="llm",
            provider="owl",
            settings="owl_plugin.config:Settings",
            factory="owl_plugin.llm:make",
            summary="An owl.",
        ),
    ),
)
"""
CONFIG = """\
from dataclasses import dataclass

from agentd.providers.llm import LLMSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(LLMSettings):
    pass
"""
LLM = """\
from agentd.providers.llm import TextDelta


class Owl:
    async def chat(self, request):
        said = [item.words for item in request.items if getattr(item, "role", "") == "user"]
        yield TextDelta(f"OWL hears {said[-1]}.")

    async def aclose(self):
        pass


async def make(settings):
    return Owl()
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Installed as pip would: a package, and beside it what names its entry point."""
    place = tmp_path / "site"
    package, about = place / "owl_plugin", place / "owl_plugin-1.dist-info"
    for folder in (package, about):
        folder.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: owl-plugin\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[agentd.plugins]\nowl = owl_plugin:plugin\n")
    (package / "__init__.py").write_text(PLUGIN)
    (package / "config.py").write_text(CONFIG)
    write(package, "The old owl")
    return package


def write(plugin: Path, owl: str) -> None:
    (plugin / "llm.py").write_text(LLM.replace("OWL", owl))


async def answer(caller: Caller, words: str) -> str:
    await caller.chat(words)
    await caller.until(lambda: any(words in caption.text for caption in caller.agent_captions()), 30)
    return caller.agent_captions()[-1].text.strip()


async def states(daemon: Daemon) -> dict[str, str]:
    return {worker["id"]: worker["state"] for worker in await daemon.workers()}


async def test_a_call_goes_on_with_the_old_code_and_the_next_has_the_new(
    server: Server, plugin: Path, tmp_path: Path
) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(plugin.parent)]))
    environment = {"AGENTD_STORE": str(tmp_path / "state"), "PYTHONPATH": path}
    async with running_daemon(server, {"owl.yaml": AGENT}, workers=2, environment=environment) as daemon:
        async with Caller.join(server, agent="owl", microphone=False) as caller:
            await caller.agent_state("listening", 30)
            assert await answer(caller, "one") == "The old owl hears one."
            [session] = await daemon.sessions()

            (plugin / "llm.py").write_text("import an_sdk_that_nobody_has\n")
            status, refused = await daemon.post("/v1/reload")
            assert (status, refused["code"]["state"]) == (422, "refused")
            assert "an_sdk_that_nobody_has" in refused["problems"][0]["message"]
            assert 'agentd_worker_replacements_total{outcome="refused"} 1.0' in await daemon.metrics()
            assert await answer(caller, "two") == "The old owl hears two."

            write(plugin, "The new and wiser owl")
            status, outcome = await daemon.post("/v1/reload")
            assert (status, outcome["code"]["state"]) == (200, "replaced")
            assert outcome["code"]["files"] == [str(plugin / "llm.py")]
            assert await answer(caller, "three") == "The old owl hears three."
            async with Caller.join(server, agent="owl", microphone=False) as late:
                await late.agent_state("listening", 30)
                assert await answer(late, "four") == "The new and wiser owl hears four."
                assert await answer(caller, "five") == "The old owl hears five."
                await late.leave()
            now = {each["id"]: each for each in await daemon.sessions()}[session["id"]]
            assert (now["worker"], now["incarnation"]) == (session["worker"], 1)
            assert (await states(daemon))[session["worker"]] == "draining"
            await caller.leave()

        async def retired() -> bool:
            found = await states(daemon)
            return sorted(found.values()) == ["ready", "ready"] and session["worker"] not in found

        await daemon.until(retired, 30)
        records = await ended_journal(tmp_path / "state", caller.room)
    assert "session.resumed" not in [record.kind for record in records]
