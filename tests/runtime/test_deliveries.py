"""Deliveries in virtual time: when an event is sent again, when it is given up, and what a sink that is down costs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentd.aio import cancel_and_wait, now
from agentd.config.events import EventSink
from agentd.providers.fields import Secret
from agentd.runtime.deliveries import DELAYS_S, KEPT_S, Deliveries, delay_after, sink_key
from agentd.runtime.outbox import Delivery, Outbox, OutboxFailed
from agentd.runtime.status import SinkStatus
from agentd.tools import signing
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from tests.fakes.clock import run_virtual
from tests.runtime.parts import Counted

T0 = 1_800_000_000.0
SECRETS = ("whsec_" + "A" * 32, "whsec_" + "B" * 32)
SINK = EventSink(url="https://hooks.example.com/events?key=hidden")
OK = Answer(status=200)


@dataclass(frozen=True)
class Sent:
    at: float
    url: str
    id: str
    headers: Mapping[str, str]
    body: bytes


class FakeClient(WebhookClient):
    """Answers as it is told: an Answer, an exception, or seconds to wait before a good answer."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.script: deque[Answer | Exception | float] = deque()
        self.default: Answer | Exception | float = OK
        self.most_at_once = 0
        self._at_once = 0

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.sent.append(Sent(now(), url, headers["webhook-id"], headers, body))
        result = self.script.popleft() if self.script else self.default
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(result if isinstance(result, float) else 0.01)
        finally:
            self._at_once -= 1
        if isinstance(result, Exception):
            raise result
        return OK if isinstance(result, float) else result


@dataclass
class Desk:
    """Deliveries over an outbox, with a scripted client."""

    path: Path
    client: FakeClient = field(default_factory=FakeClient)
    measures: Counted = field(default_factory=Counted)
    outbox: Outbox = field(init=False)
    deliveries: Deliveries = field(init=False)

    def put(self, *ids: str, sink: EventSink = SINK, agent: str = "desk") -> None:
        at = T0 + now()
        self.outbox.put(
            [
                Delivery(
                    id=id,
                    sink=sink_key(agent, sink),
                    type="turn.user",
                    trace="00-1-2-01",
                    body=id.encode(),
                    made_at=at,
                    due_at=at,
                )
                for id in ids
            ]
        )
        self.deliveries.stir()

    @asynccontextmanager
    async def open(self, *sinks: EventSink) -> AsyncIterator[None]:
        self.outbox = Outbox(self.path)
        self.deliveries = Deliveries(
            self.outbox, self.client, self.measures, clock=lambda: T0 + now(), rng=random.Random(1)
        )
        self.deliveries.know([("desk", sink) for sink in sinks or (SINK,)])
        running = asyncio.get_running_loop().create_task(self.deliveries.run())
        try:
            yield
            if running.done():
                running.result()
        finally:
            await cancel_and_wait(running)
            self.outbox.close()

    def status(self) -> SinkStatus:
        return self.deliveries.statuses()[0]

    def counts(self) -> Counter[str]:
        outcomes = ("delivered", "failed", "given_up", "gone", "expired", "dropped")
        return Counter({each: int(self.measures.of("event_deliveries_total", outcome=each)) for each in outcomes})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "outbox.db")


def virtual(main: Coroutine[Any, Any, None]) -> None:
    run_virtual(main, limit_s=10 * 24 * 3600)


def test_an_event_is_sent_at_once_signed_with_every_secret_and_is_gone(desk: Desk) -> None:
    sink = EventSink(
        url="https://hooks.example.com/events",
        secret=Secret("literal", " ".join(SECRETS)),
        headers={"x-team": Secret("literal", "clinic")},
    )

    async def main() -> None:
        async with desk.open(sink):
            desk.put("ev_1", sink=sink)
            await asyncio.sleep(1)
        (sent,) = desk.client.sent
        assert sent.at < 0.01
        assert sent.body == b"ev_1"
        assert len(sent.headers["webhook-signature"].split()) == 2
        timestamp = int(sent.headers["webhook-timestamp"])
        for secret in SECRETS:
            signing.verify(signing.keys(secret), sent.headers, sent.body, timestamp)
        named = {name: sent.headers[name] for name in ("x-team", "agentd-attempt", "agentd-contract", "traceparent")}
        assert named == {"x-team": "clinic", "agentd-attempt": "1", "agentd-contract": "1", "traceparent": "00-1-2-01"}
        assert desk.counts() == Counter(delivered=1)

    virtual(main())


def test_it_is_tried_six_times_over_two_and_a_half_hours_and_given_up(desk: Desk) -> None:
    desk.client.default = Answer(status=500)

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(4 * 3600)
            assert desk.outbox.waiting(sink_key("desk", SINK)) == 0
            status = desk.status()
        gaps = [b.at - a.at for a, b in zip(desk.client.sent, desk.client.sent[1:], strict=False)]
        assert [len(desk.client.sent), len(gaps)] == [6, 5]
        for gap, delay in zip(gaps, DELAYS_S[1:], strict=True):
            assert delay <= gap <= delay * 1.2 + 0.1
        assert [sent.headers["agentd-attempt"] for sent in desk.client.sent] == list("123456")
        assert {sent.id for sent in desk.client.sent} == {"ev_1"}
        assert desk.counts() == Counter(failed=5, given_up=1)
        assert (status.state, status.failed, status.lost, status.last_error) == ("failing", 6, 1, "it answered 500")
        assert status.url == "https://hooks.example.com/events"  # what may be a secret in it is not shown
        assert b"hidden" not in desk.path.read_bytes()

    virtual(main())


@pytest.mark.parametrize(
    "failure", [NotSent("no connection"), AnswerLost("the connection was lost"), Answer(status=301), Answer(status=404)]
)
def test_any_failure_is_tried_again(desk: Desk, failure: Answer | Exception) -> None:
    desk.client.script.append(failure)

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(20)
            assert desk.status().state == "ok"
        assert [round(sent.at) for sent in desk.client.sent] in ([0, 5], [0, 6])
        assert desk.counts() == Counter(failed=1, delivered=1)

    virtual(main())


def test_an_answer_that_does_not_come_is_a_failure_after_the_sinks_timeout(desk: Desk) -> None:
    desk.client.script.append(1e6)

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(30)
        assert 15 <= desk.client.sent[1].at <= 16.1

    virtual(main())


def test_retry_after_is_obeyed_and_bounded() -> None:
    rng = random.Random(1)
    assert delay_after(Answer(status=503, retry_after="600"), 1, rng) == 600
    assert delay_after(Answer(status=503, retry_after="1"), 2, rng) >= 30  # type: ignore[operator]
    assert delay_after(Answer(status=429, retry_after="999999999"), 1, rng) == KEPT_S
    assert delay_after(Answer(status=429, retry_after="soon"), 1, rng) < 7  # type: ignore[operator]
    assert delay_after(Answer(status=429, retry_after="1"), 6, rng) is None


def test_what_waits_is_sent_after_a_restart_when_it_is_due(desk: Desk) -> None:
    desk.client.script.extend([Answer(status=500), Answer(status=500)])

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(10)
        assert len(desk.client.sent) == 2
        async with desk.open():
            await asyncio.sleep(10)
            assert len(desk.client.sent) == 2
            await asyncio.sleep(60)
        assert [sent.headers["agentd-attempt"] for sent in desk.client.sent] == ["1", "2", "3"]
        assert desk.outbox.path.exists()

    virtual(main())


def test_what_was_under_way_at_the_end_is_sent_again(desk: Desk) -> None:
    desk.client.script.append(1e6)

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(1)
        async with desk.open():
            await asyncio.sleep(1)
        assert [(sent.id, sent.headers["agentd-attempt"]) for sent in desk.client.sent] == [("ev_1", "1")] * 2

    virtual(main())


def test_410_disables_the_sink_until_a_reload(desk: Desk) -> None:
    desk.client.script.append(Answer(status=410))

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1")
            await asyncio.sleep(1)
            assert desk.status().state == "disabled"
            assert not desk.deliveries.takes("desk", SINK)
            await asyncio.sleep(24 * 3600)
            assert len(desk.client.sent) == 1
            desk.deliveries.enable()
            assert desk.deliveries.takes("desk", SINK)
            desk.put("ev_2")
            await asyncio.sleep(1)
        assert [sent.id for sent in desk.client.sent] == ["ev_1", "ev_2"]
        assert desk.counts() == Counter(gone=1, delivered=1)

    virtual(main())


def test_a_host_that_is_down_is_asked_by_one_at_a_time_and_holds_up_no_other(desk: Desk) -> None:
    other = EventSink(url="https://other.example.com/events")
    desk.client.default = NotSent("no connection")

    async def main() -> None:
        async with desk.open(SINK, other):
            desk.put(*(f"ev_{n}" for n in range(100)))
            await asyncio.sleep(4)
            down = len(desk.client.sent)
            assert down <= 8  # four at once, until five had failed in a row
            desk.client.default = OK
            desk.put("ev_other", sink=other)
            await asyncio.sleep(0.5)
            assert desk.client.sent[-1].id == "ev_other"
            await asyncio.sleep(60)
        assert desk.counts()["delivered"] == 101
        assert {sent.id for sent in desk.client.sent} == {*(f"ev_{n}" for n in range(100)), "ev_other"}

    virtual(main())


def test_a_slow_sink_has_four_requests_at_once(desk: Desk) -> None:
    desk.client.default = 2.0

    async def main() -> None:
        async with desk.open():
            desk.put(*(f"ev_{n}" for n in range(20)))
            await asyncio.sleep(30)
        assert (desk.client.most_at_once, len(desk.client.sent)) == (4, 20)

    virtual(main())


def test_a_day_without_an_answer_is_bounded_and_counted(desk: Desk) -> None:
    desk.client.default = NotSent("no connection")

    async def main() -> None:
        async with desk.open():
            desk.outbox.events_kept = 50
            key = sink_key("desk", SINK)
            for hour in range(30):
                for n in range(20):
                    desk.put(f"ev_{hour}_{n}")
                assert desk.outbox.waiting(key) <= 50
                await asyncio.sleep(3600)
        assert len(desk.client.sent) < 30 * 3600 / 10 + 100  # the breaker's pace, whatever waits

    virtual(main())


def test_what_nobody_took_for_a_day_expires_also_of_a_sink_that_is_no_more(desk: Desk) -> None:
    gone = EventSink(url="https://gone.example.com/")

    async def main() -> None:
        async with desk.open():
            desk.put("ev_1", sink=gone, agent="former")
            await asyncio.sleep(KEPT_S - 100)
            assert desk.outbox.waiting(sink_key("former", gone)) == 1
            await asyncio.sleep(300)
            assert desk.outbox.waiting(sink_key("former", gone)) == 0
        assert desk.measures.of("event_deliveries_total", agent="former", outcome="expired") == 1

    virtual(main())


def test_a_full_disk_makes_no_storm_of_repetitions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Outbox.settle

    def refuse(self: Outbox, delivery: Delivery) -> None:
        if now() < 60:
            raise OutboxFailed("full")
        settle(self, delivery)

    async def main() -> None:
        monkeypatch.setattr(Outbox, "settle", refuse)
        async with desk.open():
            desk.put(*(f"ev_{n}" for n in range(10)))
            await asyncio.sleep(50)
            assert len(desk.client.sent) == 4
            await asyncio.sleep(50)
            assert desk.outbox.waiting(sink_key("desk", SINK)) == 0
        assert sorted(Counter(sent.id for sent in desk.client.sent).values()) == [1] * 10

    virtual(main())


def test_an_address_that_may_not_be_reached_and_a_bad_secret_are_said_and_sent_nowhere(desk: Desk) -> None:
    inside = EventSink(url="https://169.254.169.254/latest")
    bad = EventSink(url="https://x.example.com/", secret=Secret("literal", "nonsense"))

    async def main() -> None:
        async with desk.open(inside, bad):
            desk.put("ev_1", sink=inside)
            desk.put("ev_2", sink=bad)
            await asyncio.sleep(1)
            errors = {status.last_error for status in desk.deliveries.statuses()}
        assert desk.client.sent == []
        assert any("never reach" in error for error in errors)
        assert any("whsec_" in error for error in errors)
        assert not any("nonsense" in error for error in errors)

    virtual(main())


def test_the_daemons_end_waits_for_what_is_due_and_not_for_what_is_down(desk: Desk) -> None:
    desk.client.default = 0.5

    async def main() -> None:
        async with desk.open():
            desk.put(*(f"ev_{n}" for n in range(8)))
            began = now()
            await desk.deliveries.drained(3.0)
            assert now() - began < 1.2
            assert desk.outbox.waiting(sink_key("desk", SINK)) == 0
            desk.client.default = NotSent("no connection")
            desk.put("ev_x")
            await asyncio.sleep(0.1)
            began = now()
            await desk.deliveries.drained(3.0)
            assert now() - began < 0.2

    virtual(main())
