"""Rows of the fault table that reloads answer for, beside the promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.reload.directory import AGENT, Directory, instructions, problems, serving, states
from tests.runtime.daemon import running, until
from tests.runtime.parts import Files, definition, revised


async def test_f40_of_two_files_of_one_name_the_first_stays_and_both_are_named(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "agents.d")
    directory.write("a.yaml", f"name: desk\ninstructions: first\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        second = directory.write("b.yaml", f"name: desk\ninstructions: second\n{AGENT}")
        outcome = await daemon.supervisor.reload()
        [problem] = outcome.problems
        assert (problem.code, problem.file) == ("duplicate-name", str(second))
        assert "a.yaml:1" in problem.hint
        assert instructions(daemon, await daemon.call("desk")) == "first"
        assert states(daemon)["desk"] == "serving"


async def test_f40_a_copy_of_a_file_takes_nothing_from_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "agents.d")
    original = directory.write("front-desk.yaml", f"name: front-desk\ninstructions: original\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        for text in ("instructions: copy\n", "stt: {{{\n", ""):  # the last two break the original, not the copy
            copy = directory.write("a.yaml", f"name: front-desk\ninstructions: copy\n{AGENT}")
            if not text.startswith("instructions"):
                original.write_text(text)
            outcome = await daemon.supervisor.reload()
            assert [each.file for each in outcome.problems if each.code == "duplicate-name"] == [str(copy)]
            assert instructions(daemon, await daemon.call("front-desk")) == "original"
        original.unlink()  # renamed, one could say
        await daemon.supervisor.reload()
        assert instructions(daemon, await daemon.call("front-desk")) == "copy"


async def test_f40_what_serves_keeps_its_name_when_a_file_that_is_named_after_it_comes(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "agents.d")
    directory.write("shop.yaml", f"name: desk\ninstructions: first\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        second = directory.write("desk.yaml", f"instructions: second\n{AGENT}")
        outcome = await daemon.supervisor.reload()
        assert [(each.code, each.file) for each in outcome.problems] == [("duplicate-name", str(second))]
        planned = await daemon.supervisor.plan()
        assert [(each.action, each.source) for each in planned.agents] == [("broken", str(second))]
        assert instructions(daemon, await daemon.call("desk")) == "first"


async def test_f43_a_storm_of_reloads_is_one_that_runs_and_one_that_waits(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")}, load_s=0.05)
    async with running(tmp_path, files) as daemon:
        before = files.loads
        for number in range(1000):
            if number % 100 == 0:
                await asyncio.sleep(0.01)
            daemon.supervisor.rollout.request()
        outcomes = await asyncio.gather(*(daemon.supervisor.reload() for _ in range(100)))
        assert {outcome.applied for outcome in outcomes} == {True}
        assert files.loads - before <= 5
        assert daemon.measures.of("reloads_coalesced_total") >= 1000


async def test_f54_a_call_keeps_its_revision_through_every_reload(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        call = await daemon.call("desk")
        for number in range(2, 12):
            revised(files, "desk", str(number), instructions=f"version {number}")
            await daemon.supervisor.reload()
            assert instructions(daemon, call) == "You are desk."
            assert daemon.session(call).definition.digest == "desk-1"  # type: ignore[union-attr]
        assert instructions(daemon, await daemon.call("desk")) == "version 11"


async def test_f39_a_deleted_file_that_comes_back_serves_at_once(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "agents.d")
    directory.write("desk.yaml")
    directory.write("shop.yaml")
    async with serving(tmp_path, directory) as daemon:
        call = await daemon.call("shop")
        (directory.path / "shop.yaml").unlink()
        await daemon.supervisor.reload()
        assert states(daemon)["shop"] == "draining"
        directory.write("shop.yaml")
        await daemon.supervisor.reload()
        assert states(daemon)["shop"] == "serving"
        assert problems(daemon, "shop") == []
        assert daemon.talks(call)
        await daemon.hang_up(call)
        await until(lambda: not len(daemon.supervisor.calls.table))
        assert daemon.registrations["shop"].registered
