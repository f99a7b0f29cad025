from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.rate import MOST_KEYS, RateLimit
from agentd.admin.roles import Operator, known, needed, operator
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings, UnsafeBind, check_bind
from agentd.errors import JournalError
from tests.admin.conformance import conforming
from tests.admin.conftest import ENDPOINT, Serve
from tests.fakes.daemon import FakeDaemon

GRAFANA = operator("grafana", "read", "read-token-0123456789")
DESK = operator("desk", "operate", "desk-token-0123456789")
SITE = operator("site", "mint", "mint-token-0123456789")
SETTINGS = AdminSettings(addr="127.0.0.1:0", token="all", operators=(GRAFANA, DESK, SITE))


def bearer(who: Operator) -> dict[str, str]:
    return {"Authorization": f"Bearer {who.token}"}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer read-token-0123456789", "grafana"),
        ("bearer  desk-token-0123456789 ", "desk"),
        ("Basic desk-token-0123456789", None),
        ("Bearer desk-token", None),
        ("Bearer ", None),
        ("", None),
        (None, None),
    ],
)
def test_an_operator_is_known_by_the_whole_token_only(header: str | None, name: str | None) -> None:
    found = known(header, (*SETTINGS.known, Operator(name="without")))
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/v1/sessions", "read"),
        ("HEAD", "/v1/sessions", "read"),
        ("POST", "/v1/sessions/s-1/say", "operate"),
        ("DELETE", "/v1/agents/front-desk", "operate"),
        ("POST", "/v1/token", "mint"),
        ("POST", "/v1/dispatches", "mint"),
    ],
)
def test_each_request_needs_one_role(method: str, path: str, role: str) -> None:
    assert needed(method, path) == role


@pytest.mark.parametrize(
    ("who", "answers"),
    [(GRAFANA, (200, 403, 403)), (DESK, (200, 202, 201)), (SITE, (403, 403, 201)), (None, (401, 401, 401))],
    ids=["read", "operate", "mint", "nobody"],
)
async def test_a_token_may_what_its_role_says(serve: Serve, who: Operator | None, answers: tuple[int, ...]) -> None:
    client = await serve(SETTINGS, replace(ENDPOINT, public=False))
    headers = bearer(who) if who else {}
    looked = await client.get("/v1/sessions", headers=headers)
    acted = await client.post("/v1/sessions/s-1/interrupt", headers=headers)
    minted = await client.post("/v1/token", headers=headers)
    assert (looked.status, acted.status, minted.status) == answers


async def test_a_refusal_names_the_role_that_is_missing(serve: Serve) -> None:
    answer = await (await serve(SETTINGS)).post("/v1/drain", headers=bearer(GRAFANA))
    assert (await answer.json())["detail"] == "the token of grafana may read; this asks for operate"


async def test_only_who_may_mint_can_name_the_room(serve: Serve) -> None:
    client = await serve(SETTINGS, ENDPOINT)
    wanted = {"room_name": "their-call"}
    assert (await client.post("/v1/token", json=wanted)).status == 403
    assert (await client.post("/v1/token", json=wanted, headers=bearer(SITE))).status == 201


def test_an_open_address_needs_a_token_of_any_role() -> None:
    check_bind(AdminSettings(addr="0.0.0.0:1", operators=(GRAFANA,)))
    with pytest.raises(UnsafeBind):
        check_bind(AdminSettings(addr="0.0.0.0:1"))


# How often one may ask


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    limit = RateLimit(per_second=2, burst=4)
    assert [limit.take("a", 10.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limit.take("b", 10.0) == 0
    assert limit.take("a", 10.5) == 0
    assert limit.take("a", 10.5) == 0.5
    assert [limit.take("a", 99.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_addresses_without_end_take_no_memory_without_end() -> None:
    limit = RateLimit(per_second=1, burst=1)
    for number in range(3 * MOST_KEYS):
        limit.take(str(number), 0.0)
    assert len(limit._buckets) == MOST_KEYS


async def test_who_asks_too_often_is_told_when_to_come_back(serve: Serve) -> None:
    slow = AdminSettings(addr="127.0.0.1:0", operators=(GRAFANA, DESK), rate_limit=0.5)
    client = await serve(slow, metrics=Metrics())
    first, second = [await client.get("/v1/sessions", headers=bearer(GRAFANA)) for _ in range(2)]
    other = await client.get("/v1/sessions", headers=bearer(DESK))
    assert (first.status, second.status, other.status) == (200, 429, 200)
    assert second.content_type == "application/problem+json"
    assert second.headers["Retry-After"] in ("1", "2")
    assert (await client.get("/livez")).status == 200  # whatever the clients do


async def test_guessing_a_token_is_slow(serve: Serve) -> None:
    metrics = Metrics()
    client = await serve(SETTINGS, metrics=metrics)
    answers = [(await client.get("/v1/status", headers={"Authorization": f"Bearer {n}"})).status for n in range(30)]
    assert answers[:20] == [401] * 20
    assert 429 in answers
    assert (await client.get("/v1/status", headers=bearer(GRAFANA))).status == 200  # from the same address
    assert b'agentd_admin_refused_total{reason="guesses"}' in metrics.text()


# What operators did


async def kept(daemon: FakeDaemon, *requests: tuple[str, str, Any], fails: bool = False) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = []

    def audit(entry: Mapping[str, Any]) -> None:
        if fails:
            raise JournalError("the disk is full")
        entries.append(entry)

    async with (
        serve_admin(daemon, SETTINGS, Metrics(), ENDPOINT, audit) as address,
        conforming(address, headers=bearer(DESK)) as client,
    ):
        for method, path, body in requests:
            await client.request(method, path, json=body)
        if fails:
            assert (await client.post("/v1/sessions/s-1/interrupt")).status == 202
    return entries


async def test_what_operators_did_is_kept_and_nothing_of_what_was_said(daemon: FakeDaemon) -> None:
    entries = await kept(
        daemon,
        ("POST", "/v1/sessions/s-1/say", {"text": "Your number is 4711."}),
        ("POST", "/v1/sessions/none/end", None),
        ("GET", "/v1/sessions", None),
        ("GET", "/v1/sessions/s-1/journal", None),
        ("POST", "/v1/nothing", None),
    )
    told = [(entry["operator"], entry["method"], entry["path"], entry["status"]) for entry in entries]
    assert told == [
        ("desk", "POST", "/v1/sessions/s-1/say", 202),
        ("desk", "POST", "/v1/sessions/none/end", 404),
        ("desk", "GET", "/v1/sessions/s-1/journal", 404),
        ("desk", "POST", "/v1/nothing", 404),
    ]
    assert (entries[0]["session"], entries[0]["address"]) == ("s-1", "127.0.0.1")
    assert len(entries[0]["body_sha256"]) == 64
    assert "4711" not in str(entries)


async def test_a_deed_is_done_though_it_cannot_be_kept(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture) -> None:
    await kept(daemon, fails=True)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["audit_failed"]


async def test_callers_who_get_tokens_are_no_operators(daemon: FakeDaemon) -> None:
    entries: list[Mapping[str, Any]] = []
    async with (
        serve_admin(daemon, SETTINGS, Metrics(), ENDPOINT, entries.append) as address,
        conforming(address) as client,
    ):
        assert (await client.post("/v1/token")).status == 201
        assert (await client.post("/v1/token", headers=bearer(SITE))).status == 201
    assert [entry["operator"] for entry in entries] == ["site"]
