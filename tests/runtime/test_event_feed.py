"""From journals to the outbox: nothing is lost to a kill, and nothing is taken twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentd.config.events import EventSink
from agentd.runtime.deliveries import Deliveries, sink_key
from agentd.runtime.event_feed import BODY_BYTES, DAEMON_EVENTS_WAITING, EventFeed, bounded
from agentd.runtime.journals import journal_path
from agentd.runtime.outbox import Delivery, Outbox, OutboxFailed
from agentd.session.journal import HEADER, Journal
from agentd.tools.http import WebhookClient
from tests.runtime.parts import Counted

ALL = EventSink(url="https://x.example/all", transcript=True)
SOME = EventSink(url="https://x.example/some", types=("session.*",))
DAEMON = EventSink(url="https://x.example/daemon")
LATER = EventSink(url="https://x.example/later", transcript=True)
STARTED = {"agent": "desk", "revision": "r1", "room": "room", "job_id": "AJ", "variables": {}}


class Desk:
    """A feed over a state directory; `restart` is what a kill -9 leaves."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.sinks = [("desk", ALL), ("desk", SOME), ("", DAEMON)]
        self.serving = {"desk": self.sinks}
        self.measures = Counted()
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(self.state / "outbox.db")
        self.deliveries = Deliveries(self.outbox, WebhookClient(), self.measures)

        def serving(agent: str) -> list[tuple[str, EventSink]]:
            return self.serving.get(agent, [("", DAEMON)])

        self.feed = EventFeed(self.outbox, self.deliveries, self.state, serving)
        self.feed.resume()

    def follow(self, session: str = "s-1") -> Journal:
        self.feed.follow(session, "desk", self.sinks, {"billing": [("billing", LATER), ("billing", ALL)]})
        return Journal.create(journal_path(self.state, session))

    def waiting(self, sink: EventSink = ALL, owner: str = "desk") -> list[Delivery]:
        return self.outbox.due(sink_key(owner, sink), 1e12, 100_000)

    def told(self, sink: EventSink = ALL, owner: str = "desk") -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self.waiting(sink, owner)]

    def types(self, sink: EventSink = ALL, owner: str = "desk") -> list[str]:
        return [each.type for each in self.waiting(sink, owner)]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def linked(journal: Journal) -> None:
    journal.append("caller.linked", {"identity": "ann", "name": "Ann", "kind": "sip", "returned": False})


async def test_each_sink_gets_what_it_wants(desk: Desk) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    linked(journal)
    journal.append("turn.user", {"turn": 1, "text": "hello", "language": "en", "source": "speech", "speaker": "ann"})
    journal.append("session.ended", {"reason": "caller_left", "duration_s": 2.0})
    assert desk.feed.follows("s-1")  # its journal must stay
    await desk.feed.look()
    assert not desk.feed.follows("s-1")
    every = ["session.started", "participant.linked", "turn.user", "session.usage", "session.ended"]
    assert desk.types(ALL) == every
    assert desk.types(SOME) == ["session.started", "session.usage", "session.ended"]
    assert desk.types(DAEMON, "") == every
    ended, there = desk.told(ALL)[-1], desk.told(SOME)[-1]
    assert [turn["text"] for turn in ended["data"]["transcript"]] == ["hello"]
    assert "transcript" not in there["data"]
    assert (ended["type"], ended["data"]["seq"], there["data"]["seq"]) == ("session.ended", 5, 5)
    assert ended["data"]["session"]["started_at"].endswith("Z")
    assert len({each.id for sink in (ALL, SOME) for each in desk.waiting(sink)}) == 8
    assert len({each.trace[:35] for each in desk.waiting()}) == 1


def handed_over(journal: Journal, to: str) -> None:
    told = {"revision": "r2", "history": "full", "rule": "model", "value": "", "place": "", "first": True}
    journal.append("handoff", {"from": "desk", "to": to, **told})


async def test_a_handoff_brings_the_sinks_of_the_agent_that_has_the_call(desk: Desk) -> None:
    """What was told the beginning of a call is told its end; what the other's file names is told what it does."""
    journal = desk.follow()
    journal.append("session.started", STARTED)
    handed_over(journal, "billing")
    handed_over(journal, "nobody-serves")
    journal.append("session.ended", {"reason": "caller_left", "duration_s": 2.0})
    await desk.feed.look()
    assert desk.types(LATER, "billing") == ["handoff", "handoff", "session.usage", "session.ended"]
    assert desk.told(LATER, "billing")[0]["data"]["seq"] == 2
    assert desk.types() == ["session.started", *desk.types(LATER, "billing")]
    assert desk.types(ALL, "billing") == []  # it was told as the first agent's


async def test_after_a_kill_the_sinks_of_the_agent_that_was_handed_the_call_are_those_that_serve(desk: Desk) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    handed_over(journal, "billing")
    await desk.feed.look()
    desk.serving["billing"] = [("billing", LATER)]
    desk.restart()
    journal.append("session.ended", {"reason": "caller_left", "duration_s": 2.0})
    await desk.feed.look()
    assert desk.types(LATER, "billing") == ["handoff", "session.usage", "session.ended"]


async def test_after_a_kill_a_call_is_told_from_where_it_was(desk: Desk) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    await desk.feed.look()
    linked(journal)  # nobody has looked when the daemon is killed
    desk.restart()
    await desk.feed.look()
    journal.append("session.ended", {"reason": "caller_left", "duration_s": 2.0})
    await desk.feed.look()
    assert desk.types() == ["session.started", "participant.linked", "session.usage", "session.ended"]
    assert [told["data"]["seq"] for told in desk.told()] == [1, 2, 3, 4]
    desk.restart()
    await desk.feed.look()
    assert len(desk.types()) == 4
    assert desk.outbox.followed() == ()


async def test_the_end_that_the_next_daemon_writes_is_told(desk: Desk) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    desk.restart()
    journal.append("session.ended", {"reason": "daemon_lost", "duration_s": 2.0})
    await desk.feed.look()
    assert [told["data"].get("reason") for told in desk.told()] == [None, None, "daemon_lost"]


async def test_a_record_that_is_half_written_comes_when_it_is_whole(desk: Desk) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    whole = journal.path.read_bytes()
    for cut in (4, len(HEADER), len(HEADER) + 5, len(whole) - 1):
        journal.path.write_bytes(whole[:cut])
        await desk.feed.look()
        assert desk.types() == []
    journal.path.write_bytes(whole)
    await desk.feed.look()
    assert desk.types() == ["session.started"]


async def test_a_journal_that_cannot_be_read_and_a_record_of_another_version_harm_no_other_call(desk: Desk) -> None:
    odd, good = desk.follow("s-odd"), desk.follow("s-good")
    odd.append("session.started", {"agent": 3})
    odd.append("turn.user", {})
    linked(odd)
    journal_path(desk.state, "s-none").write_bytes(b"something else altogether")
    desk.feed.follow("s-none", "desk", desk.sinks, {})
    good.append("session.started", STARTED)
    await desk.feed.look()
    await desk.feed.look()
    assert sorted(desk.types()) == ["participant.linked", "session.started"]
    assert {each.session for each in desk.outbox.followed()} == {"s-odd", "s-good"}


async def test_with_a_full_disk_nothing_is_lost_or_told_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = desk.follow()
    journal.append("session.started", STARTED)
    await desk.feed.look()
    linked(journal)
    full = True
    put = Outbox.put

    def refuse(self: Outbox, *deliveries: Any, **values: Any) -> dict[str, int]:
        if full:
            raise OutboxFailed("full")
        return put(self, *deliveries, **values)

    monkeypatch.setattr(Outbox, "put", refuse)
    desk.feed.tell("worker.draining", "", {"calls": 1})
    for _ in range(3):
        with pytest.raises(OutboxFailed):
            await desk.feed.look()
    for _ in range(DAEMON_EVENTS_WAITING + 5):
        desk.feed.tell("worker.draining", "", {"calls": 2})
    full = False
    await desk.feed.look()
    await desk.feed.look()
    calls = [kind for kind in desk.types() if kind != "worker.draining"]
    assert calls == ["session.started", "participant.linked"]
    assert desk.types(DAEMON, "").count("worker.draining") == DAEMON_EVENTS_WAITING
    assert desk.measures.of("event_deliveries_total", outcome="dropped") == 6


async def test_the_daemons_own_events_count_over_restarts(desk: Desk) -> None:
    desk.feed.tell("agent.loaded", "desk", {"agent": {"name": "desk"}})
    await desk.feed.look()
    desk.restart()
    desk.feed.tell("worker.draining", "", {"calls": 0})
    await desk.feed.look()
    assert [(told["type"], told["data"]["seq"]) for told in desk.told(DAEMON, "")] == [
        ("agent.loaded", 1),
        ("worker.draining", 2),
    ]


async def test_a_call_without_a_journal_is_forgotten_at_the_next_start(desk: Desk) -> None:
    desk.feed.follow("s-1", "desk", desk.sinks, {})
    desk.restart()
    assert desk.outbox.followed() == ()


def test_a_body_that_is_too_large_loses_the_oldest_of_the_transcript_and_says_so() -> None:
    turns = [{"role": "user", "text": "x" * 1000, "number": n} for n in range(1000)]
    body = bounded("session.ended", 0.0, {"seq": 1, "reason": "idle", "transcript": turns})
    data = json.loads(body)["data"]
    assert len(body) <= BODY_BYTES
    assert (data["cut"], data["reason"], data["transcript"][-1]["number"]) == (["transcript"], "idle", 999)
    assert len(data["transcript"]) > 100
    huge = json.loads(bounded("tool.completed", 0.0, {"seq": 1, "content": "é" * BODY_BYTES, "tool": "t"}))["data"]
    assert huge == {"seq": 1, "content": None, "tool": "t", "cut": ["content"]}
