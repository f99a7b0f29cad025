"""A reload runs an agent's own tests first where its file asks for it: real tests, in their own process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.registry import Registry, installed
from tests.reload.directory import AGENT, Directory, problems, serving, states
from tests.runtime.daemon import Daemon
from tests.runtime.parts import FakeSession, registry

pytestmark = pytest.mark.timeout(90)  # processes that import much, on a machine that may be busy

TESTS = """\
tests:
  gate: {gate}
  llm: {{provider: scripted, replies: ["{answer}"]}}
  scenarios:
    - name: answers
      turns:
        - say: when do you open
          expect: {{contains: [nine]}}
"""


def desk(answer: str, *, gate: str = "true") -> str:
    return AGENT + TESTS.format(answer=answer, gate=gate)


class WithScripted(Directory):
    """Read with the scripted model too."""

    def load(self, serving: Mapping[str, str]) -> Loaded:
        scripted = [plugin for plugin in installed().plugins if plugin.name == "scripted"]
        known = Registry([*registry().plugins, *scripted])
        return load(self.path, DaemonConfig(), known, {}, serving=serving)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = WithScripted(tmp_path / "agents.d")
    made.write("desk.yaml", desk("At nine."))
    made.write("shop.yaml")
    return made


def revision(daemon: Daemon, call: str) -> str:
    return FakeSession.running[call].setup.definition.digest


async def test_a_revision_whose_tests_fail_is_refused_and_the_old_one_goes_on(
    tmp_path: Path, directory: Directory
) -> None:
    async with serving(tmp_path, directory) as daemon:
        supervisor = daemon.supervisor
        assert daemon.measures.of("test_runs_total", agent="desk", outcome="passed") == 1
        call = await daemon.call("desk")
        directory.write("desk.yaml", desk("Never."))
        directory.write("shop.yaml", f"instructions: new\n{AGENT}")
        [planned] = [each for each in (await supervisor.plan()).agents if each.agent == "desk"]
        assert planned.effect == "its tests run first (1 scenario); 1 call under way keeps what it has"
        outcome = await supervisor.reload()
        assert (outcome.applied, outcome.updated) == (False, ("shop",))
        [problem] = outcome.problems
        assert (problem.file, problem.line, problem.code) == (f"{directory.path}/desk.yaml", 12, "test-failed")
        assert problem.message == 'test "answers": "nine" was not said, but: "Never."'
        [told] = outcome.tests
        assert (told.agent, told.passed, told.failed) == ("desk", 0, 1)
        assert states(daemon) == {"desk": "stale", "shop": "serving"}
        assert problems(daemon, "desk") == ["test-failed"]
        assert revision(daemon, await daemon.call("desk")) == revision(daemon, call)
        [planned] = [each for each in (await supervisor.plan()).agents if each.agent == "desk"]
        assert planned.effect.startswith("its tests have failed (1 of 1 scenario); ")
        assert daemon.talks(call)


async def test_one_that_passes_serves_and_its_history_says_so(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        directory.write("desk.yaml", desk("We open at nine."))
        outcome = await daemon.supervisor.reload()
        assert (outcome.applied, outcome.updated) == (True, ("desk",))
        latest, first = await daemon.supervisor.revisions("desk")
        assert latest.tests is not None
        assert first.tests is not None
        assert (latest.tests.passed, latest.tests.failed, latest.state) == (1, 0, "serving")
        assert (await daemon.supervisor.revisions("shop"))[0].tests is None


async def test_what_has_failed_is_tried_again_when_somebody_asks_and_not_at_any_edit(
    tmp_path: Path, directory: Directory
) -> None:
    async with serving(tmp_path, directory) as daemon:
        directory.write("desk.yaml", desk("Never."))
        rollout = daemon.supervisor.rollout
        await rollout.reload()
        await rollout.reload()
        assert daemon.measures.of("test_runs_total", agent="desk", outcome="failed") == 1
        await daemon.supervisor.reload()
        assert daemon.measures.of("test_runs_total", agent="desk", outcome="failed") == 2
        assert states(daemon)["desk"] == "stale"


async def test_without_the_gate_tests_hold_nothing_up(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk.yaml", desk("Never.", gate="false"))
    async with serving(tmp_path, directory) as daemon:
        assert states(daemon)["desk"] == "serving"
        assert (await daemon.supervisor.reload()).tests == ()


async def test_what_has_passed_is_not_tried_again_by_the_next_daemon(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory):
        pass
    kept = json.loads((tmp_path / "state" / "tests.json").read_text())
    assert [(each["agent"], each["passed"], each["failed"]) for each in kept["verdicts"]] == [("desk", 1, 0)]
    async with serving(tmp_path, directory) as daemon:
        assert states(daemon)["desk"] == "serving"
        assert daemon.measures.of("test_runs_total") == 0


async def test_tests_that_take_their_process_down_refuse_the_revision(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        directory.write("desk.yaml", desk("We open at nine."))
        daemon.supervisor.gate._launch = _broken_launch  # type: ignore[assignment]
        outcome = await daemon.supervisor.reload()
        [problem] = outcome.problems
        assert problem.code == "test-failed"
        assert problem.message.startswith("its tests could not be run: ModuleNotFoundError: No module named 'no'")
        assert states(daemon)["desk"] == "stale"


def _broken_launch(name: str) -> object:
    from agentd.runtime.launch import launch_process

    return launch_process(name, module="no.such.module")
