"""Plans, revisions and rollouts over HTTP and from the command line."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from typing import Any

import pytest

from agentd.admin.metrics import Metrics
from agentd.cli.remote import AdminClient, Answer, Unavailable
from agentd.config.diff import Change
from agentd.runtime.objectives import Measured
from agentd.runtime.planning import AgentPlan, Plan, PlannedChange
from agentd.runtime.status import RevisionStatus, RolloutStatus, TestsOutcome
from agentd.runtime.trial import Trial
from agentd.runtime.worker_handle import START_DEADLINE_S
from tests.admin.conftest import Serve
from tests.admin.test_remote import PROBLEM, Remote, daemon, remote
from tests.fakes.daemon import FakeDaemon, agent

__all__ = ["daemon", "remote"]  # fixtures

CHANGE = Change(
    path="llm.temperature", old=0.3, new=0.7, reload="next_turn", place="agents.d/front-desk.yaml:9", origin="file"
)
RESTART = Change(path="workers", old=2, new=3, reload="restart", place="agentd.yaml:1", origin="daemon")
UPDATED = AgentPlan(
    agent="front-desk",
    action="updated",
    source="agents.d/front-desk.yaml",
    calls=2,
    touched=0,
    revisions={"a1b2": 2},
    effect="2 calls under way keep what they have",
    changes=(PlannedChange(change=CHANGE, effect="next call: the agent does not say reload: live"),),
)
CODE = Change(path="/p/owl.py", old="aa", new="bb", reload="next_session", place="/p/owl.py:1", origin="plugin")
PLAN = Plan(generation=3, same=False, valid=True, agents=(UPDATED,), daemon=(RESTART, CODE))

ERRORS = Measured(name="error_rate", count=50, value=0.04, low=0.011, high=0.135, limit=0.02, state="open")
GAP = Measured(name="gap_p95", count=120, value=1.21, low=1.1, high=None)
ROLLOUT = RolloutStatus(
    agent="front-desk-next",
    of="front-desk",
    state="running",
    share=0.1,
    match={"plan": "gold"},
    revision="c3d4e5f6a7",
    since=1_700_000_000.0,
    began=1_700_000_000.0,
    why="50 calls leave open: error_rate",
    calls=50,
    objectives=(GAP, ERRORS),
    baseline_calls=450,
    baseline=(replace(GAP, value=1.0), replace(ERRORS, value=0.01)),
)
REVISION = RevisionStatus(
    revision="a1b2c3d4e5f6",
    state="serving",
    source="agents.d/front-desk.yaml",
    first_at=1_700_000_000.0,
    last_at=1_700_000_100.0,
    trial=Trial(good=7, failed=1),
    calls=2,
    tests=TestsOutcome(agent="front-desk", revision="a1b2c3d4e5f6", passed=3, failed=1, at=1_700_000_000.0),
)


async def test_a_plan_is_told_for_people_and_exits_with_1(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.planned = PLAN
    result = await remote("plan")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "front-desk (agents.d/front-desk.yaml) updated: 2 calls under way keep what they have",
        "  agents.d/front-desk.yaml:9: llm.temperature",
        "    0.3 -> 0.7",
        "    next turn; next call: the agent does not say reload: live",
        "the daemon: restart it",
        "  agentd.yaml:1: workers (agentd.yaml)",
        "    2 -> 3",
        "    restart",
        "the workers: a reload replaces them",
        "  /p/owl.py:1: /p/owl.py (plugin)",
        "    aa -> bb",
        "    next session",
    ]
    told = json.loads((await remote("plan", "-o", "json")).stdout)
    assert told["agents"][0]["changes"][0]["change"]["reload"] == "next_turn"


async def test_a_plan_of_nothing_exits_with_0_and_one_that_cannot_be_had_with_2(
    remote: Remote, daemon: FakeDaemon
) -> None:
    result = await remote("plan")
    assert (result.exit_code, result.stdout) == (0, "Nothing differs from generation 3.\n")
    broken = replace(UPDATED, action="broken", changes=(), problems=(PROBLEM,), effect="")
    daemon.planned = replace(PLAN, valid=False, agents=(broken,), daemon=())
    result = await remote("plan")
    assert result.exit_code == 2
    assert "  a.yaml:4:3: error unknown-key: no such key (y?)" in result.stdout
    assert (await remote("plan", AGENTD_ADMIN_ADDR="127.0.0.1:9")).exit_code == 2


async def test_the_history_is_a_table_of_revisions(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.revision_list = (REVISION,)
    result = await remote("history", "front-desk")
    [head, row] = result.stdout.splitlines()
    assert head.split()[-5:] == ["SERVED", "GOOD", "FAILED", "CALLS", "TESTS"]
    assert row.split()[:2] == ["a1b2c3d4", "serving"]
    assert row.split()[-6:] == ["7", "1", "2", "3", "of", "4"]
    daemon.revision_list = ()
    missing = await remote("history", "nobody")
    assert (missing.exit_code, "says agent 'nobody'" in missing.stderr) == (1, True)


async def test_an_agent_is_rolled_back_to_the_one_before_or_to_any(remote: Remote, daemon: FakeDaemon) -> None:
    result = await remote("rollback", "front-desk")
    assert (result.exit_code, result.stdout) == (0, "front-desk serves revision before.\n")
    await remote("rollback", "front-desk", "--to", "a1b2")
    assert daemon.rolled_back == [("front-desk", None), ("front-desk", "a1b2")]
    refused = await remote("rollback", "front-desk", "--to", "nothing")
    assert (refused.exit_code, "served no other revision" in refused.stderr) == (1, True)
    assert (await remote("rollback", "nobody")).exit_code == 1


async def test_a_rollback_waits_as_long_as_it_may_take_and_says_so_where_it_takes_longer(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def call(self: AdminClient, method: str, path: str, body: Any = None, *, timeout_s: float = 0.0) -> Answer:
        asked.append(timeout_s)
        return Answer(200, {"revision": "before"})

    with monkeypatch.context() as patch:
        patch.setattr(AdminClient, "call", call)
        await remote("rollback", "front-desk")
    assert asked[0] > 2 * START_DEADLINE_S, "a preparation under way, and its own"


async def test_what_was_asked_and_is_not_answered_in_time_may_still_happen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = AdminClient(addr=f"127.0.0.1:{silent.getsockname()[1]}", token=None)
        with pytest.raises(Unavailable, match=r"has been asked and did not answer within 0 s: it may still do it"):
            await asyncio.to_thread(client.call, "POST", "/v1/agents/a/rollback", {}, timeout_s=0.05)


async def test_rollouts_are_a_table_and_each_is_described_with_its_intervals(
    remote: Remote, daemon: FakeDaemon
) -> None:
    daemon.rollout_list = (ROLLOUT,)
    result = await remote("get", "rollouts")
    [head, row] = result.stdout.splitlines()
    assert head.split() == ["AGENT", "OF", "STATE", "SHARE", "CALLS", "IN", "STATE", "WHY"]
    assert row.split()[:5] == ["front-desk-next", "front-desk", "running", "10%", "50"]
    described = (await remote("describe", "rollout", "front-desk-next")).stdout
    assert "takes     10% of its calls with plan = gold" in described
    lines = [line.split() for line in described.splitlines()]
    assert ["error_rate", "4.0%", "1.1%", "to", "13.5%", "2.0%", "open", "50", "1.0%"] in lines
    assert ["gap_p95", "1.21", "s", "1.10", "s", "to", "?", "120", "1.00", "s"] in lines
    assert (await remote("describe", "rollout", "nobody")).exit_code == 1


async def test_a_canary_is_promoted_by_hand(remote: Remote, daemon: FakeDaemon) -> None:
    daemon.rollout_list = (ROLLOUT,)
    result = await remote("promote", "front-desk-next")
    assert result.stdout == "front-desk-next takes every call of front-desk.\n"
    assert daemon.rollout_list[0].state == "promoted"


@pytest.mark.parametrize("kind", ["agent front-desk", "worker w1", "session s-1"])
async def test_whatever_there_is_can_be_described(remote: Remote, kind: str) -> None:
    result = await remote("describe", *kind.split())
    assert result.exit_code == 0
    assert kind.split()[1] in result.stdout


async def test_what_cannot_be_read_of_a_rollback_is_refused(serve: Serve) -> None:
    client = await serve()
    for body in ({"to": 3}, {"to": ""}, {"revision": "x"}):
        answer = await client.post("/v1/agents/front-desk/rollback", json=body)
        assert answer.status == 422
    assert (await client.get("/v1/rollouts/nobody")).status == 404


def test_rollouts_and_held_agents_are_figures() -> None:
    daemon = FakeDaemon(agent("a", state="quarantined"))
    daemon.rollout_list = (ROLLOUT,)
    metrics = Metrics()
    metrics.follow(daemon)
    text = metrics.text().decode()
    assert 'agentd_agent_held{agent="a",reason="quarantined"} 1.0' in text
    assert 'agentd_rollout_share_ratio{agent="front-desk-next",of="front-desk"} 0.1' in text
    assert 'agentd_rollout_objective{agent="front-desk-next",bound="high",objective="error_rate"} 0.135' in text
    assert 'bound="high",objective="gap_p95"' not in text
