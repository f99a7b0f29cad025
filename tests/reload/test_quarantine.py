"""Promise 8: a definition that passes the check and then fails at run time falls back to its last known good; and what
holds of revisions: three of an agent at most, each to be gone back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.runtime.probation import RollbackRefused
from agentd.runtime.trial import FAILURES, PROBATION_CALLS
from agentd.tools.acts import SayText
from tests.reload.directory import AGENT, Directory, instructions, problems, serving, states, status
from tests.runtime.daemon import Daemon, until
from tests.runtime.parts import FakeSession, FakeTools


def version(name: str) -> str:
    return f"instructions: {name}\n{AGENT}"


async def good_call(daemon: Daemon, agent: str = "desk") -> None:
    call = await daemon.call(agent)
    FakeSession.running[call].record("turn.agent", purpose="answer", text="Yes.", interrupted=False, latencies={})
    await daemon.hang_up(call)


async def crashing_call(daemon: Daemon, agent: str = "desk") -> None:
    call = await daemon.call(agent)
    daemon.supervisor.calls.control(call, SayText(text="crash"))
    await until(lambda: daemon.session(call) is None)


async def call_whose_hook_fails(daemon: Daemon, agent: str = "desk") -> None:
    call = await daemon.call(agent)
    FakeSession.running[call].record(
        "hook.completed", hook=0, on="session_started", event="session_started", outcome="crashed", message="boom",
        place="desk.yaml:3", duration_s=0.1,
    )  # fmt: skip
    await daemon.hang_up(call)


async def edited(daemon: Daemon, directory: Directory, text: str, name: str = "desk") -> None:
    directory.write(f"{name}.yaml", text)
    await daemon.supervisor.reload()


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = Directory(tmp_path / "agents.d")
    made.write("desk.yaml", version("good"))
    made.write("shop.yaml")
    return made


@pytest.mark.parametrize("failing", [crashing_call, call_whose_hook_fails])
async def test_8_a_version_that_fails_in_ten_calls_falls_back(tmp_path: Path, directory: Directory, failing) -> None:  # type: ignore[no-untyped-def]
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("bad"))
        bad = status(daemon, "desk").revision
        steady = await daemon.call("shop")
        for _ in range(FAILURES - 1):
            await failing(daemon)
        assert states(daemon)["desk"] == "serving"
        await failing(daemon)
        await until(lambda: states(daemon)["desk"] == "quarantined")
        assert instructions(daemon, await daemon.call("desk")) == "good"
        told = status(daemon, "desk")
        assert told.refused == bad
        assert told.callable
        assert [problem.code for problem in told.problems] == ["quarantined"]
        assert f"{FAILURES} of its first {FAILURES} calls failed" in told.problems[0].message
        assert daemon.measures.of("definitions_quarantined_total", agent="desk") == 1
        assert any("desk.yaml" in reason for reason in daemon.supervisor.readiness().reasons)
        assert daemon.talks(steady)
        assert not (await daemon.supervisor.reload()).applied, "the file still says what failed"
        await edited(daemon, directory, version("mended"))
        assert states(daemon)["desk"] == "serving"
        assert daemon.supervisor.readiness().ready
        assert instructions(daemon, await daemon.call("desk")) == "mended"


async def test_8_what_is_known_outlives_the_daemon(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("bad"))
        for _ in range(FAILURES):
            await crashing_call(daemon)
        await until(lambda: states(daemon)["desk"] == "quarantined")
    async with serving(tmp_path, directory, wait=False) as daemon:
        await until(lambda: len(daemon.supervisor.pool.ready) == 2 and "desk" in states(daemon))
        assert states(daemon) == {"desk": "quarantined", "shop": "serving"}
        await until(lambda: daemon.registrations["desk"].registered)
        assert instructions(daemon, await daemon.call("desk")) == "good"
        await edited(daemon, directory, version("mended"))
        assert states(daemon)["desk"] == "serving"


async def test_8_a_fall_back_brings_the_tools_code_of_its_time(tmp_path: Path, directory: Directory) -> None:
    tool = "tools: [{type: python, ref: 'tools.clock:now'}]\n"
    directory.write("tools/clock.py", "def now() -> str:\n    return 'early'\n")
    directory.write("tools/data.txt", "beside it")
    directory.write("desk.yaml", version("good") + tool)
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        directory.write("tools/clock.py", "def now() -> str:\n    return 1 / 0\n")
        await daemon.supervisor.reload()
        for _ in range(FAILURES):
            await call_whose_hook_fails(daemon)
        await until(lambda: states(daemon)["desk"] == "quarantined")
        tools: FakeTools = FakeSession.running[await daemon.call("desk")].setup.tools  # type: ignore[assignment]
        kept = Path(tools.kit.root)
        assert "early" in (kept / "tools/clock.py").read_text()
        assert (kept / "tools/data.txt").read_text() == "beside it"


async def test_6_a_call_that_loses_its_worker_keeps_the_code_that_it_began_with(
    tmp_path: Path, directory: Directory
) -> None:
    directory.write("tools/clock.py", "def now() -> str:\n    return 'early'\n")
    directory.write("desk.yaml", version("old") + "tools: [{type: python, ref: 'tools.clock:now'}]\n")
    async with serving(tmp_path, directory) as daemon:
        call = await daemon.call("desk")
        directory.write("tools/clock.py", "def now() -> str:\n    return 'late'\n")
        await daemon.supervisor.reload()
        worker = daemon.session(call).worker  # type: ignore[union-attr]
        daemon.kill(worker)
        await until(lambda: daemon.talks(call) and daemon.session(call).worker != worker)  # type: ignore[union-attr]
        tools: FakeTools = FakeSession.running[call].setup.tools  # type: ignore[assignment]
        assert "early" in (Path(tools.kit.root) / "tools/clock.py").read_text()


async def test_8_without_a_known_good_version_it_goes_on(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        for _ in range(FAILURES + 1):
            await crashing_call(daemon)
        assert states(daemon)["desk"] == "serving"
        assert daemon.measures.of("definitions_quarantined_total") == 0


async def test_8_what_fails_after_its_probation_is_not_the_edits_doing(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("proven"))
        for _ in range(PROBATION_CALLS - FAILURES + 1):
            await good_call(daemon)
        for _ in range(FAILURES + 2):
            await crashing_call(daemon)
        assert states(daemon)["desk"] == "serving"


async def test_8_an_edit_while_the_last_calls_fail_is_not_taken_back(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        await edited(daemon, directory, version("bad"))
        late = [await daemon.call("desk") for _ in range(FAILURES)]
        await edited(daemon, directory, version("mended"))
        for call in late:
            daemon.supervisor.calls.control(call, SayText(text="crash"))
        await until(lambda: not len(daemon.supervisor.calls.table))
        assert states(daemon)["desk"] == "serving"
        assert instructions(daemon, await daemon.call("desk")) == "mended"


# Three revisions of an agent


async def test_a_fourth_version_waits_until_the_calls_of_an_older_one_end(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        calls = [await daemon.call("desk")]
        for name in ("second", "third"):
            await edited(daemon, directory, version(name))
            calls.append(await daemon.call("desk"))
        directory.write("shop.yaml", version("new"))
        await edited(daemon, directory, version("fourth"))
        assert problems(daemon, "desk") == ["revisions-in-use"]
        assert instructions(daemon, await daemon.call("desk")) == "third"
        assert instructions(daemon, await daemon.call("shop")) == "new", "no other agent waits"
        await edited(daemon, directory, version("fifth"))
        await daemon.hang_up(calls[1])
        await until(lambda: not problems(daemon, "desk"))
        assert instructions(daemon, await daemon.call("desk")) == "fifth"
        assert instructions(daemon, calls[0]) == "good"


async def test_a_version_that_calls_run_by_already_waits_for_nothing(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await daemon.call("desk")
        for name in ("second", "third"):
            await edited(daemon, directory, version(name))
            await daemon.call("desk")
        await edited(daemon, directory, version("good"))
        assert problems(daemon, "desk") == []
        assert instructions(daemon, await daemon.call("desk")) == "good"


# Going back


async def test_an_operator_goes_back_until_the_file_is_edited(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        first = status(daemon, "desk").revision
        await edited(daemon, directory, version("second"))
        second = status(daemon, "desk").revision
        assert await daemon.supervisor.roll_back("desk") == first
        assert instructions(daemon, await daemon.call("desk")) == "good"
        assert (states(daemon)["desk"], problems(daemon, "desk")) == ("rolled_back", ["rolled-back"])
        assert status(daemon, "desk").callable
        assert daemon.supervisor.readiness().ready, "what an operator wanted is no fault"
        assert [each.digest for each in await daemon.supervisor.probation.history("desk")] == [first, second]
        assert await daemon.supervisor.roll_back("desk", second[:8]) == second
        assert states(daemon)["desk"] == "serving", "what the file says needs no hold"
        await daemon.supervisor.roll_back("desk", first)
        await edited(daemon, directory, version("third"))
        assert (states(daemon)["desk"], problems(daemon, "desk")) == ("serving", [])


async def test_a_revision_of_an_earlier_daemon_is_made_again_from_its_texts(
    tmp_path: Path, directory: Directory
) -> None:
    directory.write("_base.yaml", "language: de\n")
    directory.write("prompts/p.md", "From a file.")
    directory.write("desk.yaml", f"extends: _base.yaml\ninstructions_file: prompts/p.md\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        first = status(daemon, "desk").revision
        assert [one.digest for one in await daemon.supervisor.probation.history("desk")] == [first]
    (directory.path / "_base.yaml").write_text("language: fr\n")
    (directory.path / "prompts/p.md").unlink()
    directory.write("desk.yaml", version("second"))
    async with serving(tmp_path, directory) as daemon:
        await daemon.supervisor.roll_back("desk", first[:6])
        call = FakeSession.running[await daemon.call("desk")].setup.definition
        assert (call.prompt, call.language, call.source) == ("From a file.", "de", f"{directory.path}/desk.yaml")


async def test_what_cannot_be_gone_back_to_is_refused_with_what_there_is(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        with pytest.raises(RollbackRefused, match="served no other revision"):
            await daemon.supervisor.roll_back("desk")
        with pytest.raises(RollbackRefused, match=f"kept: {status(daemon, 'desk').revision[:8]}"):
            await daemon.supervisor.roll_back("desk", "zzz")
        with pytest.raises(KeyError):
            await daemon.supervisor.roll_back("nobody")
