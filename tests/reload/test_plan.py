"""What a reload would do is told before it does it, and nothing of it happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentd.config.diff import Change
from agentd.runtime.planning import AgentPlan, Plan
from agentd.runtime.trial import FAILURES
from tests.reload.directory import AGENT, Directory, instructions, serving, states
from tests.reload.test_quarantine import crashing_call, good_call
from tests.runtime.daemon import Daemon, until
from tests.runtime.parts import FakeSession


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = Directory(tmp_path / "agents.d")
    made.write("desk.yaml", f"instructions: old\n{AGENT}")
    made.write("shop.yaml")
    return made


async def planned(daemon: Daemon, agent: str = "desk") -> AgentPlan:
    found = await daemon.supervisor.plan()
    return next(each for each in found.agents if each.agent == agent)


def effects(plan: AgentPlan) -> dict[str, str]:
    return {each.change.path: each.effect for each in plan.changes}


async def test_nothing_differs_until_something_is_edited(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        assert await daemon.supervisor.plan() == Plan(generation=1, same=True, valid=True, agents=(), daemon=())
        directory.write("desk.yaml", f"# a comment\ninstructions: old\n{AGENT}")
        assert (await daemon.supervisor.plan()).same


async def test_an_edit_is_told_with_the_calls_that_keep_what_they_have(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        calls = [await daemon.call("desk") for _ in range(2)]
        directory.write("desk.yaml", f"description: x\ninstructions: new\ngreeting: {{say: hi}}\n{AGENT}")
        plan = await planned(daemon)
        assert (plan.action, plan.calls, plan.touched) == ("updated", 2, 0)
        assert plan.effect == "2 calls under way keep what they have"
        assert list(plan.revisions.values()) == [2]
        assert effects(plan) == {
            "description": "at once",
            "instructions": "next call: the agent does not say reload: live",
            "greeting": "next call: it holds from the beginning of a call",
        }
        assert plan.changes[1].change == Change(
            path="instructions", old="old", new="new", reload="next_turn", place=f"{directory.path}/desk.yaml:2",
            origin="file",
        )  # fmt: skip
        assert daemon.supervisor.generation() == 1
        assert instructions(daemon, await daemon.call("desk")) == "old", "a plan changes nothing"
        assert all(daemon.talks(call) for call in calls)


async def test_with_reload_live_it_is_told_which_calls_an_edit_touches(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        for _ in range(2):
            await daemon.call("desk")
        directory.write("desk.yaml", f"instructions: new\ngreeting: {{say: hi}}\nreload: live\n{AGENT}")
        plan = await planned(daemon)
        assert (plan.calls, plan.touched) == (2, 2)
        assert plan.effect == "2 calls under way take it at the next turn's boundary"
        assert effects(plan) == {
            "instructions": "next turn of 2 calls",
            "greeting": "next call: it holds from the beginning of a call",
            "reload": "at once",
        }


async def test_the_calls_of_a_canary_take_no_edit_and_the_plan_says_so(tmp_path: Path, directory: Directory) -> None:
    directory.write("next.yaml", f"instructions: one\nreload: live\nrollout: {{of: desk, percent: 50}}\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        await daemon.call("desk")
        directory.write("next.yaml", f"instructions: two\nreload: live\nrollout: {{of: desk, percent: 50}}\n{AGENT}")
        plan = await planned(daemon, "next")
        assert plan.touched == 0
        why = "a canary's calls keep the revision that they are counted for"
        assert effects(plan)["instructions"] == f"next call: {why}"


async def test_added_removed_and_broken_files_are_told(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        call = await daemon.call("shop")
        directory.write("club.yaml")
        (directory.path / "shop.yaml").unlink()
        directory.write("desk.yaml", f"nonsense: 1\n{AGENT}")
        directory.write("bad.yaml", "stt: 3\n")
        plan = await daemon.supervisor.plan()
        assert {each.agent: each.action for each in plan.agents} == {
            "bad": "broken",
            "club": "added",
            "desk": "broken",
            "shop": "removed",
        }
        assert (plan.same, plan.valid) == (False, False)
        told = {each.agent: each for each in plan.agents}
        assert told["shop"].effect == "takes no more calls; 1 call under way may go on to the end"
        assert [problem.code for problem in told["desk"].problems] == ["unknown-key"]
        assert daemon.talks(call)
        assert states(daemon) == {"desk": "serving", "shop": "serving"}


async def test_an_agent_that_is_held_and_one_that_waits_are_told(tmp_path: Path, directory: Directory) -> None:
    async with serving(tmp_path, directory) as daemon:
        await good_call(daemon)
        directory.write("desk.yaml", f"instructions: bad\n{AGENT}")
        await daemon.supervisor.reload()
        for _ in range(FAILURES):
            await crashing_call(daemon)
        await until(lambda: states(daemon)["desk"] == "quarantined")
        plan = await planned(daemon)
        assert (plan.action, plan.effect.partition(":")[0]) == ("held", "quarantined")
        assert set(effects(plan).values()) == {"not while it is held"}
        for version in ("second", "third"):
            await daemon.call("shop")
            directory.write("shop.yaml", f"instructions: {version}\n{AGENT}")
            await daemon.supervisor.reload()
        await daemon.call("shop")
        directory.write("shop.yaml", f"instructions: fourth\n{AGENT}")
        assert (await planned(daemon, "shop")).action == "waits"


async def test_what_only_a_restart_applies_is_told(tmp_path: Path, directory: Directory) -> None:
    change = Change(path="workers", old=2, new=3, reload="restart", place="agentd.yaml:1", origin="daemon")
    async with serving(tmp_path, directory, outside=lambda: (change,)) as daemon:
        plan = await daemon.supervisor.plan()
        assert (plan.same, plan.daemon) == (False, (change,))


async def test_what_is_held_released_and_rolled_out_is_an_event(tmp_path: Path, directory: Directory) -> None:
    directory.write("next.yaml", f"rollout: {{of: desk, percent: 50}}\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        first = daemon.supervisor.agents()[0].revision
        directory.write("desk.yaml", f"instructions: new\n{AGENT}")
        await daemon.supervisor.reload()
        await daemon.supervisor.roll_back("desk", first)
        directory.write("desk.yaml", f"instructions: newer\n{AGENT}")
        await daemon.supervisor.reload()
        daemon.supervisor.decide_rollout("next", "rolled_back")
        told: list[tuple[str, str, Any]] = [
            (kept.event.type, kept.event.agent, kept.event.data.get("state") or kept.event.data.get("reason"))
            for kept in daemon.supervisor.events().read(0).events
            if not kept.event.session
        ]
        assert told == [
            ("rollout_changed", "next", "running"),
            ("definition_held", "desk", "rolled_back"),
            ("definition_released", "desk", None),
            ("rollout_changed", "next", "rolled_back"),
        ]
        assert not FakeSession.running
