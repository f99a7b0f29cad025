from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentd.admin.events import READERS
from agentd.admin.metrics import Metrics
from agentd.admin.settings import AdminSettings
from agentd.cli.events import Message, line_of, messages
from agentd.runtime.event_ring import EventRing
from agentd.tools.spec import Event
from tests.admin.conftest import Serve
from tests.admin.test_remote import Remote, remote  # noqa: F401 -- a fixture
from tests.fakes.daemon import FakeDaemon

TOKEN = {"Authorization": "Bearer correct"}


def spoken(text: str, session: str = "s-1") -> Event:
    data = {"role": "user", "text": text, "interrupted": False, "turn": 1}
    return Event(type="conversation_item_added", session=session, agent="front-desk", at=1_700_000_000.25, data=data)


def closed(session: str = "s-1") -> Event:
    data = {"reason": "caller_left", "category": "participant_disconnected", "duration": 9.5}
    return Event(type="close", session=session, agent="front-desk", at=1_700_000_001.0, data=data)


async def told(client: Any, query: str = "", **headers: str) -> list[Message]:
    """What is kept, to its end."""
    answer = await client.get(f"/v1/events?follow=false{query}", headers={**TOKEN, **headers})
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    return list(messages((await answer.text()).splitlines()))


@pytest.fixture
def with_token() -> AdminSettings:
    return AdminSettings(addr="127.0.0.1:0", token="correct")


async def test_what_is_kept_is_told_with_its_ids(serve: Serve, daemon: FakeDaemon, with_token: AdminSettings) -> None:
    daemon.ring.add([spoken("Hello."), closed()])
    first, second = await told(await serve(with_token))
    assert (first.kind, first.data["data"]["text"]) == ("conversation_item_added", "Hello.")
    assert (first.data["session"], first.data["agent"], first.data["at"]) == ("s-1", "front-desk", 1_700_000_000.25)
    assert [daemon.ring.place_of(message.id) for message in (first, second)] == [1, 2]


async def test_readers_go_on_after_the_last_id_and_learn_what_they_missed(
    serve: Serve, daemon: FakeDaemon, with_token: AdminSettings
) -> None:
    daemon.ring = EventRing(events=2)
    metrics = Metrics()
    client = await serve(with_token, metrics=metrics)
    daemon.ring.add([spoken("One.")])
    (one,) = await told(client)
    daemon.ring.add([spoken("Two."), spoken("Three.")])
    again = await told(client, **{"Last-Event-ID": one.id})
    assert [message.data["data"]["text"] for message in again] == ["Two.", "Three."]
    daemon.ring.add([spoken("Four."), spoken("Five.")])
    gap, *rest = await told(client, **{"Last-Event-ID": one.id})
    assert (gap.kind, gap.data, gap.id) == ("gap", {"missed": 2}, "")
    assert [message.data["data"]["text"] for message in rest] == ["Four.", "Five."]
    assert 'agentd_events_dropped_total{where="reader"} 2.0' in metrics.text().decode()


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("&type=close", ["s-1 close", "s-2 close"]),
        ("&type=conversation_*,error", ["s-1 conversation_item_added"]),
        ("&session=s-2", ["s-2 close"]),
        ("&session=s-1,s-2&type=*", ["s-1 conversation_item_added", "s-1 close", "s-2 close"]),
        ("&from=now", []),
    ],
)
async def test_events_are_filtered(
    serve: Serve, daemon: FakeDaemon, with_token: AdminSettings, query: str, kept: list[str]
) -> None:
    daemon.ring.add([spoken("Hello."), closed(), closed("s-2")])
    found = await told(await serve(with_token), query)
    assert [f"{message.data['session']} {message.kind}" for message in found] == kept


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("type=clos", "there is no event 'clos'; docs/events.md lists them"),
        ("from=then", "from is kept or now"),
        ("follow=no", "follow is true or false"),
    ],
)
async def test_what_cannot_be_followed_is_refused(serve: Serve, query: str, detail: str) -> None:
    answer = await (await serve()).get(f"/v1/events?{query}")
    assert (answer.status, (await answer.json())["detail"]) == (422, detail)


async def test_what_comes_is_told_as_it_comes_until_the_server_ends(
    serve: Serve, daemon: FakeDaemon, with_token: AdminSettings
) -> None:
    answer = await (await serve(with_token)).get("/v1/events?from=now", headers=TOKEN)
    lines = [await answer.content.readline() for _ in range(2)]
    assert lines == [b"retry: 2000\n", b"\n"]
    daemon.ring.add([spoken("Hello.")])
    async with asyncio.timeout(10):
        while not (line := await answer.content.readline()).startswith(b"data"):
            pass
    assert json.loads(line.removeprefix(b"data: "))["data"]["text"] == "Hello."
    daemon.ring.close()
    async with asyncio.timeout(10):
        assert (await answer.content.read()).strip() == b""


async def test_without_a_token_nobody_is_told_what_people_said(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.ring.add([spoken("My card number is 1234."), closed()])
    text = await (await (await serve()).get("/v1/events?follow=false")).text()
    assert "1234" not in text
    assert '"text":null' in text
    assert "caller_left" in text


async def test_with_a_token_nobody_else_is_told_anything(serve: Serve, with_token: AdminSettings) -> None:
    assert (await (await serve(with_token)).get("/v1/events")).status == 401


async def test_there_are_only_so_many_readers(serve: Serve, with_token: AdminSettings) -> None:
    client = await serve(with_token)
    readers = [await client.get("/v1/events", headers=TOKEN) for _ in range(READERS)]
    assert (await client.get("/v1/events", headers=TOKEN)).status == 503
    for reader in readers:
        reader.close()


# The command line.


async def test_get_events_shows_what_is_kept(remote: Remote, daemon: FakeDaemon) -> None:  # noqa: F811
    daemon.ring.add([spoken("Hello."), closed("s-2")])
    result = await remote("get", "events")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.endswith('s-1   conversation_item_added      role="user" text="Hello." interrupted=false turn=1')
    assert "reason=" in second
    one = await remote("get", "events", "s-2", "--type", "close", "-o", "json")
    assert [json.loads(line)["data"]["reason"] for line in one.stdout.splitlines()] == ["caller_left"]
    assert (await remote("get", "events", "-o", "name")).stdout == "conversation_item_added\nclose\n"


async def test_get_events_says_what_is_wrong(remote: Remote) -> None:  # noqa: F811
    result = await remote("get", "events", "--type", "clos")
    assert (result.exit_code, "there is no event 'clos'" in result.stderr) == (1, True)
    assert (await remote("get", "events", AGENTD_ADMIN_TOKEN="wrong")).exit_code == 1
    assert (await remote("get", "agents", "--type", "close")).exit_code == 2


def test_a_long_event_is_one_line() -> None:
    message = Message("b-1", "error", {"at": 0.0, "session": "s-1", "data": {"message": "x" * 500, "where": None}})
    assert len(line_of(message)) < 160
    assert line_of(message).endswith("…")


def test_comments_and_fields_without_data_are_no_message() -> None:
    lines = [":", "", "retry: 2000", "", "id: b-1", "event: close", 'data: {"a": 1}', "", "event: close"]
    assert list(messages(lines)) == [Message("b-1", "close", {"a": 1})]


async def test_a_head_request_is_answered_without_events(daemon: FakeDaemon, serve: Serve) -> None:
    """Bytes of events would be taken for the answer to the next request of the connection."""
    daemon.ring.add([Event(type="close", session="s-1", agent="desk", at=1.0, data={"reason": "caller_left"})])
    client = await serve()
    async with client.head("/v1/events") as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "text/event-stream", b"")
    assert (await client.get("/livez")).status == 200
