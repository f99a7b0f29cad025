"""A call's latencies have one source: journal, metrics and the admin API tell the same."""

from __future__ import annotations

import pytest

from agentd.config.definition import Greeting
from agentd.runtime.measures import measures
from agentd.runtime.visible import visible_changes
from agentd.session.records import Record
from agentd.session.timing import STAGES, TOTAL
from tests.fakes.call import calling, definition
from tests.fakes.clock import run_virtual


async def a_call() -> list[Record]:
    async with calling(agent=definition(greeting=Greeting(say="Hello there."))) as call:
        await call.room.silent(2)
        for text in ("When do you open?", "And on Sundays?"):
            await call.say(text)
            await call.room.silent(1)
        return call.records


def test_journal_metrics_and_api_tell_the_same_latencies_and_they_add_up() -> None:
    records = run_virtual(a_call())
    told = [
        record.data["latencies"]
        for record in records
        if record.data.get("purpose") == "answer" and "latencies" in record.data
    ]
    assert len(told) == 2
    observed = [m for record in records for m in measures(record, "a") if m.name == "turn_latency_seconds"]
    assert [(m.labels["stage"], m.value) for m in observed] == [
        (stage, latencies[stage]) for latencies in told for stage in (*STAGES, TOTAL) if stage in latencies
    ]
    shown = [change["latencies"] for record in records if "latencies" in (change := visible_changes(record))]
    assert shown == told
    for stage_sum, latencies in ((sum(v for n, v in each.items() if n != TOTAL), each) for each in told):
        assert stage_sum == pytest.approx(latencies[TOTAL], abs=1e-9)
        assert latencies[TOTAL] > 0.5


def test_a_greeting_is_no_silence_after_a_turn() -> None:
    records = run_virtual(a_call())
    greeting = next(
        record for record in records if record.kind == "turn.agent" and record.data["purpose"] == "greeting"
    )
    assert greeting.data["latencies"]
    assert measures(greeting, "a") == []
    assert visible_changes(greeting) == {}


def test_attempts_are_counted_by_what_became_of_them() -> None:
    records = run_virtual(a_call())
    counted = [
        m.labels["outcome"] for record in records for m in measures(record, "a") if m.name == "preemptions_total"
    ]
    assert counted == ["used", "used"]


def test_the_caller_of_a_session_with_several_people_is_all_who_are_there() -> None:
    linked = {"identity": "ben-1", "name": "Ben", "present": ["Anna", "Ben"]}
    left = {"identity": "ben-1", "reason": "client_initiated", "final": True, "present": ["Anna"]}
    records = [Record(seq=n, at=0.0, kind=k, data=d) for n, (k, d) in enumerate(
        [("caller.linked", linked), ("caller.left", left), ("caller.linked", {"identity": "zoe", "name": ""})]
    )]  # fmt: skip
    assert [visible_changes(record) for record in records] == [
        {"caller": "Anna, Ben"}, {"caller": "Anna"}, {"caller": "zoe"},
    ]  # fmt: skip
