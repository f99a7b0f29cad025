"""New code of a plugin, or of agentd, under calls: real worker processes, with a plugin's code that a test edits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentd.runtime.code import CodeFile, Reading
from agentd.runtime.launch import launch_process
from agentd.runtime.replacement import POOLS_AT_MOST
from agentd.runtime.status import ReloadOutcome
from tests.runtime.daemon import ROOT, Daemon, running, until
from tests.runtime.parts import FakeSettings, Files, definition

pytestmark = pytest.mark.timeout(90)  # processes that import much, on a machine that may be busy

OWL = "VERSION = {!r}\n"
LLM = """from tests.runtime.parts import FakeProvider

async def make_provider(settings):
    return FakeProvider(settings.label)
"""


@dataclass
class Plugin:
    """Its code on disk. `agentd`: names of files that are said to be agentd's own; `here`: those that the supervisor
    runs itself; `after`: called after a reading."""

    path: Path
    agentd: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)
    after: Callable[[], object] = lambda: None

    def write(self, name: str, text: str) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / name).write_text(text)

    def read(self) -> Reading:
        found = {
            str(path): CodeFile(origin="agentd" if path.name in self.agentd else "plugin", digest=path.read_text())
            for path in sorted(self.path.glob("*.py"))
        }
        self.after()
        return found

    def loaded(self) -> frozenset[str]:
        return frozenset(os.path.realpath(self.path / name) for name in self.here)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    made = Plugin(tmp_path / "owl")
    made.write("owl.py", OWL.format("old"))
    made.write("owl_llm.py", LLM)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(made.path)]))
    monkeypatch.setattr("agentd.runtime.replacement.loaded_here", made.loaded)
    return made


@asynccontextmanager
async def serving(tmp_path: Path, plugin: Plugin, **settings: Any) -> AsyncIterator[Daemon]:
    files = Files({"desk": definition("desk"), "shop": definition("shop")})
    launch = partial(launch_process, module="tests.reload.code_worker")
    async with running(tmp_path, files, launch=launch, code=plugin, **settings) as daemon:
        yield daemon


def code_of(daemon: Daemon, call: str) -> str:
    session = daemon.session(call)
    assert session is not None
    return session.caller


def workers(daemon: Daemon) -> dict[str, str]:
    return {worker.id: worker.state for worker in daemon.supervisor.workers()}


async def reloaded(daemon: Daemon, state: str | None, codes: Iterable[str] = ()) -> ReloadOutcome:
    outcome = await daemon.supervisor.reload()
    assert (outcome.code.state if outcome.code else None) == state, outcome
    assert [problem.code for problem in outcome.problems] == list(codes)
    return outcome


async def test_new_code_gets_new_workers_and_calls_under_way_keep_the_old(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin) as daemon:
        old = await daemon.call("desk")
        plugin.write("owl.py", OWL.format("newer"))
        outcome = await reloaded(daemon, "replaced")
        assert outcome.applied
        assert outcome.code is not None
        assert outcome.code.files == (str(plugin.path / "owl.py"),)
        assert outcome.code.workers == ("worker-3", "worker-4")
        new = await daemon.call("desk")
        assert (code_of(daemon, old), code_of(daemon, new)) == ("old", "newer")
        assert daemon.session(old).incarnation == 1  # type: ignore[union-attr]
        held_by = daemon.session(old).worker  # type: ignore[union-attr]
        await until(lambda: workers(daemon) == {held_by: "draining", "worker-3": "ready", "worker-4": "ready"})
        assert [worker.pool for worker in daemon.supervisor.workers()] == [1, 2, 2]
        await daemon.hang_up(old)
        await until(lambda: workers(daemon) == {"worker-3": "ready", "worker-4": "ready"})
        assert daemon.talks(new)
        assert daemon.measures.of("worker_restarts_total") == 0
        assert daemon.measures.of("worker_replacements_total", outcome="replaced") == 1
        await reloaded(daemon, None)


async def test_no_call_gets_new_code_before_every_worker_of_it_is_ready(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        reading = daemon.supervisor.rollout.reload(code=True)
        async with _task(reading):
            await until(lambda: workers(daemon).get("worker-3") == "standby")
            assert code_of(daemon, await daemon.call("desk")) == "old"
            assert "ready" not in (workers(daemon).get("worker-3"), workers(daemon).get("worker-4"))
        assert code_of(daemon, await daemon.call("desk")) == "newer"


@asynccontextmanager
async def _task(work: Any) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)
        yield


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("owl.py", "VERSION = nothing_of_the_kind\n", "NameError: name 'nothing_of_the_kind' is not defined"),
        ("owl.py", "def broken(:\n", "SyntaxError"),
        ("owl_llm.py", "import no_such_sdk\n", "cannot load owl_llm:make_provider: No module named 'no_such_sdk'"),
        ("owl_llm.py", "def broken(:\n", "cannot load owl_llm:make_provider: SyntaxError"),
    ],
)
async def test_code_that_cannot_be_run_changes_nothing_and_is_told(
    tmp_path: Path, plugin: Plugin, name: str, text: str, why: str
) -> None:
    async with serving(tmp_path, plugin, workers=1) as daemon:
        call = await daemon.call("desk")
        good = (plugin.path / name).read_text()
        plugin.write(name, text)
        outcome = await reloaded(daemon, "refused", ["code-refused"])
        assert not outcome.applied
        assert why in outcome.problems[0].message
        assert outcome.problems[0].file == str(plugin.path / name)
        assert daemon.talks(call)
        assert code_of(daemon, await daemon.call("shop")) == "old"
        assert any("earlier code" in reason for reason in daemon.supervisor.readiness().reasons)
        assert daemon.measures.of("worker_replacements_total", outcome="refused") == 1
        assert daemon.measures.of("worker_restarts_total") == 0
        await until(lambda: workers(daemon) == {"worker-1": "ready"})
        plugin.write(name, good)
        await reloaded(daemon, None)
        assert daemon.supervisor.readiness().ready


async def test_one_agent_that_the_new_code_cannot_make_keeps_the_old_workers(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin) as daemon:
        daemon.files.put(definition("club", llm=FakeSettings(label="barn")))
        await daemon.supervisor.reload()
        refusing = "    if settings.label == 'barn':\n        raise ValueError('no barn owls')\n    return"
        plugin.write("owl_llm.py", LLM.replace("    return", refusing))
        outcome = await reloaded(daemon, "refused", ["code-refused"])
        assert 'agent "club" cannot be made: llm fake: ValueError: no barn owls' in outcome.problems[0].message
        assert code_of(daemon, await daemon.call("desk")) == "old"


async def test_edits_of_files_apply_beside_code_that_is_refused(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin, workers=1) as daemon:
        plugin.write("owl.py", "nothing\n")
        daemon.files.put(definition("club"))
        outcome = await reloaded(daemon, "refused", ["code-refused"])
        assert outcome.added == ("club",)
        assert code_of(daemon, await daemon.call("club")) == "old"


async def test_an_edit_of_files_alone_does_not_look_at_the_code(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin, workers=1) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        outcome = await daemon.supervisor.rollout.reload()
        assert outcome.code is None
        assert workers(daemon) == {"worker-1": "ready"}


async def test_code_that_changes_while_workers_start_is_not_taken_half(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin, workers=1) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        plugin.after = lambda: plugin.write("owl_llm.py", f"{LLM}# more\n")
        outcome = await reloaded(daemon, "refused", ["code-refused"])
        assert "changed again" in outcome.problems[0].message
        plugin.after = lambda: None
        await reloaded(daemon, "replaced")
        assert code_of(daemon, await daemon.call("desk")) == "newer"


async def test_a_bounded_number_of_pools_is_alive_and_the_next_waits_for_calls_to_end(
    tmp_path: Path, plugin: Plugin
) -> None:
    async with serving(tmp_path, plugin, workers=1) as daemon:
        calls = [await daemon.call("desk")]
        for number in range(2, POOLS_AT_MOST + 1):
            plugin.write("owl.py", OWL.format("n" * number))
            await reloaded(daemon, "replaced")
            calls.append(await daemon.call("desk"))
        plugin.write("owl.py", OWL.format("latest of all"))
        outcome = await reloaded(daemon, "waits", ["code-waits"])
        assert outcome.applied, "nothing is wrong with it"
        assert len(workers(daemon)) == POOLS_AT_MOST
        await daemon.hang_up(calls[0])
        await until(lambda: daemon.measures.of("worker_replacements_total", outcome="replaced") == POOLS_AT_MOST)
        assert code_of(daemon, await daemon.call("desk")) == "latest of all"
        assert all(daemon.talks(call) for call in calls[1:])
        assert daemon.supervisor.rollout.problems == ()


async def test_calls_that_outstay_the_drain_deadline_are_ended(tmp_path: Path, plugin: Plugin) -> None:
    async with serving(tmp_path, plugin, workers=1, drain_timeout_s=0.2) as daemon:
        old = await daemon.call("desk")
        plugin.write("owl.py", OWL.format("newer"))
        await reloaded(daemon, "replaced")
        new = await daemon.call("desk")
        await until(lambda: daemon.session(old) is None)
        assert daemon.measures.of("sessions_total", agent="desk", reason="drain_deadline") == 1
        await until(lambda: workers(daemon) == {"worker-2": "ready"})
        assert daemon.talks(new)


async def test_a_worker_that_dies_while_its_successors_start_is_not_one_too_many(
    tmp_path: Path, plugin: Plugin
) -> None:
    async with serving(tmp_path, plugin) as daemon:
        call = await daemon.call("desk")
        held_by = daemon.session(call).worker  # type: ignore[union-attr]
        plugin.write("owl.py", OWL.format("newer"))
        async with _task(daemon.supervisor.rollout.reload(code=True)):
            await until(lambda: workers(daemon).get("worker-3") == "standby")
            daemon.kill(held_by)
        await until(lambda: daemon.talks(call))
        await until(lambda: sum(state == "ready" for state in workers(daemon).values()) == 2)
        await until(lambda: set(workers(daemon).values()) == {"ready", "draining"} or len(workers(daemon)) == 2)
        assert {name for name, state in workers(daemon).items() if state == "ready"} == {"worker-3", "worker-4"}


async def test_agentds_own_code_that_the_supervisor_runs_needs_an_upgrade(tmp_path: Path, plugin: Plugin) -> None:
    plugin.agentd, plugin.here = {"owl.py"}, {"owl.py"}
    async with serving(tmp_path, plugin, workers=1) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        plugin.write("owl_llm.py", f"{LLM}# more\n")
        outcome = await reloaded(daemon, "needs_upgrade", ["needs-upgrade"])
        assert outcome.applied
        assert outcome.problems[0].severity == "warning"
        assert workers(daemon) == {"worker-1": "ready"}
        assert {change.reload for change in (await daemon.supervisor.plan()).daemon} == {"restart"}
        assert daemon.supervisor.readiness().ready


async def test_a_plugins_code_that_the_supervisor_runs_too_is_given_to_workers_and_told(
    tmp_path: Path, plugin: Plugin
) -> None:
    plugin.here = {"owl.py"}
    async with serving(tmp_path, plugin, workers=1) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        [change] = (await daemon.supervisor.plan()).daemon
        assert (change.path, change.reload, change.origin) == (str(plugin.path / "owl.py"), "next_session", "plugin")
        await reloaded(daemon, "replaced", ["needs-upgrade"])
        assert code_of(daemon, await daemon.call("desk")) == "newer"
        [change] = (await daemon.supervisor.plan()).daemon
        assert change.reload == "restart"


async def test_workers_inside_the_daemons_process_need_a_restart(tmp_path: Path, plugin: Plugin) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, workers=0, code=plugin) as daemon:
        plugin.write("owl.py", OWL.format("newer"))
        outcome = await reloaded(daemon, "needs_upgrade", ["needs-upgrade"])
        assert "workers: 0" in outcome.problems[0].message
        assert {change.reload for change in (await daemon.supervisor.plan()).daemon} == {"restart"}
