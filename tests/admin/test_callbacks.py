"""Tools bring their results: what the public path takes, from whom, and how it refuses."""

from __future__ import annotations

import gzip

import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.settings import AdminSettings
from agentd.runtime.status import BetweenWorkers
from agentd.session.callbacks import Callback, Delivery
from agentd.tools.spec import LateAnswer
from tests.admin.conftest import Serve
from tests.fakes.daemon import FakeDaemon

PATH = "/v1/callbacks/s-1/tc_1"
TOKEN = {"Authorization": "Bearer t0k"}


async def test_a_result_is_taken_with_its_own_token_and_no_other(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="admin"))
    named = {**TOKEN, "Host": "voice.example.com"}  # as a proxy passes it on
    async with client.post(PATH, json={"slot": 9}, headers=named) as answer:
        assert answer.status == 204
    async with client.post(PATH, data="nine", headers={**TOKEN, "Content-Type": "text/plain"}) as answer:
        assert answer.status == 204
    assert daemon.delivered == [
        ("s-1", "tc_1", "t0k", LateAnswer(content_type="application/json", text='{"slot": 9}')),
        ("s-1", "tc_1", "t0k", LateAnswer(content_type="text/plain", text="nine")),
    ]


@pytest.mark.parametrize(
    ("delivery", "status"),
    [("used", 409), ("late", 410), ("refused", 401), (BetweenWorkers("between two workers"), 503)],
)
async def test_what_is_not_taken_is_told_why(
    serve: Serve, daemon: FakeDaemon, delivery: Delivery | BetweenWorkers, status: int
) -> None:
    daemon.delivery = delivery
    metrics = Metrics()
    client = await serve(metrics=metrics)
    async with client.post(PATH, json={}, headers=TOKEN) as answer:
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert ("Retry-After" in answer.headers) == (status == 503)
    counted = f'agentd_tool_callbacks_total{{outcome="{delivery}"}} 1.0' in metrics.text().decode()
    assert counted == (status != 503)  # which is brought again


async def test_a_conversation_that_is_over_takes_nothing(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    async with client.post("/v1/callbacks/s-9/tc_1", json={}, headers=TOKEN) as answer:
        assert answer.status == 410


async def test_without_a_token_none_is_guessed(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    for headers in ({}, {"Authorization": "Basic t0k"}):
        async with client.post(PATH, json={}, headers=headers):
            assert daemon.delivered[-1][2] == ""


@pytest.mark.parametrize("packed", [False, True])
async def test_a_result_is_read_to_the_limit_of_an_answer(serve: Serve, daemon: FakeDaemon, packed: bool) -> None:
    client = await serve()
    body = b"z" * (256 * 1024 + 1)
    headers = {**TOKEN, "Content-Encoding": "gzip"} if packed else TOKEN
    async with client.post(PATH, data=gzip.compress(body) if packed else body, headers=headers) as answer:
        assert answer.status == 413
    assert daemon.delivered == []


async def test_no_page_brings_results(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    async with client.post(PATH, json={}, headers={**TOKEN, "Origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    assert daemon.delivered == []


def test_a_callback_knows_its_tokens_and_keeps_none() -> None:
    callback = Callback(expires_at=0.0)
    first, second = callback.grant(), callback.grant()
    assert callback.knows(first)
    assert callback.knows(second)
    assert not callback.knows(first[:-1])
    assert not callback.knows("")
    assert len(first) >= 43  # 256 bits
    assert first not in repr(callback)
