"""A whole daemon tells a webhook server of its calls and of itself, and goes on where it was killed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.events import EventSink
from agentd.runtime.announcements import FILE
from agentd.runtime.outbox import Outbox
from agentd.tools.acts import SayText
from tests.fakes.webhook_server import WebhookServer, hang, respond, webhook_server
from tests.runtime.daemon import running, until
from tests.runtime.parts import FakeSettings, Files, choice, definition, revised


@pytest.fixture
async def server() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as server:
        yield server


def telling(server: WebhookServer, name: str = "desk", *types: str, **changes: Any) -> AgentDefinition:
    return replace(definition(name, **changes), events=(EventSink(url=server.url, types=types or ("*",)),))


def told(server: WebhookServer, prefix: str = "") -> list[dict[str, Any]]:
    """By their place: what is sent side by side comes in any order."""
    events = [received.json for received in server.received if received.json["type"].startswith(prefix)]
    return sorted(events, key=lambda event: event["data"]["seq"])


def types(server: WebhookServer, prefix: str = "") -> list[str]:
    return [event["type"] for event in told(server, prefix)]


async def arrived(server: WebhookServer, kind: str, times: int = 1) -> None:
    await until(lambda: types(server).count(kind) >= times)


async def test_a_call_is_told_from_its_start_to_its_end(tmp_path: Path, server: WebhookServer) -> None:
    files = Files({"desk": telling(server, "desk", "session.*", "turn.*", "participant.*")})
    async with running(tmp_path, files) as daemon:
        session = await daemon.call("desk", metadata='{"variables": {"name": "Ann"}}')
        await daemon.supervisor.control(session, SayText(text="hello"))
        await arrived(server, "turn.user")
        await daemon.hang_up(session)
        await arrived(server, "session.ended")
        (sink,) = daemon.supervisor.sinks()
    events = told(server)
    assert [event["type"] for event in events] == [
        *("session.started", "participant.linked", "turn.user", "session.usage", "session.ended"),
    ]
    assert [event["data"]["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert {event["data"]["session"]["id"] for event in events} == {session}
    assert (events[0]["data"]["variables"], events[2]["data"]["text"]) == ({"name": "Ann"}, "hello")
    assert (events[-1]["data"]["reason"], events[-1]["data"]["agent"]["name"]) == ("caller_left", "desk")
    assert (sink.agent, sink.state, sink.waiting, sink.delivered) == ("desk", "ok", 0, 5)


async def test_a_killed_worker_loses_no_event_and_the_call_is_told_on(tmp_path: Path, server: WebhookServer) -> None:
    files = Files({"desk": telling(server, "desk", "session.*", "turn.*", "participant.*")})
    async with running(tmp_path, files) as daemon:
        session = await daemon.call("desk")
        for number in range(5):
            await daemon.supervisor.control(session, SayText(text=f"words {number}"))
        await until(lambda: (now := daemon.session(session)) is not None and now.turns > 0)
        held = daemon.session(session)
        assert held is not None
        daemon.kill(held.worker)
        await until(
            lambda: (now := daemon.session(session)) is not None and now.incarnation == 2 and daemon.talks(session)
        )
        await daemon.supervisor.control(session, SayText(text="again"))
        await until(lambda: any(event["data"].get("text") == "again" for event in told(server)))
        await daemon.hang_up(session)
        await arrived(server, "session.ended")
    assert [event["data"]["seq"] for event in told(server)] == list(range(1, len(told(server)) + 1))
    assert types(server).count("session.started") == 1


async def test_a_call_that_crashes_has_failed(tmp_path: Path, server: WebhookServer) -> None:
    async with running(tmp_path, Files({"desk": telling(server, "desk", "session.*")})) as daemon:
        session = await daemon.call("desk")
        await daemon.supervisor.control(session, SayText(text="crash"))
        await arrived(server, "session.failed")
    assert told(server)[-1]["data"]["reason"] == "error_RuntimeError"


async def test_the_daemon_tells_of_its_agents_and_its_registrations(tmp_path: Path, server: WebhookServer) -> None:
    daemons = (EventSink(url=server.url, types=("agent.*", "worker.*")),)
    files = Files({"desk": definition("desk"), "shop": definition("shop")})
    async with running(tmp_path, files, events=daemons) as daemon:
        await arrived(server, "worker.registered", 2)
        revised(files, "desk", "2")
        files.break_("shop")
        await daemon.supervisor.reload()
        await daemon.supervisor.reload()  # the same mistake is told once
        revised(files, "desk", "3", llm=choice("llm", FakeSettings(refuse="no key")))
        await daemon.supervisor.reload()
        del files.broken["shop"]
        await daemon.supervisor.reload()
        await arrived(server, "agent.removed")
    await until(lambda: "worker.draining" in types(server))
    assert [event["data"]["seq"] for event in told(server)] == list(range(1, len(told(server)) + 1))
    shown = [(event["type"], _about(event)) for event in told(server)]
    assert sorted(shown[:4]) == [
        *(("agent.loaded", "desk"), ("agent.loaded", "shop")),
        *(("worker.registered", "desk"), ("worker.registered", "shop")),
    ]
    assert shown[4:] == [
        *(("agent.loaded", "desk"), ("agent.rejected", "shop"), ("agent.rejected", "desk")),
        *(("agent.removed", "shop"), ("worker.draining", None)),
    ]
    refused = [event["data"] for event in told(server, "agent.rejected")]
    assert [each["serves"] for each in refused] == [True, True]
    assert "unknown key" in refused[0]["problems"][0]
    assert "no key" in refused[1]["problems"][0]


def _about(event: dict[str, Any]) -> str | None:
    agent = event["data"].get("agent")
    return agent["name"] if isinstance(agent, dict) else agent


async def test_a_lost_worker_process_is_told(tmp_path: Path, server: WebhookServer) -> None:
    daemons = (EventSink(url=server.url, types=("worker.lost",)),)
    async with running(tmp_path, Files({"desk": definition("desk")}), events=daemons) as daemon:
        daemon.kill("worker-1")
        await arrived(server, "worker.lost")
    assert told(server)[0]["data"]["process"] == "worker-1"


async def test_an_agents_sink_hears_of_its_own_agent_only_and_the_daemons_of_all(
    tmp_path: Path, server: WebhookServer
) -> None:
    async with webhook_server() as whole:
        daemons = (EventSink(url=whole.url, types=("session.started",)),)
        files = Files({"desk": telling(server, "desk", "session.started"), "shop": definition("shop")})
        async with running(tmp_path, files, events=daemons) as daemon:
            desk, shop = await daemon.call("desk"), await daemon.call("shop")
            await arrived(whole, "session.started", 2)
            await arrived(server, "session.started")
    assert [event["data"]["session"]["id"] for event in told(server)] == [desk]
    assert {event["data"]["session"]["id"] for event in told(whole)} == {desk, shop}


async def test_what_waits_at_the_end_is_sent_by_the_next_daemon_and_a_call_that_was_cut_ends(
    tmp_path: Path, server: WebhookServer
) -> None:
    server.default = hang()
    files = Files({"desk": telling(server, "desk", "session.*")})
    async with running(tmp_path, files) as daemon:
        session = await daemon.call("desk")
        await arrived(server, "session.started")
    waiting = json.dumps([each.type for each in _waiting(tmp_path)])
    assert "session.ended" in waiting  # the drain has cut it
    server.default = respond()
    server.received.clear()
    async with running(tmp_path, files):
        await arrived(server, "session.ended")
    assert types(server) == ["session.started", "session.usage", "session.ended"]
    assert {event["data"]["session"]["id"] for event in told(server)} == {session}
    assert _waiting(tmp_path) == []


def _waiting(tmp_path: Path) -> list[Any]:
    outbox = Outbox(tmp_path / "state" / FILE)
    try:
        return [each for sink in outbox.sinks() for each in outbox.due(sink, 1e12, 1000)]
    finally:
        outbox.close()


async def test_a_reload_enables_a_sink_that_was_gone(tmp_path: Path, server: WebhookServer) -> None:
    server.then(respond({}, status=410))
    async with running(tmp_path, Files({"desk": telling(server, "desk", "session.started")})) as daemon:
        await daemon.call("desk")
        await until(lambda: daemon.supervisor.sinks()[0].state == "disabled")
        await daemon.call("desk")
        await daemon.supervisor.reload()
        assert daemon.supervisor.sinks()[0].state == "ok"
        third = await daemon.call("desk")
        await until(lambda: len(server.received) == 2)
    assert told(server)[-1]["data"]["session"]["id"] == third


async def test_calls_of_a_removed_agent_are_told_to_their_end(tmp_path: Path, server: WebhookServer) -> None:
    files = Files({"desk": telling(server, "desk", "session.*", "agent.removed"), "shop": definition("shop")})
    async with running(tmp_path, files) as daemon:
        session = await daemon.call("desk")
        del files.agents["desk"]
        await daemon.supervisor.reload()
        await arrived(server, "agent.removed")
        await daemon.hang_up(session)
        await arrived(server, "session.ended")


async def test_nothing_is_opened_while_nobody_wants_to_be_told(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        await daemon.hang_up(await daemon.call("desk"))
        assert daemon.supervisor.sinks() == ()
    assert not (tmp_path / "state" / FILE).exists()
