"""What a reload promises, each as a story: real files, the real watch, calls under way in two workers.

The numbers are those of docs/operations/reload.md. The same on a real LiveKit server: tests/system/test_calls.py,
tests/system/test_daemon.py and bench/reload.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.fakes.config_map import publish
from tests.reload.directory import AGENT, Directory, instructions, problems, states, status, watching
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSession, FakeSettings, FakeTools, Files, definition, revised

# 1. A comment, or a save without a change, is not a reload.


async def test_1_a_comment_or_a_save_without_a_change_is_no_reload(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT) as (daemon, directory):
        before = daemon.supervisor.agents()
        for text in (
            f"# a comment\n{AGENT}",
            f"{AGENT}\n\n",
            AGENT.replace("{provider: fake}", '{"provider": "fake"}'),
        ):
            directory.write("desk.yaml", text)
            await directory.read_again()
        await asyncio.sleep(0.1)
        assert daemon.supervisor.generation() == 1
        assert daemon.supervisor.agents() == before


# 2. A broken file changes nothing that runs.


async def test_2_a_broken_file_changes_nothing_that_runs_and_is_told(tmp_path: Path) -> None:
    good = f"instructions: good\n{AGENT}"
    async with watching(tmp_path, desk=good, shop=AGENT) as (daemon, directory):
        old = await daemon.call("desk")
        directory.write("desk.yaml", f"{good}nonsense: 1\n")
        await until(lambda: states(daemon)["desk"] == "stale")
        assert states(daemon) == {"desk": "stale", "shop": "serving"}
        assert problems(daemon, "desk") == ["unknown-key"]
        assert daemon.supervisor.generation() == 1
        new = await daemon.call("desk")
        assert daemon.talks(old)
        assert instructions(daemon, new) == "good"
        assert any("desk.yaml" in reason for reason in daemon.supervisor.readiness().reasons)
        outcome = await daemon.supervisor.reload()
        assert (outcome.applied, [problem.code for problem in outcome.problems]) == (False, ["unknown-key"])
        directory.write("desk.yaml", good)
        await until(lambda: states(daemon)["desk"] == "serving")
        assert daemon.supervisor.readiness().ready
        assert daemon.supervisor.generation() == 1


async def test_2_other_files_apply_beside_a_broken_one(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT, shop=AGENT) as (daemon, directory):
        directory.write("desk.yaml", "stt: {")
        directory.write("shop.yaml", f"instructions: new\n{AGENT}")
        await until(lambda: daemon.supervisor.generation() == 2)
        assert instructions(daemon, await daemon.call("shop")) == "new"
        assert states(daemon) == {"desk": "stale", "shop": "serving"}


# 3. A half-written file is waited for; a ConfigMap's swap and a thousand files are one generation each.


async def test_3_a_half_written_file_is_waited_for(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT) as (daemon, directory):
        text = f"instructions: whole\n{AGENT}"
        with (directory.path / "desk.yaml").open("w") as file:
            for begin in range(0, len(text), 20):
                file.write(text[begin : begin + 20])
                file.flush()
                await asyncio.sleep(0.05)
        await until(lambda: daemon.supervisor.generation() == 2)
        assert directory.readings == [[]] * len(directory.readings), "it was never read when it was broken"
        assert instructions(daemon, await daemon.call("desk")) == "whole"


async def test_3_a_config_maps_swap_is_one_generation(tmp_path: Path) -> None:
    mount = tmp_path / "agents.d"

    def swap(version: str, *names: str) -> None:
        publish(mount, {f"{name}.yaml": f"instructions: {version}\n{AGENT}" for name in names})

    swap("one", "desk", "shop")
    async with watching(tmp_path) as (daemon, directory):
        call = await daemon.call("desk")
        swaps = {2: ("two", "desk", "shop"), 3: ("three", "desk", "bank")}
        for generation, (version, *names) in swaps.items():
            swap(version, *names)
            await until(lambda number=generation: daemon.supervisor.generation() == number)
            assert [instructions(daemon, await daemon.call(name)) for name in names] == [version] * 2
        assert states(daemon)["shop"] == "draining"
        await asyncio.sleep(0.3)
        assert daemon.supervisor.generation() == 3
        assert instructions(daemon, call) == "one"
        assert directory.readings == [[]] * len(directory.readings), "it was never read when it was half swapped"


async def test_3_a_thousand_files_at_once_are_one_generation(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT) as (daemon, directory):
        call = await daemon.call("desk")
        for number in range(1000):
            directory.write(f"a{number}.yaml")
        await until(lambda: len(daemon.registrations) == 1001)
        await asyncio.sleep(0.3)
        assert daemon.supervisor.generation() == 2
        assert daemon.talks(call)


# 4. Every worker has prepared before any new call sees the new generation; a call never mixes two.


async def test_4_new_calls_get_the_old_version_until_every_worker_has_the_new_one(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files) as daemon:
        old = await daemon.call("desk")
        revised(files, "desk", "2", instructions="new", llm=definition("x", llm=FakeSettings(wait_s=0.5)).llm)
        reloading = asyncio.create_task(daemon.supervisor.reload())
        await asyncio.sleep(0.2)
        meanwhile = await daemon.call("desk")
        assert not reloading.done()
        assert (await reloading).updated == ("desk",)
        new = [await daemon.call("desk") for _ in range(4)]
        assert {instructions(daemon, call) for call in (old, meanwhile)} == {"You are desk."}
        assert {instructions(daemon, call) for call in new} == {"new"}
        workers = {daemon.session(call).worker for call in new}  # type: ignore[union-attr]
        assert workers == {"worker-1", "worker-2"}
        assert {each.generation for each in daemon.supervisor.sessions()} == {1, 2}


async def test_4_a_version_that_one_worker_cannot_make_is_seen_by_nobody(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk"), "shop": definition("shop")})
    async with running(tmp_path, files) as daemon:
        revised(files, "desk", "2", instructions="new", llm=definition("x", llm=FakeSettings(refuse="no key")).llm)
        revised(files, "shop", "2", instructions="new")
        outcome = await daemon.supervisor.reload()
        assert (outcome.applied, outcome.updated) == (False, ("shop",))
        assert [problem.code for problem in outcome.problems] == ["not-prepared"]
        assert instructions(daemon, await daemon.call("desk")) == "You are desk."
        assert instructions(daemon, await daemon.call("shop")) == "new"
        assert states(daemon) == {"desk": "stale", "shop": "serving"}


async def test_4_a_version_that_kills_the_workers_is_refused_and_calls_go_on(tmp_path: Path) -> None:
    files = Files({"desk": definition("desk")})
    async with running(tmp_path, files, processes=True) as daemon:
        call = await daemon.call("desk")
        revised(files, "desk", "2", llm=definition("x", llm=FakeSettings(crash=True)).llm)
        outcome = await daemon.supervisor.reload()
        assert (outcome.applied, outcome.changed) == (False, False)
        await until(lambda: daemon.talks(call))
        await until(lambda: len(daemon.supervisor.pool.ready) == 2)
        assert daemon.supervisor.generation() == 1


# 5. A new file registers its agent, a deleted one drains and unregisters, while every other call goes on.


async def test_5_a_new_file_registers_and_a_deleted_one_drains(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT, shop=AGENT) as (daemon, directory):
        kept, last = await daemon.call("desk"), await daemon.call("shop")
        directory.write("club.yaml")
        (directory.path / "shop.yaml").unlink()
        await until(lambda: daemon.supervisor.generation() == 2)
        shop, club = daemon.registrations["shop"], daemon.registrations["club"]
        await until(lambda: club.registered)
        assert states(daemon) == {"club": "serving", "desk": "serving", "shop": "draining"}
        assert shop.registered
        assert shop.load().full, "no new call of it is offered"
        assert daemon.talks(kept)
        assert daemon.talks(last)
        await daemon.hang_up(last)
        await until(lambda: not shop.registered)
        assert states(daemon) == {"club": "serving", "desk": "serving"}
        assert daemon.talks(kept)


async def test_5_a_broken_file_in_the_place_of_a_deleted_one_is_one_agent_with_both(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT, shop=AGENT) as (daemon, directory):
        last = await daemon.call("shop")
        (directory.path / "shop.yaml").unlink()
        await until(lambda: daemon.supervisor.generation() == 2)
        directory.write("store.yaml", f"name: shop\nlmm: x\n{AGENT}")
        await until(lambda: problems(daemon, "shop") == ["unknown-key"])
        assert [each.name for each in daemon.supervisor.agents()] == ["desk", "shop"]
        assert (status(daemon, "shop").state, status(daemon, "shop").sessions) == ("draining", 1)
        await daemon.hang_up(last)
        await until(lambda: states(daemon) == {"desk": "serving", "shop": "rejected"})


async def test_5_a_directory_that_goes_away_removes_no_agent(tmp_path: Path) -> None:
    async with watching(tmp_path, desk=AGENT) as (daemon, directory):
        directory.path.rename(tmp_path / "elsewhere")
        await daemon.supervisor.reload()
        assert states(daemon) == {"desk": "stale"}
        assert daemon.talks(await daemon.call("desk"))


# 6. Tool code reloads with it; calls under way keep the old code.


def tools_of(call: str) -> FakeTools:
    return FakeSession.running[call].setup.tools  # type: ignore[return-value]


async def test_6_tool_code_reloads_and_calls_under_way_keep_the_old(tmp_path: Path) -> None:
    agent = f'{AGENT}tools: [{{type: python, ref: "tools.clock:now"}}]\n'
    code = "def now() -> str:\n    return 'early'\n"
    directory = Directory(tmp_path / "agents.d")
    directory.write("tools/clock.py", code)
    async with watching(tmp_path, desk=agent, shop=AGENT) as (daemon, directory):
        old = await daemon.call("desk")
        before = tools_of(old)
        directory.write("tools/clock.py", code.replace("early", "late"))
        await until(lambda: daemon.supervisor.generation() == 2)
        new = await daemon.call("desk")
        assert tools_of(new).kit is not before.kit, "new processes, with a copy of the new code"
        assert tools_of(old) is before
        assert not before.closed
        await daemon.hang_up(old)
        await until(lambda: before.closed)
        assert daemon.talks(new)
