"""How what operators did is named in the audit log, and what is told of each deed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agentd.admin.deeds import deed_of, is_deed
from agentd.admin.metrics import Metrics
from agentd.admin.openapi import OPENAPI
from agentd.admin.server import serve_admin
from tests.admin.conformance import conforming
from tests.admin.conftest import ENDPOINT
from tests.admin.test_roles import DESK, SETTINGS, bearer
from tests.fakes.daemon import FakeDaemon


@pytest.mark.parametrize(
    ("method", "route", "deed"),
    [
        ("POST", "/v1/reload", "reload"),
        ("POST", "/v1/token", "token"),
        ("POST", "/api/token", "token"),
        ("POST", "/v1/dispatches", "dispatch"),
        ("POST", "/v1/sessions/{id}/say", "session.say"),
        ("GET", "/v1/sessions/{id}/journal", "session.journal.read"),
        ("DELETE", "/v1/sessions/{id}/speeches/{speech}", "session.speech.delete"),
        ("PUT", "/v1/agents/{name}", "agent.write"),
        ("DELETE", "/v1/agents/{name}", "agent.delete"),
        ("POST", "/v1/rollouts/{name}/promote", "rollout.promote"),
        ("PUT", "", ""),
    ],
)
def test_a_deed_is_named_by_its_route(method: str, route: str, deed: str) -> None:
    assert deed_of(method, route) == deed


def test_every_operation_that_changes_something_has_a_name_of_its_own() -> None:
    operations = [
        (method.upper(), path)
        for path, methods in OPENAPI["paths"].items()
        for method in methods
        if method in ("get", "put", "post", "delete") and is_deed(method.upper(), path)
        if path != "/api/token"  # another name of /v1/token
    ]
    names = [deed_of(method, path) for method, path in operations]
    assert len(names) > 20
    assert all(names)
    assert len(set(names)) == len(names)


async def test_names_are_told_and_nothing_of_what_was_said(daemon: FakeDaemon) -> None:
    entries: list[Mapping[str, Any]] = []
    secret = "4711 is the number"
    requests: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("/v1/sessions/s-1/variables", {"set": {"pin": secret}}, {"session": "s-1", "variables": ["pin"]}),
        ("/v1/sessions/s-1/handoff", {"agent": "front-desk", "say": secret}, {"to": "front-desk"}),
        ("/v1/sessions/s-1/mute", {"what": "voice"}, {"what": "voice"}),
        ("/v1/sessions/s-1/history", {"add": {"role": "user", "text": secret}}, {"edit": "add"}),
        ("/v1/token", {"room_name": "r", "participant_identity": "ann"}, {"room": "r", "agents": ["front-desk"]}),
        ("/api/token", {"participant_identity": "ann"}, {"identity": "ann", "deed": "token"}),
        ("/v1/dispatches", {"agent": "front-desk", "room": "r", "metadata": secret}, {"agent": "front-desk"}),
        ("/v1/agents/front-desk/rollback", {"to": "abc"}, {"agent": "front-desk", "revision": "abc"}),
    ]
    async with (
        serve_admin(daemon, SETTINGS, Metrics(), ENDPOINT, entries.append) as address,
        conforming(address, headers=bearer(DESK)) as client,
    ):
        for path, body, _ in requests:
            await client.post(path, json=body)
    assert [entry["path"] for entry in entries] == [path for path, _, _ in requests]
    for entry, (_, _, told) in zip(entries, requests, strict=True):
        assert {name: entry.get(name) for name in told} == told
    assert secret not in str(entries)
