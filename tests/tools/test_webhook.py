"""Webhook tools against a real server: what is sent, and what becomes of every answer."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from agentd.config.tools import WebhookTool
from agentd.errors import ToolArgumentsInvalid, ToolBlocked, ToolError, ToolTimeout
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import ToolCall
from agentd.tools import http, webhook
from agentd.tools.breaker import Breaker
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from agentd.tools.replies import DAMAGED
from agentd.tools.spec import Say, SetVariables, ToolContext, ToolOutcome
from agentd.tools.webhook import Webhook, retry_delay
from tests.fakes.webhook_server import WebhookServer, drip, gzip_bomb, hang, reset, respond, webhook_server

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_KEY = "whsec_" + base64.b64encode(bytes(range(50, 90))).decode()
PARAMETERS = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}


@pytest.fixture
async def server() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    async with WebhookClient() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRY_DELAY_S", (0.001, 0.002))


def tool(url: str, **options: Any) -> WebhookTool:
    details = {"parameters": PARAMETERS, "secret": Secret("literal", KEY), "timeout": Duration(5.0), **options}
    return WebhookTool(type="webhook", name="find_slot", description="Find a slot.", url=url, **details)


async def run(
    server: WebhookServer,
    client: WebhookClient,
    context: ToolContext,
    arguments: str = '{"day": "Friday"}',
    **options: Any,
) -> ToolOutcome:
    hook = Webhook(tool(server.url, **options), client)
    return await hook.run(ToolCall(id="call_1", name="find_slot", arguments=arguments), context)


async def test_the_request_is_the_contracts(server: WebhookServer, client: WebhookClient, context: ToolContext) -> None:
    outcome = await run(server, client, context, headers={"X-Clinic": Secret("literal", "hill")})
    assert (outcome.result.content, outcome.result.call_id, outcome.outcome) == ('{"ok": true}', "call_1", "ok")
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/hook")
    body = request.json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("timestamp"))
    assert body == {
        "type": "tool.call",
        "data": {
            "call_id": "call_1",
            "tool": "find_slot",
            "arguments": {"day": "Friday"},
            "agent": {"name": "front-desk", "revision": "abc"},
            "session": {
                "id": "s1",
                "room": "room-1",
                "job_id": "job-1",
                "started_at": "2030-01-31T12:00:00Z",
                "language": "en",
                "variables": {"draft": "x", "count": 1},
                "participant": {
                    "identity": "caller-1",
                    "name": "Zoë",
                    "kind": "standard",
                    "attributes": {"tier": "gold"},
                    "metadata": "",
                },
            },
        },
    }
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("agentd/")
    assert re.fullmatch(r"tc_[0-9A-HJKMNP-TV-Z]{26}", headers["webhook-id"])
    assert headers["idempotency-key"] == headers["webhook-id"]
    assert (headers["agentd-contract"], headers["agentd-attempt"]) == ("1", "1")
    assert 4000 < int(headers["agentd-timeout-ms"]) <= 5000
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])
    assert headers["x-clinic"] == "hill"


async def test_a_second_voice_at_the_callers_microphone_is_told(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    near = dataclasses.replace(context.caller, other_voice=True)
    await run(server, client, dataclasses.replace(context, caller=near))
    participant = server.received[0].json["data"]["session"]["participant"]
    assert (participant["identity"], participant["other_voice"]) == ("caller-1", True)


@pytest.mark.parametrize("secret", [KEY, f"{KEY} {OLD_KEY}", f"{OLD_KEY} {KEY}"])
async def test_the_reference_library_verifies_the_signature(
    server: WebhookServer, client: WebhookClient, context: ToolContext, secret: str
) -> None:
    await run(server, client, context, secret=Secret("literal", secret))
    (request,) = server.received
    standardwebhooks.Webhook(KEY).verify(request.body, dict(request.headers))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEY).verify(request.body + b" ", dict(request.headers))


async def test_without_a_secret_nothing_is_signed(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    await run(server, client, context, secret=None)
    assert "webhook-signature" not in server.received[0].headers


async def test_arguments_are_made_to_fit_or_refused_before_anything_is_sent(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    await run(server, client, context, arguments='{"day": 5}')
    assert server.received[0].json["data"]["arguments"] == {"day": "5"}
    with pytest.raises(ToolArgumentsInvalid, match="day is missing"):
        await run(server, client, context, arguments="{}")
    assert len(server.received) == 1


async def test_a_slow_endpoint_is_given_up_in_time(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(hang(), drip())
    for _ in range(2):
        with pytest.raises(ToolTimeout, match=r"no answer within 0\.2 s"):
            await run(server, client, context, timeout=Duration(0.2))


async def test_cancelling_closes_the_request(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(hang())
    call = asyncio.ensure_future(run(server, client, context))
    await server.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_redirect_is_an_error_and_not_followed(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond(text="moved", status=302, headers={"location": "http://169.254.169.254/latest/meta-data"}))
    with pytest.raises(ToolBlocked, match="cannot be reached"):
        await run(server, client, context, idempotent=True)
    server.then(respond(text="moved", status=302, headers={"location": "https://example.com/"}))
    outcome = await run(server, client, context, idempotent=True)
    assert (outcome.outcome, outcome.result.content) == ("http", "The tool failed.")
    assert len(server.received) == 2


async def test_a_problem_is_told_by_its_detail(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond({"detail": "Fridays are full."}, status=422, content_type="application/problem+json"))
    assert (await run(server, client, context)).result.content == "Fridays are full."


async def test_a_bomb_is_not_unpacked(server: WebhookServer, client: WebhookClient, context: ToolContext) -> None:
    import tracemalloc

    bomb = gzip_bomb()
    server.then(bomb)
    tracemalloc.start()
    outcome = await run(server, client, context)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.result.content == "The tool's answer was too large to read."
    assert peak_bytes < 8 * 1024 * 1024


async def test_an_answer_just_within_the_limit_is_read_and_cut_for_the_model(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond(text="z" * 256 * 1024), respond(text="z" * (256 * 1024 + 1)))
    assert (await run(server, client, context)).outcome == "ok"
    assert (await run(server, client, context)).outcome == "too_large"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_packed_answer_is_read(
    server: WebhookServer, client: WebhookClient, context: ToolContext, encoding: str
) -> None:
    import gzip
    import zlib

    packed = (gzip.compress if encoding == "gzip" else zlib.compress)(b'{"slot": "9:00"}')
    server.then(respond(body=packed, content_type="application/json", headers={"content-encoding": encoding}))
    assert (await run(server, client, context)).result.content == '{"slot": "9:00"}'


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_an_answer_that_cannot_be_unpacked_is_an_error(
    server: WebhookServer, client: WebhookClient, context: ToolContext, encoding: str
) -> None:
    server.then(respond(body=b"not packed", headers={"content-encoding": encoding}))
    with pytest.raises(ToolError, match="cannot be reached"):
        await run(server, client, context)


async def test_bytes_that_are_no_text_become_marks(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond(body=b"caf\xe9\x00!", content_type="text/plain"))
    assert (await run(server, client, context)).result.content == f"caf\ufffd\ufffd!\n{DAMAGED}"


async def test_a_lost_answer_is_not_repeated_unless_the_tool_says_so(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(reset())
    with pytest.raises(ToolError):
        await run(server, client, context)
    assert len(server.received) == 1


@pytest.mark.parametrize("failure", [reset(), respond(status=503), respond(status=429, headers={"retry-after": "0"})])
async def test_an_idempotent_tool_is_asked_again_with_the_same_bytes_and_id(
    server: WebhookServer, client: WebhookClient, context: ToolContext, failure: Any
) -> None:
    server.then(failure, failure)
    outcome = await run(server, client, context, idempotent=True)
    assert outcome.outcome == "ok"
    assert len({(each.body, each.headers["webhook-id"]) for each in server.received}) == 1
    assert [each.headers["agentd-attempt"] for each in server.received] == ["1", "2", "3"]


async def test_after_two_repetitions_the_last_answer_counts(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.default = respond({"detail": "Busy."}, status=503)
    assert (await run(server, client, context, idempotent=True)).result.content == "Busy."
    assert len(server.received) == 3


async def test_a_repetition_that_would_be_too_late_is_not_waited_for(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.default = respond({"detail": "Busy."}, status=429, headers={"retry-after": "60"})
    assert (await run(server, client, context, idempotent=True)).result.content == "Busy."
    assert len(server.received) == 1


class CountingClient(WebhookClient):
    """Counts the attempts."""

    tries = 0

    async def __aenter__(self) -> CountingClient:
        return self

    async def send(self, *arguments: Any) -> Answer:
        self.tries += 1
        return await super().send(*arguments)


async def unreachable(url: str, context: ToolContext) -> int:
    """How often it was tried."""
    async with CountingClient() as client:
        with pytest.raises(ToolError, match="it cannot be reached"):
            await Webhook(tool(url), client).run(ToolCall(id="1", name="find_slot", arguments='{"day": "x"}'), context)
        return client.tries


async def test_a_refused_connection_is_tried_once_more(context: ToolContext) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert await unreachable(f"http://127.0.0.1:{port}/", context) == 2


async def test_a_connection_that_is_not_made_in_time_is_tried_once_more(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, socket.socket() as first, socket.socket() as second:
        for each in (first, second):  # its queue is full now: Linux leaves further connections without an answer
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        assert await unreachable(f"http://127.0.0.1:{deaf.getsockname()[1]}/", context) == 2


async def test_a_connection_that_is_not_secure_is_not_tried_again(server: WebhookServer, context: ToolContext) -> None:
    assert await unreachable(server.url.replace("http:", "https:"), context) == 1


def test_what_is_repeated_is_decided_by_what_failed() -> None:
    lost, unsent, busy = AnswerLost(), NotSent(), Answer(status=503)
    assert retry_delay(unsent, 1, idempotent=False) is not None
    assert retry_delay(unsent, 2, idempotent=False) is None
    assert retry_delay(lost, 1, idempotent=False) is None
    assert retry_delay(busy, 1, idempotent=False) is None
    assert all(retry_delay(each, 2, idempotent=True) is not None for each in (lost, unsent, busy))
    assert all(retry_delay(each, 3, idempotent=True) is None for each in (lost, unsent, busy))
    assert retry_delay(Answer(status=429, retry_after="2"), 1, idempotent=True) == 2.0
    later = retry_delay(Answer(status=429, retry_after="Thu, 31 Jan 2330 12:00:00 GMT"), 1, idempotent=True)
    assert later is not None
    assert later > 1e6
    assert retry_delay(Answer(status=429, retry_after="soon"), 1, idempotent=True) is not None


async def test_a_host_that_fails_again_and_again_is_given_a_rest(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.default = respond({"detail": "Down."}, status=503)
    for _ in range(5):
        assert (await run(server, client, context)).result.content == "Down."
    with pytest.raises(ToolError, match="cannot be reached"):
        await run(server, client, context)
    assert len(server.received) == 5


def test_a_breaker_lets_one_try_after_its_pause() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    assert breaker.permits(0.0)
    breaker.failed(0.0)
    assert [breaker.permits(at) for at in (0.0, 9.9, 10.0, 10.1)] == [False, False, True, False]
    breaker.succeeded()
    assert breaker.permits(10.2)


async def test_a_name_that_leads_to_metadata_is_refused_when_connecting(context: ToolContext) -> None:
    async def rebound(host: str, port: int, family: socket.AddressFamily) -> list[str]:
        return ["169.254.169.254"]

    async with WebhookClient(resolve=rebound) as client:
        hook = Webhook(tool("https://hooks.example.com/"), client)
        with pytest.raises(ToolError, match="cannot be reached") as caught:
            await hook.run(ToolCall(id="1", name="find_slot", arguments='{"day": "x"}'), context)
        assert "never reach" in str(caught.value.__cause__)


async def test_a_name_is_looked_up_anew_for_each_connection(server: WebhookServer, context: ToolContext) -> None:
    looked_up = 0

    async def resolve(host: str, port: int, family: socket.AddressFamily) -> list[str]:
        nonlocal looked_up
        looked_up += 1
        return ["127.0.0.1"]

    server.default = respond({"ok": True}, headers={"connection": "close"})
    async with WebhookClient(("hooks.internal",), resolve=resolve) as client:
        hook = Webhook(tool(f"http://hooks.internal:{server.port}/", allow_http=True), client)
        for _ in range(2):
            await hook.run(ToolCall(id="1", name="find_slot", arguments='{"day": "x"}'), context)
    assert looked_up == 2


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://hooks.example.com/", {}, "must be https://, or set allow_http: true"),
        ("https://hooks.example.com@169.254.169.254/", {}, "webhooks never reach"),
        ("https://169.254.169.254/", {"allow_http": True}, "webhooks never reach"),
        ("https://[::ffff:a9fe:a9fe]/", {}, "webhooks never reach"),
        ("https://2852039166/", {}, "unusual form"),
        ("https://0xa9.0xfe.0xa9.0xfe/", {}, "unusual form"),
        ("https://１６９.２５４.１６９.２５４/", {}, "never reach|unusual form|url"),
        ("https:///path", {}, "absolute"),
        ("https://hooks.example.com:99999/", {}, "url"),
        ("https://hooks.example.com/", {"secret": Secret("literal", "x")}, "secret: a signing secret begins"),
        ("https://hooks.example.com/", {"secret": Secret("env", "NOT_SET_ANYWHERE")}, "NOT_SET_ANYWHERE is not set"),
        (
            "https://hooks.example.com/",
            {"headers": {"Webhook-Id": Secret("literal", "x")}},
            "Webhook-Id is set by agentd",
        ),
        ("https://hooks.example.com/", {"headers": {"X": Secret("literal", "a\r\nb")}}, "line break"),
        ("https://hooks.example.com/", {"parameters": {"type": "array"}}, '"type": "object"'),
    ],
)
def test_a_definition_that_cannot_work_is_refused_when_it_is_prepared(
    url: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        Webhook(tool(url, **options), WebhookClient())


async def test_too_large_a_request_is_not_sent(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    large = dataclasses.replace(context, variables={"x": "y" * 300_000})
    with pytest.raises(ToolError, match="larger than 256 KiB"):
        await run(server, client, large)
    assert server.received == []


async def test_the_example_of_the_contract_has_the_shape_of_what_is_sent(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    await run(server, client, context)
    path = Path(__file__).parents[2] / "docs" / "contract" / "v1" / "tool-call.json"
    published = json.loads(path.read_text(encoding="utf-8"))
    sent = server.received[0].json
    assert set(published["data"]["session"]) == set(sent["data"]["session"])
    assert set(published["data"]["session"]["participant"]) == set(sent["data"]["session"]["participant"])


ORDER = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["order"],
}


async def sent(
    server: WebhookServer, client: WebhookClient, context: ToolContext, arguments: Any, **options: Any
) -> Any:
    """The request that a tool with these options makes of `arguments`; its url is below the server's."""
    url = f"http://127.0.0.1:{server.port}{options.pop('path')}"
    hook = Webhook(tool(url, parameters=options.pop("parameters", ORDER), **options), client)
    await hook.run(ToolCall(id="call_1", name="find_slot", arguments=json.dumps(arguments)), context)
    return server.received[-1]


async def test_arguments_go_where_the_tool_says(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    arguments = {"order": "A/7 ä?", "tags": ["new", "b&c"]}
    request = await sent(server, client, context, arguments, path="/orders/{order}", method="GET", args_in="query")
    assert (request.method, request.path) == ("GET", "/orders/A%2F7%20%C3%A4%3F?tags=new&tags=b%26c")
    assert (request.body, request.headers.get("content-type")) == (b"", None)
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    expected = standardwebhooks.Webhook(KEY).sign(request.headers["webhook-id"], at, "")
    assert request.headers["webhook-signature"] == expected
    request = await sent(server, client, context, arguments, path="/orders/{order}?x=1", method="PUT")
    assert (request.method, request.path) == ("PUT", "/orders/A%2F7%20%C3%A4%3F?x=1")
    assert request.json["data"]["arguments"] == arguments
    request = await sent(server, client, context, {"order": "7"}, path="/o?id={order}", method="DELETE", args_in="path")
    assert (request.method, request.path, request.body) == ("DELETE", "/o?id=7", b"")


async def test_bare_arguments_are_the_body_of_an_endpoint_that_exists_already(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    arguments = {"order": "7", "tags": ["x"]}
    request = await sent(server, client, context, arguments, path="/hook", args_at_root=True)
    assert request.json == arguments
    request = await sent(server, client, context, arguments, path="/hook/{order}", args_at_root=True)
    assert request.json == {"tags": ["x"]}


@pytest.mark.parametrize("order", ["..", ".", ""])
async def test_an_argument_cannot_lead_to_another_path(
    server: WebhookServer, client: WebhookClient, context: ToolContext, order: str
) -> None:
    with pytest.raises(ToolArgumentsInvalid, match="order may not be"):
        await sent(server, client, context, {"order": order}, path="/orders/{order}/items")
    assert server.received == []


async def test_an_endpoint_for_vapi_works_unchanged(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    """As its documentation has it: the call is read from message.toolCallList, results are named by toolCallId."""

    async def vapi_server(received: Any, _request: Any) -> Any:
        from aiohttp import web

        (call,) = received.json["message"]["toolCallList"]
        assert received.json["message"]["type"] == "tool-calls"
        assert call["function"] == {"name": "find_slot", "arguments": {"day": "Friday"}}
        results = [{"toolCallId": "other", "result": "no"}, {"toolCallId": call["id"], "result": "9:00"}]
        return web.json_response({"results": results})

    server.then(vapi_server)
    outcome = await run(server, client, context, envelope="vapi")
    assert (outcome.result.content, outcome.outcome) == ("9:00", "ok")
    server.then(respond({"results": [{"toolCallId": "call_1", "error": "closed on Fridays"}]}))
    outcome = await run(server, client, context, envelope="vapi")
    assert (outcome.result.content, outcome.result.is_error) == ("closed on Fridays", True)


async def test_the_model_reads_what_the_filter_leaves_and_variables_are_set(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    slots = [
        {"time": "9:00", "doctor": {"name": "Shah"}, "internal": 1},
        {"time": "10:30", "doctor": {"name": "Novak"}},
    ]
    server.default = respond({"slots": slots, "agentd": {"say": "Look."}})
    outcome = await run(
        server,
        client,
        context,
        response_filter="slots[].{time: time, doctor: doctor.name}",
        assign={"first": "slots[0].time", "missing": "nothing.here", "count": "length(slots)"},
    )
    assert json.loads(outcome.result.content) == [
        {"time": "9:00", "doctor": "Shah"},
        {"time": "10:30", "doctor": "Novak"},
    ]
    assert outcome.actions == (SetVariables(values={"first": "9:00", "count": 2}), Say(text="Look."))


async def test_a_text_that_the_filter_leaves_is_read_without_quotes(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond({"text": 'Say "yes".'}))
    assert (await run(server, client, context, response_filter="text")).result.content == 'Say "yes".'


async def test_an_answer_that_does_not_suit_the_expressions_is_read_as_it_is(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond({"slots": 3}), respond(text="three"))
    for expected in ('{"slots": 3}', "three"):
        outcome = await run(server, client, context, response_filter="length(slots)", assign={"n": "length(slots)"})
        assert (outcome.result.content, outcome.actions) == (expected, ())


async def test_a_method_that_may_be_repeated_is(
    server: WebhookServer, client: WebhookClient, context: ToolContext
) -> None:
    server.then(respond(status=503))
    request = await sent(server, client, context, {"order": "7"}, path="/o/{order}", method="GET", args_in="path")
    assert (len(server.received), request.headers["agentd-attempt"]) == (2, "2")
