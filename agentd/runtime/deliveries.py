"""Sends what waits in the outbox: each event at least once, in any order, until its sink has taken it.

deliveries{ delivery x N }. A sink has a few requests under way at once and one breaker with all that go to its host, so
that one which is down or slow holds up no other. Nothing is ever given to a call to wait for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agentd.aio import now
from agentd.config.events import EventSink
from agentd.errors import ToolError
from agentd.runtime.outbox import Delivery, Outbox, OutboxFailed
from agentd.runtime.status import Measure, MeasureSink, SinkStatus
from agentd.tools.endpoint import Message, breaker_of, post, shown
from agentd.tools.headers import retry_after_s
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient

logger = logging.getLogger(__name__)

DELAYS_S = (0.0, 5.0, 30.0, 300.0, 1800.0, 7200.0)
"""Of each attempt after the one before it."""
JITTER = 0.2  # of the delay, on top of it
KEPT_S = 24 * 3600.0  # an event that nobody took by then is of no use
AT_ONCE = 4  # requests to one sink
BLOCKED_S = 1.0  # how soon to look again at a sink that its host's breaker holds up
DISK_RETRY_S = 5.0
EXPIRE_EVERY_S = 60.0
SAY_EVERY_S = 60.0
GONE = 410
ERROR_CHARACTERS = 200


@dataclass(slots=True, kw_only=True)
class Sink:
    """A sink of an agent's, or (agent "") of the daemon's, and how it does."""

    agent: str
    setting: EventSink
    disabled: bool = False
    under_way: set[int] = field(default_factory=set)
    delivered: int = 0
    failed: int = 0  # attempts
    lost: int = 0  # events
    last_error: str = ""
    failing: bool = False
    last_error_at: float = 0.0
    last_delivery_at: float = 0.0
    unsaid: int = 0  # events that were dropped since the log said so
    say_again: float = 0.0

    @property
    def key(self) -> str:
        return sink_key(self.agent, self.setting)


def sink_key(agent: str, setting: EventSink) -> str:
    """Its name in the outbox: of an address, which may hold a secret, only a digest."""
    return f"{agent}:{hashlib.sha256(setting.url.encode()).hexdigest()[:16]}"


class Deliveries:
    """`clock`: unix time."""

    def __init__(
        self,
        outbox: Outbox,
        client: WebhookClient,
        measures: MeasureSink,
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._measures = measures
        self._clock = clock
        self._rng = rng or random.Random()
        self._sinks: dict[str, Sink] = {}
        self._stirred = asyncio.Event()

    def know(self, sinks: Iterable[tuple[str, EventSink]]) -> None:
        """(agent, setting) of all that are configured now. What waits for one that is not any more is still sent."""
        for agent, setting in sinks:
            known = self._sinks.setdefault(sink_key(agent, setting), Sink(agent=agent, setting=setting))
            known.setting = setting
        self.stir()

    def forget_others(self, sinks: Iterable[tuple[str, EventSink]]) -> None:
        """Of those that are not configured any more, the ones that nothing waits for."""
        kept = {sink_key(*each) for each in sinks}
        for key in [key for key in self._sinks if key not in kept]:
            if not self._outbox.waiting(key):
                del self._sinks[key]

    def enable(self) -> None:
        """Sinks that were gone may have come back: a reload has been asked for."""
        for sink in self._sinks.values():
            if sink.disabled:
                sink.disabled = sink.failing = False
        self.stir()

    def takes(self, agent: str, setting: EventSink) -> bool:
        """Whether it wants to be told; it is known from now on."""
        sink = self._sinks.setdefault(sink_key(agent, setting), Sink(agent=agent, setting=setting))
        return not sink.disabled

    def dropped(self, key: str, number: int) -> None:
        """The oldest of this sink's events had to make room."""
        sink = self._sinks.get(key)
        self.counted(key.partition(":")[0], "dropped", number)
        if sink is not None:
            sink.lost += number
            sink.unsaid += number
            if now() >= sink.say_again:
                extra = {"agent": sink.agent, "sink": shown(sink.setting.url), "events": sink.unsaid}
                logger.warning("events dropped: too many wait", extra=extra)
                sink.unsaid, sink.say_again = 0, now() + SAY_EVERY_S

    def stir(self) -> None:
        """Something may be due."""
        self._stirred.set()

    def count(self, sink: Sink, outcome: str, number: int = 1) -> None:
        self.counted(sink.agent, outcome, number)

    def counted(self, agent: str, outcome: str, number: int = 1) -> None:
        labels = {"agent": agent, "outcome": outcome}
        self._measures.apply(Measure(name="event_deliveries_total", value=number, labels=labels))

    def statuses(self) -> tuple[SinkStatus, ...]:
        return tuple(self._status(sink) for sink in self._sinks.values())

    def _status(self, sink: Sink) -> SinkStatus:
        return SinkStatus(
            agent=sink.agent,
            url=shown(sink.setting.url),
            types=sink.setting.types,
            state="disabled" if sink.disabled else "failing" if sink.failing else "ok",
            waiting=self._outbox.waiting(sink.key),
            delivered=sink.delivered,
            failed=sink.failed,
            lost=sink.lost,
            last_error=sink.last_error,
            last_error_at=sink.last_error_at or None,
            last_delivery_at=sink.last_delivery_at or None,
        )

    # Sending.

    async def run(self) -> None:
        """Until cancelled; what is under way then is sent again after the next start."""
        expire_at = now()
        async with asyncio.TaskGroup() as group:
            while True:
                self._stirred.clear()
                try:
                    if now() >= expire_at:
                        expire_at = now() + EXPIRE_EVERY_S
                        self._expire()
                    wait_s = self._begin_due(group)
                except OutboxFailed as error:
                    logger.error("outbox failed", extra={"error": str(error)})  # noqa: TRY400 -- expected, one line
                    wait_s = DISK_RETRY_S
                try:
                    async with asyncio.timeout(max(0.0, min(wait_s, expire_at - now()))):
                        await self._stirred.wait()
                except TimeoutError:
                    continue

    async def drained(self, within_s: float) -> None:
        """Returns when nothing is due or under way, or the time is over: for the end of the daemon."""
        try:
            async with asyncio.timeout(within_s):
                while any(self._is_busy(sink) for sink in self._sinks.values()):  # noqa: ASYNC110 (no one event)
                    await asyncio.sleep(0.05)
        except (TimeoutError, OutboxFailed):
            return

    def _is_busy(self, sink: Sink) -> bool:
        if sink.under_way:
            return True
        due_at = None if sink.disabled or sink.failing else self._outbox.next_due(sink.key)
        return due_at is not None and due_at <= self._clock()

    def _begin_due(self, group: asyncio.TaskGroup) -> float:
        """Begins what can be begun; seconds until something more may be."""
        wait_s = EXPIRE_EVERY_S
        for sink in self._sinks.values():
            if sink.disabled or not self._outbox.waiting(sink.key):
                continue
            wait_s = min(wait_s, self._begin_due_of(sink, group))
        return wait_s

    def _begin_due_of(self, sink: Sink, group: asyncio.TaskGroup) -> float:
        breaker = breaker_of(sink.setting, self._client)
        for delivery in self._outbox.due(sink.key, self._clock(), AT_ONCE + len(sink.under_way)):
            if delivery.number in sink.under_way:
                continue
            if len(sink.under_way) >= AT_ONCE:
                return EXPIRE_EVERY_S  # the end of one of them stirs
            if not breaker.permits(now()):
                return BLOCKED_S
            sink.under_way.add(delivery.number)
            group.create_task(self._deliver(sink, delivery), name=f"event {delivery.id}")
        return self._until_next(sink)

    def _until_next(self, sink: Sink) -> float:
        """Behind what is under way; never at once, as that would be due still."""
        due_at = self._outbox.next_due(sink.key)
        if due_at is None:
            return EXPIRE_EVERY_S
        if sink.under_way and due_at <= self._clock():
            return BLOCKED_S
        return max(0.001, due_at - self._clock())

    async def _deliver(self, sink: Sink, delivery: Delivery) -> None:
        try:
            result = await self._attempt(sink, delivery)
            await self._settle(sink, delivery, result)
        finally:
            sink.under_way.discard(delivery.number)
            self.stir()

    async def _attempt(self, sink: Sink, delivery: Delivery) -> Answer | Exception:
        message = Message(id=delivery.id, body=delivery.body, traceparent=delivery.trace)
        attempt = delivery.attempts + 1
        try:
            return await post("events", sink.setting, message, self._client, now_s=now(), attempt=attempt)
        except (NotSent, AnswerLost, ToolError) as error:
            return error

    async def _settle(self, sink: Sink, delivery: Delivery, result: Answer | Exception) -> None:
        status = result.status if isinstance(result, Answer) else 0
        if 200 <= status < 300:
            sink.delivered, sink.failing, sink.last_delivery_at = sink.delivered + 1, False, self._clock()
            self.count(sink, "delivered")
            await self._written(lambda: self._outbox.settle(delivery))
            return
        self._note(sink, delivery, result)
        if status == GONE:
            await self._disable(sink)
            return
        delay_s = delay_after(result, delivery.attempts + 1, self._rng)
        if delay_s is None:
            sink.lost += 1
            self.count(sink, "given_up")
            logger.warning("event given up", extra=self._extra(sink, delivery))
            await self._written(lambda: self._outbox.settle(delivery))
        else:
            self.count(sink, "failed")
            due_at = self._clock() + delay_s
            await self._written(lambda: self._outbox.postpone(delivery, due_at))

    def _note(self, sink: Sink, delivery: Delivery, result: Answer | Exception) -> None:
        """The first failure after a success is told; the others show in the sink's state and the figures."""
        error = f"it answered {result.status}" if isinstance(result, Answer) else str(result)
        sink.failed += 1
        sink.last_error, sink.last_error_at = error[:ERROR_CHARACTERS], self._clock()
        if not sink.failing:
            sink.failing = True
            logger.warning("event not delivered", extra={**self._extra(sink, delivery), "error": sink.last_error})

    async def _disable(self, sink: Sink) -> None:
        sink.disabled = True
        lost = self._outbox.waiting(sink.key)
        sink.lost += lost
        logger.warning(
            "event sink disabled: it answered 410; a reload enables it",
            extra={"agent": sink.agent, "sink": shown(sink.setting.url), "lost": lost},
        )
        self.count(sink, "gone", lost)
        await self._written(lambda: self._outbox.clear(sink.key))

    async def _written(self, write: Callable[[], object]) -> None:
        """Once the disk takes it: until then the request's place is kept, so that a full disk makes no storm."""
        while True:
            try:
                write()
            except OutboxFailed as error:
                logger.error("outbox failed", extra={"error": str(error)})  # noqa: TRY400 -- expected, one line
                await asyncio.sleep(DISK_RETRY_S)
            else:
                return

    def _expire(self) -> None:
        for key, number in self._outbox.expire(self._clock() - KEPT_S).items():
            sink = self._sinks.get(key)
            agent = sink.agent if sink else key.partition(":")[0]
            if sink is not None:
                sink.lost += number
            self.counted(agent, "expired", number)
            logger.warning("events expired", extra={"agent": agent, "events": number})

    def _extra(self, sink: Sink, delivery: Delivery) -> dict[str, object]:
        named = {"agent": sink.agent, "sink": shown(sink.setting.url), "event": delivery.type}
        return {**named, "webhook_id": delivery.id, "attempt": delivery.attempts + 1}


def delay_after(result: Answer | Exception, attempt: int, rng: random.Random) -> float | None:
    """Seconds until the next attempt after this one failed; None when it was the last. Pure but for the jitter."""
    if attempt >= len(DELAYS_S):
        return None
    delay_s = DELAYS_S[attempt] * (1 + JITTER * rng.random())
    asked_s = retry_after_s(result.retry_after) if isinstance(result, Answer) else None
    return delay_s if asked_s is None else min(max(delay_s, asked_s), KEPT_S)
