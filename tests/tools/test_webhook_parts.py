"""Webhook tools that are slow: progress, callbacks, the conversation sent along, and one key for one call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from agentd.errors import ToolUnreachable
from agentd.providers.chat import ChatContext
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.tools.http import WebhookClient
from agentd.tools.spec import CallbackOffer, LateAnswer, Pending, Progress, Say, SetVariables, ToolContext
from agentd.tools.webhook import Webhook
from tests.fakes.webhook_server import Behaviour, Received, WebhookServer, respond, webhook_server
from tests.tools.test_webhook import run, tool

OFFER = CallbackOffer(url="https://voice.example.com/v1/callbacks/s1/tc_1", token="t0k", expires_at="2030-01-31T14:00Z")


@pytest.fixture
async def server() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    async with WebhookClient() as opened:
        yield opened


def in_parts(kind: str, *parts: str, status: int = 200) -> Behaviour:
    """One write a part, each on its way before the next is made."""

    async def behaviour(_received: Received, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"content-type": kind})
        await response.prepare(request)
        for part in parts:
            await response.write(part.encode())
            await asyncio.sleep(0)
        return response

    return behaviour


async def test_server_sent_events_tell_the_progress_and_then_the_result(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    told: list[Progress] = []
    server.then(
        in_parts(
            "text/event-stream; charset=utf-8",
            'event: progress\ndata: {"status": "asking", "say": "I am asking."}\n\n',
            "event: progress\ndata: plain words\n\n",
            "event: progress\ndata: 17\n\n",
            'event: result\ndata: {"slot": "nine", "agentd": {"actions": [\n',
            'data: {"type": "set_variables", "variables": {"slot": 9}}]}}\n\n',
            "event: progress\ndata: too late\n\n",
        )
    )
    outcome = await run(server, client, replace(context, progress=told.append))
    assert told == [Progress(status="asking", say="I am asking."), Progress(status="plain words")]
    assert json.loads(outcome.result.content) == {"slot": "nine"}
    assert outcome.actions == (SetVariables(values={"slot": 9}),)


async def test_json_lines_do_the_same_and_can_end_in_an_error(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    told: list[Progress] = []
    server.then(
        in_parts(
            "application/x-ndjson",
            '{"progress": {"status": "half"}}\n',
            '{"result": "nine o\'clock"}\n',
        ),
        in_parts("application/x-ndjson", '{"error": {"detail": "Fridays are full."}}\n'),
    )
    outcome = await run(server, client, replace(context, progress=told.append))
    assert (told, outcome.result.content) == ([Progress(status="half")], "nine o'clock")
    failed = await run(server, client, context)
    assert (failed.outcome, failed.result.content) == ("http", "Fridays are full.")


async def test_an_answer_in_parts_that_has_no_result_is_a_lost_one(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(in_parts("text/event-stream", "event: progress\ndata: begun\n\n"))
    with pytest.raises(ToolUnreachable):
        await run(server, client, context)
    assert len(server.received) == 1


async def test_an_answer_in_parts_is_read_to_the_same_limit(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(in_parts("application/x-ndjson", *['{"progress": "' + "z" * 1000 + '"}\n'] * 300))
    assert (await run(server, client, context)).outcome == "too_large"


async def test_pending_says_that_the_result_comes_later(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(
        respond({"agentd": {"pending": {"say": "I will tell you.", "timeout": "2m"}}}, status=202),
        respond({"agentd": {"pending": {"timeout": 30}}}, status=202),
        respond({"agentd": {"pending": True}}, status=202),
    )
    outcome = await run(server, client, context)
    assert (outcome.pending, outcome.actions) == (Pending(timeout_s=120.0), (Say(text="I will tell you."),))
    assert (await run(server, client, context)).pending == Pending(timeout_s=30.0)
    assert (await run(server, client, context)).pending == Pending()


async def test_a_callback_is_offered_in_the_envelope_and_what_comes_by_it_is_read_like_an_answer(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    await run(server, client, replace(context, callback=OFFER))
    await run(server, client, context)
    first, second = (received.json["data"] for received in server.received)
    assert first["callback"] == {"url": OFFER.url, "token": "t0k", "expires_at": OFFER.expires_at}
    assert "callback" not in second
    hook = Webhook(tool(server.url, response_filter="slot"), client)
    call = ToolCall(id="call_1", name="find_slot", arguments="{}")
    outcome = hook.read(
        call, LateAnswer(content_type="application/json", text='{"slot": "nine", "agentd": {"say": "!"}}')
    )
    assert (outcome.result.content, outcome.actions) == ("nine", (Say(text="!"),))
    failed = hook.read(call, LateAnswer(content_type="application/problem+json", text='{"detail": "Full."}'))
    assert (failed.outcome, failed.result.content) == ("http", "Full.")


async def test_every_attempt_and_every_repetition_has_the_key_of_the_call(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond("busy", status=503), respond({"ok": True}))
    named = replace(context, key="tc_01HZX")
    await run(server, client, named, idempotent=True)
    await run(server, client, named, idempotent=True)  # as after the death of its process
    keys = [(received.headers["webhook-id"], received.headers["idempotency-key"]) for received in server.received]
    assert keys == [("tc_01HZX", "tc_01HZX")] * 3


def conversation() -> ChatContext:
    items: list[Any] = [Message(role="user", text=f"Turn {number}.") for number in range(5)]
    for call_id, name in (("call_0", "look"), ("call_1", "find_slot")):
        items.append(ToolCall(id=call_id, name=name, arguments="{}"))
        items.append(ToolResult(call_id=call_id, name=name, content="x"))
    return ChatContext.of(items)


async def ask(server: WebhookServer, client: WebhookClient, context: ToolContext, wanted: str) -> Any:
    """What the tool was sent, under this `context` in the agent file."""
    hook = Webhook(tool(server.url, context=wanted), client)
    await hook.run(ToolCall(id="call_1", name="find_slot", arguments='{"day": "Friday"}'), context)
    return server.received[0].json["data"]


@pytest.mark.parametrize(("wanted", "count"), [("none", None), ("all", 7), ("last:3", 3), ("last:2", 2)])
async def test_the_conversation_is_sent_along_as_far_as_the_tool_wants(
    server: WebhookServer, client: WebhookClient, context: ToolContext, wanted: str, count: int | None
) -> None:
    data = await ask(server, client, replace(context, history=conversation), wanted)
    if count is None:
        assert "transcript" not in data
    else:
        assert len(data["transcript"]) == count
        assert data["transcript"][-1]["content"] == "x"
        assert "call_1" not in json.dumps(data["transcript"])


async def test_a_long_conversation_leaves_its_beginning_out(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    history = ChatContext.of([Message(role="user", text=f"{number} " + "z" * 5000) for number in range(100)])
    sent = (await ask(server, client, replace(context, history=lambda: history), "all"))["transcript"]
    assert 20 < len(sent) < 100
    assert sent[-1]["text"].startswith("99 ")
