"""Going back is for when things go wrong: it waits neither for agents' tests nor for new code, however long they take,
and what they bring does not undo it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded
from agentd.runtime.launch import Launched, launch_process
from agentd.runtime.rehearsal_results import Failure, ScenarioResult
from agentd.runtime.rehearsing import Rehearse
from agentd.runtime.status import ReloadOutcome
from agentd.runtime.trial import FAILURES
from tests.reload.directory import AGENT, Directory, instructions, problems, serving, states, status
from tests.reload.test_code import OWL, Plugin, code_of, plugin, workers
from tests.reload.test_gate import WithScripted, desk
from tests.reload.test_quarantine import crashing_call, edited, good_call, version
from tests.runtime.daemon import Daemon, running, until
from tests.runtime.parts import FakeSettings, Files, definition

__all__ = ["plugin"]  # a fixture


class Slow:
    """Agents' tests that go on until they are let end."""

    def __init__(self, daemon: Daemon) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()
        self.tried: list[str] = []
        self.failure: tuple[Failure, ...] = ()
        daemon.supervisor.gate._rehearsed = self._rehearsed  # type: ignore[method-assign]

    async def _rehearsed(self, asked: Rehearse) -> Sequence[ScenarioResult]:
        self.tried.append(asked.definition.name)
        self.begun.set()
        await self.over.wait()
        name = asked.definition.name
        return [ScenarioResult(agent=name, scenario="answers", place="a.yaml:1", failures=self.failure)]


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = WithScripted(tmp_path / "agents.d")
    made.write("desk.yaml", version("good"))
    made.write("shop.yaml")
    return made


@asynccontextmanager
async def reloading(daemon: Daemon) -> AsyncIterator[asyncio.Task[ReloadOutcome]]:
    """A reload that is under way within the block."""
    async with asyncio.TaskGroup() as group:
        yield group.create_task(daemon.supervisor.reload())


async def test_a_rollback_is_served_while_another_agents_tests_run(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        first = status(daemon, "desk").revision
        await edited(daemon, directory, version("bad"))
        slow = Slow(daemon)
        directory.write("shop.yaml", desk("At nine."))
        async with reloading(daemon) as reload:
            await slow.begun.wait()
            assert await daemon.supervisor.roll_back("desk") == first
            assert not reload.done()
            assert instructions(daemon, await daemon.call("desk")) == "good"
            assert (states(daemon)["desk"], problems(daemon, "desk")) == ("rolled_back", ["rolled-back"])
            slow.over.set()
        assert (reload.result().updated, slow.tried) == (("shop",), ["shop"])
        assert states(daemon) == {"desk": "rolled_back", "shop": "serving"}
        assert instructions(daemon, await daemon.call("desk")) == "good"
        assert daemon.supervisor.generation() == 4


async def test_a_quarantine_falls_back_while_another_agents_tests_run(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("bad"))
        slow = Slow(daemon)
        directory.write("shop.yaml", desk("At nine."))
        async with reloading(daemon) as reload:
            await slow.begun.wait()
            for _ in range(FAILURES):
                await crashing_call(daemon)
            await until(lambda: states(daemon)["desk"] == "quarantined")
            assert not reload.done()
            assert instructions(daemon, await daemon.call("desk")) == "good"
            slow.over.set()
        assert not reload.result().applied, "the file still says what failed"
        assert states(daemon) == {"desk": "quarantined", "shop": "serving"}


@pytest.mark.parametrize("passes", [True, False])
async def test_what_fails_while_its_own_edit_is_tried_falls_back_and_the_edit_may_still_serve(
    tmp_path: Path, directory: Directory, *, passes: bool
) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("bad"))
        slow = Slow(daemon)
        slow.failure = () if passes else (Failure(place="a.yaml:1", message="no"),)
        directory.write("desk.yaml", f"instructions: mended\n{desk('At nine.')}")
        async with reloading(daemon):
            await slow.begun.wait()
            for _ in range(FAILURES):
                await crashing_call(daemon)
            await until(lambda: states(daemon)["desk"] == "quarantined")
            slow.over.set()
        assert states(daemon)["desk"] == ("serving" if passes else "stale")
        assert instructions(daemon, await daemon.call("desk")) == ("mended" if passes else "good")


async def test_a_canary_is_taken_back_while_tests_run(tmp_path: Path, directory: Directory) -> None:
    directory.write("next.yaml", f"instructions: next\nrollout: {{of: desk, percent: 100}}\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        assert instructions(daemon, await daemon.call("desk")) == "next"
        slow = Slow(daemon)
        directory.write("shop.yaml", desk("At nine."))
        async with reloading(daemon):
            await slow.begun.wait()
            await daemon.supervisor.roll_back("next")
            assert instructions(daemon, await daemon.call("desk")) == "good"
            slow.over.set()


async def test_a_rollback_and_a_reload_that_workers_prepare_come_one_after_the_other(tmp_path: Path) -> None:
    files = Story(definition("desk"), definition("shop"))
    async with running(tmp_path, files) as daemon:
        first = status(daemon, "desk").revision
        files.put(replace(definition("desk", "2")))
        await daemon.supervisor.reload()
        files.put(definition("shop", "2", llm=FakeSettings(label="slow", wait_s=0.2)))
        async with reloading(daemon):
            await until(lambda: all(worker.preparing for worker in daemon.supervisor.pool.ready))
            before = daemon.supervisor.generation()
            assert await daemon.supervisor.roll_back("desk") == first
            assert daemon.supervisor.generation() == before + 2, "what was being prepared came first"
        served = {name: daemon.supervisor.definition(name).digest for name in ("desk", "shop")}  # type: ignore[union-attr]
        assert served == {"desk": first, "shop": "shop-2"}
        for worker in daemon.supervisor.pool.ready:
            assert set(served.items()) <= worker.revisions


class Story(Files):
    """Files whose revisions can be made again."""

    def __init__(self, *definitions: AgentDefinition) -> None:
        super().__init__({each.name: each for each in definitions})

    def rebuild(self, copy: Path, file: str) -> Loaded:
        raise NotImplementedError("what has served in this process is known")


@pytest.mark.timeout(90)  # processes that import much
@pytest.mark.parametrize("can_make", [True, False])
async def test_a_rollback_does_not_wait_for_new_code_and_reaches_the_workers_that_bring_it(
    tmp_path: Path,
    plugin: Plugin,
    *,
    can_make: bool,
) -> None:
    """Else they would take calls of an agent that they have not made. `can_make`: whether the new code can."""
    files = Story(definition("desk", llm=FakeSettings(label="early")), definition("shop"))
    last, launch = asyncio.Event(), partial(launch_process, module="tests.reload.code_worker")
    async with running(tmp_path, files, launch=waiting(launch, "worker-4", last), code=plugin) as daemon:
        first = status(daemon, "desk").revision
        files.put(definition("desk", "2"))
        await daemon.supervisor.reload()
        plugin.write("owl.py", OWL.format("newer"))
        if not can_make:
            text = (plugin.path / "owl_llm.py").read_text()
            refusing = "    if settings.label == 'early':\n        raise ValueError('no early owls')\n    return"
            plugin.write("owl_llm.py", text.replace("    return", refusing))
        async with reloading(daemon) as reload:
            await until(lambda: workers(daemon).get("worker-3") == "standby", within_s=60)
            assert await daemon.supervisor.roll_back("desk") == first
            assert code_of(daemon, await daemon.call("desk")) == "old"
            last.set()
        code = reload.result().code
        assert code is not None
        assert code.state == ("replaced" if can_make else "refused")
        assert code_of(daemon, await daemon.call("desk")) == ("newer" if can_make else "old")
        assert status(daemon, "desk").revision == first
        assert all(("desk", first) in worker.revisions for worker in daemon.supervisor.pool.ready)
        if not can_make:
            assert any("no early owls" in problem.message for problem in reload.result().problems)


def waiting(launch: Callable[[str], Any], name: str, until_set: asyncio.Event) -> Callable[[str], Any]:
    @asynccontextmanager
    async def launched(worker: str) -> AsyncIterator[Launched]:
        if worker == name:
            await until_set.wait()
        async with launch(worker) as found:
            yield found

    return launched
