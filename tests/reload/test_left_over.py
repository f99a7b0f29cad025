"""Promise 7 in workers that take no more calls: an edit reaches their calls where they run the same code as those that
do; the others record that they keep what they have. Real files, whole sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentd.runtime.messages import Rejection
from agentd.tools.acts import HandOff
from tests.reload.directory import AGENT
from tests.reload.test_live import LIVE, Stage, stage
from tests.runtime.daemon import until


async def replaced(on: Stage) -> None:
    """As by new code."""
    pool = on.daemon.supervisor.pool
    pool.replace([await pool.stand_by() for _ in range(2)], drain_s=3600.0)


def holder(on: Stage, call: str) -> str:
    session = on.daemon.session(call)
    assert session is not None
    return session.worker


def kept(on: Stage, call: str) -> list[Any]:
    return [each for each in on.turns(call, "decision") if each["action"] == "KeepRevision"]


async def planned(on: Stage) -> tuple[int, int, str]:
    """Calls, those that take it, and in words."""
    [one] = (await on.daemon.supervisor.plan()).agents
    return one.calls, one.touched, one.effect


async def test_7_an_edit_reaches_calls_in_a_worker_that_was_let_go(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}", shop=f"instructions: shop\n{AGENT}") as on:
        call = await on.daemon.call("desk")
        assert on.daemon.supervisor.pool.let_go(holder(on, call))
        on.directory.write("desk.yaml", f"instructions: new\n{LIVE}")
        assert await planned(on) == (1, 1, "1 call under way takes it at the next turn's boundary")
        await on.daemon.supervisor.reload()
        await on.runs(call, on.serves())
        assert await on.ask(call, "hello") == "new"
        assert on.daemon.supervisor.pool.workers[holder(on, call)].state == "draining"


async def test_7_a_worker_that_was_let_go_can_still_hand_its_calls_to_agents_that_were_edited(tmp_path: Path) -> None:
    """It has made no new revision of them, which none of its calls takes."""
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}", shop=f"instructions: shop\n{AGENT}") as on:
        call = await on.daemon.call("desk")
        assert on.daemon.supervisor.pool.let_go(holder(on, call))
        await on.edit(f"instructions: dearer\n{AGENT}", "shop")
        on.daemon.supervisor.calls.control(call, HandOff(agent="shop", enter="wait"))
        await until(lambda: on.daemon.session(call).acting == "shop")  # type: ignore[union-attr]
        assert await on.ask(call, "hello") == "shop"


async def test_7_calls_in_workers_of_other_code_record_that_they_keep_their_revision(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        old = await on.daemon.call("desk")
        before = on.serves()
        await replaced(on)
        new = [await on.daemon.call("desk") for _ in range(2)]
        on.directory.write("desk.yaml", f"instructions: new\n{LIVE}")
        takes = "2 of 3 calls under way take it at the next turn's boundary; 1 keeps what it has"
        calls, touched, effect = await planned(on)
        assert (calls, touched, effect.partition(":")[0]) == (3, 2, takes)
        await on.daemon.supervisor.reload()
        for call in new:
            await on.runs(call, on.serves())
        await until(lambda: on.daemon.measures.of("live_edits_total", agent="desk", outcome="kept") == 1)
        [told] = kept(on, old)
        assert (told["rule"], told["agent"], told["revision"], told["previous"]) == (
            "edit_not_here", "desk", on.serves(), before,
        )  # fmt: skip
        assert "runs other code" in told["value"]
        assert [each["setting"] for each in told["kept"]] == ["instructions"]
        assert [await on.ask(call, "hello") for call in (old, *new)] == ["old", "new", "new"]
        await on.edit(f"instructions: newer\n{AGENT}")
        assert len(kept(on, old)) == 1, "an edit that no call takes is told to none"


async def test_7_going_back_is_told_to_them_as_any_other_edit(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        await on.edit(f"instructions: new\n{LIVE}")
        call = await on.daemon.call("desk")
        await replaced(on)
        await on.daemon.supervisor.roll_back("desk")
        await until(lambda: len(kept(on, call)) == 1)
        assert kept(on, call)[0]["revision"] == on.serves()


async def test_7_a_worker_that_was_let_go_and_cannot_make_an_edit_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        call = await on.daemon.call("desk")
        worker = on.daemon.supervisor.pool.workers[holder(on, call)]
        assert on.daemon.supervisor.pool.let_go(worker.name)

        async def refuse(*_: object) -> tuple[Rejection, ...]:
            return (Rejection(agent="desk", problems=("no memory",)),)

        monkeypatch.setattr(worker, "prepare", refuse)
        await on.edit(f"instructions: new\n{LIVE}")
        assert on.daemon.supervisor.rollout.problems == ()
        await until(lambda: len(kept(on, call)) == 1)
        assert kept(on, call)[0]["value"] == "no memory"
        assert await on.ask(await on.daemon.call("desk"), "hello") == "new"
        assert await on.ask(call, "hello") == "old"
