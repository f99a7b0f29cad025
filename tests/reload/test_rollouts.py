"""Promise 9: a canary takes its share of new calls, and is promoted or rolled back by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.aio import now
from agentd.runtime.canaries import NoRollout
from agentd.runtime.jobs import ASSIGNMENT_WAIT_S
from agentd.runtime.status import RolloutStatus
from agentd.runtime.tick import tick
from agentd.runtime.trial import FAILURES
from agentd.tools.acts import SayText
from agentd.transport.protocol import Decline
from tests.reload.directory import AGENT, Directory, instructions, serving, states
from tests.runtime.daemon import Daemon, until
from tests.runtime.parts import FakeSession

OBJECTIVES = "{error_rate: 0.2, min_calls: 4, max_calls: 8}"


def canary(rollout: str, name: str = "new") -> str:
    return f"instructions: {name}\nrollout: {rollout}\n{AGENT}"


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = Directory(tmp_path / "agents.d")
    made.write("desk.yaml", f"instructions: old\n{AGENT}")
    return made


async def calls(daemon: Daemon, count: int, *, crash: bool = False) -> list[str]:
    """So many one after another: by which version each was held."""
    found = []
    for _ in range(count):
        call = await daemon.call("desk")
        found.append(instructions(daemon, call))
        session = FakeSession.running[call]
        if crash and found[-1] == "new":
            daemon.supervisor.calls.control(call, SayText(text="crash"))
            await until(lambda: daemon.session(call) is None)  # noqa: B023 -- awaited within the round
        else:
            session.record("turn.agent", purpose="answer", text="Yes.", interrupted=False, latencies={"e2e": 0.6})
            await daemon.hang_up(call)
    return found


def rollout(daemon: Daemon) -> RolloutStatus:
    [status] = daemon.supervisor.rollouts()
    return status


async def test_9_a_canary_takes_its_share_and_is_promoted(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary(f"{{of: desk, percent: 25, objectives: {OBJECTIVES}}}"))
    async with serving(tmp_path, directory) as daemon:
        assert await calls(daemon, 12) == ["old", "new", "old", "old"] * 3
        status = rollout(daemon)
        assert (status.state, status.share, status.calls, status.baseline_calls) == ("running", 0.25, 3, 9)
        assert daemon.measures.of("sessions_total", agent="desk-next") == 3
        assert await calls(daemon, 18) == [*["old", "new", "old", "old"] * 4, "old", "new"]
        status = rollout(daemon)
        assert (status.state, status.share, status.calls) == ("promoted", 1.0, 8)
        assert status.why.startswith("error_rate 0.0% (0.0% to 32.4%, n=8)")
        assert await calls(daemon, 3) == ["new"] * 3
        assert daemon.measures.of("rollout_changes_total", agent="desk-next", state="promoted") == 1


async def test_9_a_canary_that_misses_its_objectives_is_rolled_back(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary(f"{{of: desk, percent: 50, objectives: {OBJECTIVES}}}"))
    async with serving(tmp_path, directory) as daemon:
        await calls(daemon, 7, crash=True)
        status = rollout(daemon)
        assert (status.state, status.share) == ("rolled_back", 0.0)
        assert status.why.startswith("error_rate 100.0%")
        assert await calls(daemon, 6) == ["old"] * 6
        directory.write("desk-next.yaml", canary("{of: desk, percent: 50}", "newer"))
        await daemon.supervisor.reload()
        assert rollout(daemon).state == "running"
        assert await calls(daemon, 2) == ["newer", "old"]


async def test_9_a_canary_that_fails_outright_needs_no_objectives(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 100}"))
    async with serving(tmp_path, directory) as daemon:
        assert await calls(daemon, FAILURES, crash=True) == ["new"] * FAILURES
        assert rollout(daemon).state == "rolled_back"
        assert await calls(daemon, 2) == ["old"] * 2
        assert states(daemon) == {"desk": "serving", "desk-next": "serving"}


async def test_9_a_canary_by_attribute_takes_those_calls_alone(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, match: {plan: gold}}"))
    async with serving(tmp_path, directory) as daemon:
        gold = await daemon.call("desk", metadata='{"plan": "gold"}')
        tin = await daemon.call("desk", metadata='{"plan": "tin"}')
        assert [instructions(daemon, call) for call in (gold, tin)] == ["new", "old"]


async def test_9_how_far_it_has_come_outlives_the_daemon(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary(f"{{of: desk, percent: 50, objectives: {OBJECTIVES}}}"))
    async with serving(tmp_path, directory) as daemon:
        await calls(daemon, 7, crash=True)
        assert rollout(daemon).state == "rolled_back"
        told = rollout(daemon)
    async with serving(tmp_path, directory) as daemon:
        assert rollout(daemon) == told
        assert await calls(daemon, 2) == ["old", "old"]


async def test_9_an_edit_of_the_other_takes_over_from_a_promoted_canary(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 50}"))
    async with serving(tmp_path, directory) as daemon:
        daemon.supervisor.canaries.decide("desk-next", "promoted")
        assert await calls(daemon, 2) == ["new", "new"]
        directory.write("desk.yaml", f"instructions: merged\n{AGENT}")
        await daemon.supervisor.reload()
        assert rollout(daemon).state == "superseded"
        assert await calls(daemon, 2) == ["merged", "merged"]


async def test_9_an_operator_takes_a_canary_back(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 100}"))
    async with serving(tmp_path, directory) as daemon:
        await daemon.supervisor.roll_back("desk-next")
        assert rollout(daemon).state == "rolled_back"
        assert await calls(daemon, 1) == ["old"]
        with pytest.raises(NoRollout):
            daemon.supervisor.canaries.decide("desk", "promoted")


async def test_9_a_canary_that_is_full_leaves_its_calls_to_the_other(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 100}") + "limits: {concurrency: 1}\n")
    directory.write("desk.yaml", f"instructions: old\nlimits: {{concurrency: 3}}\n{AGENT}")
    async with serving(tmp_path, directory) as daemon:
        held = [await daemon.call("desk") for _ in range(3)]
        assert [instructions(daemon, call) for call in held] == ["new", "old", "old"]
        link = daemon.registrations["desk"]
        assert link.load().full, "a canary's calls are its too"
        assert isinstance(await link.offer(link.job()), Decline)


async def test_9_a_canary_that_had_no_room_for_its_call_takes_the_next_one_that_it_has_room_for(
    tmp_path: Path, directory: Directory
) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 50}") + "limits: {concurrency: 1}\n")
    async with serving(tmp_path, directory) as daemon:
        held = [await daemon.call("desk") for _ in range(3)]
        assert [instructions(daemon, call) for call in held] == ["new", "old", "old"], "the third was its turn"
        await daemon.hang_up(held[0])
        assert await calls(daemon, 5) == ["new", "new", "old", "new", "old"], "half of all eight"


async def test_9_a_call_that_was_promised_to_a_canary_and_does_not_come_is_not_one_of_its_share(
    tmp_path: Path, directory: Directory
) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 50}"))
    async with serving(tmp_path, directory) as daemon:
        link = daemon.registrations["desk"]
        await link.offer(link.job())
        daemon.supervisor.calls.table.lapse(now() + 2 * ASSIGNMENT_WAIT_S)
        tick(daemon.supervisor.parts)
        assert await calls(daemon, 3) == ["new", "old", "new"]


async def test_9_the_calls_of_a_canary_belong_to_the_name_that_was_called(tmp_path: Path, directory: Directory) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 100}"))
    async with serving(tmp_path, directory) as daemon:
        call = await daemon.call("desk")
        job = daemon.session(call).job  # type: ignore[union-attr]
        assert daemon.registrations["desk"].running == [job]
        (directory.path / "desk-next.yaml").unlink()
        await daemon.supervisor.reload()
        assert daemon.talks(call)
        assert await calls(daemon, 1) == ["old"]
        await daemon.hang_up(call)
        assert daemon.registrations["desk"].ended[job] == ""


async def test_9_a_call_promised_to_a_canary_that_goes_is_held_by_the_other(
    tmp_path: Path, directory: Directory
) -> None:
    directory.write("desk-next.yaml", canary("{of: desk, percent: 100}"))
    async with serving(tmp_path, directory) as daemon:
        link = daemon.registrations["desk"]
        job = link.job()
        await link.offer(job)
        (directory.path / "desk-next.yaml").unlink()
        await daemon.supervisor.reload()
        link.assign(job)
        await until(lambda: any(each.state == "listening" for each in daemon.supervisor.sessions()))
        [session] = daemon.supervisor.sessions()
        assert instructions(daemon, session.id) == "old"
