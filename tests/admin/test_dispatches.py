from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentd.admin.dispatches import MAX_METADATA
from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.transport.dispatches import DispatchRefused
from tests.admin.conformance import conforming
from tests.fakes.daemon import FakeDaemon, agent, held_agents


async def answered(body: Mapping[str, Any], *, refuses: bool = False) -> tuple[int, dict[str, Any], list[Any]]:
    taken: list[Any] = []

    async def dispatch(agent_name: str, room: str, metadata: str) -> str:
        if refuses:
            raise DispatchRefused("LiveKit does not answer (TimeoutError)")
        taken.append((agent_name, room, metadata))
        return "AD_1"

    daemon = FakeDaemon(agent("front-desk"), agent("old", state="draining"), *held_agents())
    async with (
        serve_admin(daemon, AdminSettings(addr="127.0.0.1:0"), Metrics(), dispatch=dispatch) as address,
        conforming(address) as client,
    ):
        answer = await client.post("/v1/dispatches", json=body)
        return answer.status, await answer.json(), taken


async def test_an_agent_is_called_into_a_room_with_its_variables() -> None:
    body = {"agent": "front-desk", "room": "ward-7", "variables": {"bed": "B"}}
    status, told, ((name, room, metadata),) = await answered(body)
    assert (status, told) == (201, {"dispatch": "AD_1", "agent": "front-desk", "room": "ward-7"})
    assert (name, room, json.loads(metadata)) == ("front-desk", "ward-7", {"variables": {"bed": "B"}})


async def test_without_a_room_there_is_a_fresh_one() -> None:
    rooms = [(await answered({"agent": "front-desk"}))[1]["room"] for _ in range(2)]
    assert len(set(rooms)) == 2


@pytest.mark.parametrize("name", [held.name for held in held_agents()])
async def test_an_agent_of_which_an_earlier_revision_serves_is_called(name: str) -> None:
    status, told, ((called, _, _),) = await answered({"agent": name})
    assert (status, told["agent"], called) == (201, name, name)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "no agent ''"),
        ({"agent": "frontdesk"}, "no agent 'frontdesk' serves"),
        ({"agent": "old"}, "no agent 'old' serves"),
        ({"agent": "front-desk", "rooms": "x"}, "rooms: not known here"),
        ({"agent": "front-desk", "room": 7}, "room is a text"),
        ({"agent": "front-desk", "variables": []}, "variables is an object"),
        ({"agent": "front-desk", "variables": {}, "metadata": "x"}, "stands for metadata"),
        ({"agent": "front-desk", "variables": {"a": "x" * MAX_METADATA}}, "are taken"),
    ],
)
async def test_what_cannot_be_dispatched_is_refused(body: Mapping[str, Any], says: str) -> None:
    status, told, taken = await answered(body)
    assert (status, taken) == (422, [])
    assert says in told["detail"]


async def test_a_livekit_that_is_away_is_503() -> None:
    status, told, _ = await answered({"agent": "front-desk"}, refuses=True)
    assert (status, told["detail"]) == (503, "LiveKit does not answer (TimeoutError)")
