"""The fault table's rows about tools and the model that calls them: whole sessions, real webhook servers.

Rows 29 to 31, of Python tools, stand with their host.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentd.config.definition import AgentDefinition, ToolDefinition
from agentd.config.tools import McpTool, WebhookTool
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, ToolResult
from agentd.runtime.measures import measures
from agentd.tools import webhook
from agentd.tools.host import ToolHost
from agentd.tools.http import WebhookClient
from agentd.tools.replies import DAMAGED
from agentd.tools.runner import Tools, open_tools
from tests.fakes.call import Call, calling, definition
from tests.fakes.providers import calls
from tests.fakes.webhook_server import WebhookServer, gzip_bomb, hang, respond, webhook_server

PARAMETERS = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def server() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as running:
        yield running


def hook(server: WebhookServer, **options: Any) -> WebhookTool:
    options = {"parameters": PARAMETERS, "timeout": Duration(5.0), **options}
    return WebhookTool(type="webhook", name="book", description="Book.", url=server.url, **options)


@asynccontextmanager
async def asked(
    tool: ToolDefinition, script: Callable[[ChatRequest], Any], tmp_path: Path, client: WebhookClient | None = None
) -> AsyncIterator[Call]:
    """A call on the real tools, in which the caller has typed a question and the agent has answered."""
    agent: AgentDefinition = definition(tools=(tool,))
    async with WebhookClient() as own:
        tools: Tools = await open_tools(agent, host=ToolHost(tmp_path, ()), webhooks=client or own)
        try:
            async with calling(agent=agent, script=script, tools=tools) as call:  # type: ignore[arg-type]
                call.room.type("Book it.")
                async with asyncio.timeout(15):
                    while not call.of("turn.agent"):
                        await asyncio.sleep(0.01)
                yield call
        finally:
            await tools.aclose()


def once(arguments: str = '{"day": "Friday"}', name: str = "book") -> Callable[[ChatRequest], Any]:
    """A model that calls once, and says what it was told."""

    def script(request: ChatRequest) -> Any:
        last = request.items[-1]
        return [TextDelta("So.")] if isinstance(last, ToolResult) else [calls(name, arguments)]

    return script


def outcomes(call: Call) -> list[str]:
    """As the counter has them."""
    steps = [step for record in call.records for step in measures(record, "test-agent")]
    return [step.labels["outcome"] for step in steps if step.name == "tool_calls_total"]


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def told(call: Call) -> list[str]:
    return [item.content for item in call.llm.requests[-1].items if isinstance(item, ToolResult)]


async def test_f22_arguments_that_are_none_are_told_mended_twice_and_then_given_up(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries = ['{"day": ', '{"date": "Friday"}', '{"day": "Friday"}']

    def mends(request: ChatRequest) -> Any:
        if request.tool_choice == "none" or not tries:
            return [TextDelta("Done.")]
        return [calls("book", tries.pop(0), f"call-{len(tries)}")]

    async with asked(hook(server), mends, tmp_path) as call:
        assert outcomes(call) == ["invalid_arguments", "invalid_arguments", "ok"]
        assert len(server.received) == 1
        assert "no valid JSON" in told(call)[0]
        assert "day is missing" in told(call)[1]
        assert events(caplog).count("tool_args_invalid") == 2

    never = iter(range(100))
    server.received.clear()

    def hopeless(request: ChatRequest) -> Any:
        if request.tool_choice == "none":
            return [TextDelta("I cannot do that.")]
        return [calls("book", f'{{"wrong": {next(never)}', f"call-{next(never)}")]

    async with asked(hook(server), hopeless, tmp_path) as call:
        assert outcomes(call) == ["invalid_arguments"] * 3
        assert call.agent_texts == ["I cannot do that."]
        assert server.received == []


async def test_f23_a_tool_that_is_not_there_is_told_with_those_that_are(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asked(hook(server), once(name="boook"), tmp_path) as call:
        assert told(call) == ["There is no tool boook. Did you mean book? The tools are: book."]
        assert outcomes(call) == ["unknown_tool"]
        assert "tool_unknown" in events(caplog)


async def test_f24_a_model_that_never_stops_calling_answers_without_tools(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def endless(request: ChatRequest) -> Any:
        number = sum(isinstance(item, ToolCall) for item in request.items)
        wants_words = request.tool_choice == "none"
        return [TextDelta("So far, so good.")] if wants_words else [calls("book", '{"day": "Friday"}', f"c{number}")]

    async with asked(hook(server), endless, tmp_path) as call:
        assert len(server.received) == 2
        assert outcomes(call) == ["ok", "ok", "loop"]
        assert call.agent_texts == ["So far, so good."]
        assert "tool_loop" in events(caplog)
        steps = [step.name for record in call.records for step in measures(record, "test-agent")]
        assert steps.count("tool_loops_total") == 1


async def test_f25_a_webhook_that_fails_or_hangs_is_told_and_asked_again_only_if_that_does_no_harm(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "RETRY_DELAY_S", (0.001, 0.002))
    server.default = respond("no", status=500)
    async with asked(hook(server), once(), tmp_path) as call:
        assert (outcomes(call), told(call)) == (["http"], ["The tool failed."])
        assert len(server.received) == 1
    assert [record.__dict__["status"] for record in caplog.records if record.getMessage() == "tool_http"] == [500]
    server.default = respond("no", status=503)
    async with asked(hook(server), once(), tmp_path):
        assert len(server.received) == 2
    async with asked(hook(server, idempotent=True), once(), tmp_path):
        assert len(server.received) == 5
        assert len({received.headers["webhook-id"] for received in server.received[2:]}) == 1
    server.default = hang()
    async with asked(hook(server, timeout=Duration(1.0)), once(), tmp_path) as call:
        assert outcomes(call) == ["timeout"]
        assert "took too long" in told(call)[0]


async def test_an_action_that_nobody_knows_is_left_out_logged_and_counted(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    actions = [{"type": "levitate"}, {"type": "set_variables", "variables": {"booking": "B-17"}}, "dance"]
    server.default = respond({"ok": True, "agentd": {"actions": actions}})
    async with asked(hook(server), once(), tmp_path) as call:
        assert outcomes(call) == ["ok"]
        assert call.of("tool.completed")[0]["variables"] == {"booking": "B-17"}
        steps = [step for record in call.records for step in measures(record, "test-agent")]
        assert [step.value for step in steps if step.name == "tool_actions_ignored_total"] == [2]
    told = [r.__dict__["action"] for r in caplog.records if r.getMessage().startswith("ignored an action")]
    assert told == ["levitate", "?"]


async def test_f26_a_redirect_or_a_name_that_leads_inside_is_refused_and_said_as_unavailable(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.default = respond(text="", status=302, headers={"location": "http://169.254.169.254/latest/meta-data/"})
    async with asked(hook(server), once(), tmp_path) as call:
        assert (outcomes(call), told(call)) == (["blocked"], ["The tool book failed: it cannot be reached."])
    assert "ssrf_blocked" in events(caplog)
    assert len(server.received) == 1  # and nothing went on from there
    caplog.clear()

    async def rebinding(host: str, port: int, family: int) -> list[str]:
        return ["169.254.169.254"]

    async with WebhookClient(resolve=rebinding) as client:
        tool = WebhookTool(
            type="webhook", name="book", description="Book.", url="https://hooks.example.com/", parameters=PARAMETERS
        )
        async with asked(tool, once(), tmp_path, client) as call:
            assert outcomes(call) == ["blocked"]
    assert "ssrf_blocked" in events(caplog)


async def test_f27_an_answer_that_is_too_large_packed_or_not_is_given_up_at_the_limit(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in (gzip_bomb(), respond(text="z" * (1 << 22)), respond(text="z" * (256 * 1024 + 1))):
        caplog.clear()
        server.default = answer
        async with asked(hook(server), once(), tmp_path) as call:
            assert (outcomes(call), told(call)) == (["too_large"], ["The tool's answer was too large to read."])
        assert "tool_body_cap" in events(caplog)


async def test_f28_bytes_that_are_no_text_are_replaced_and_the_result_is_marked(
    server: WebhookServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for body, shown in (
        (b"caf\xe9", "caf\ufffd"),
        (b"a\x00b", "a\ufffdb"),
        (gzip.compress(b"\xff\xfe"), "\ufffd\ufffd"),
    ):
        caplog.clear()
        packed = {"content-encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
        server.default = respond(body=body, content_type="text/plain", headers=packed)
        async with asked(hook(server), once(), tmp_path) as call:
            assert (outcomes(call), told(call)) == (["ok"], [f"{shown}\n{DAMAGED}"])
        assert "tool_decode" in events(caplog)
    server.default = respond({"name": "Zoë \ufffd"})  # a mark that the server itself has sent is none of ours
    async with asked(hook(server), once(), tmp_path) as call:
        assert told(call) == [json.dumps({"name": "Zoë \ufffd"})]


async def test_f32_an_mcp_server_that_dies_costs_one_slow_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mcp")
    caplog.set_level(logging.INFO)
    program = (sys.executable, str(ROOT / "tests" / "fakes" / "mcp_server.py"))
    state = {"MCP_STATE": Secret("literal", str(tmp_path))}
    tool = McpTool(type="mcp", name="calc", command=program, env=state, timeout=Duration(10.0))
    left = ["calc_add", "calc_look_and_die_once"]

    def script(request: ChatRequest) -> Any:
        arguments = {"calc_add": '{"a": 1, "b": 1}'}
        name = left.pop() if left else ""
        return [calls(name, arguments.get(name, "{}"), name)] if name else [TextDelta("Done.")]

    async with asked(tool, script, tmp_path) as call:
        assert outcomes(call) == ["ok", "ok"]
        assert told(call) == ["alive", "2"]
        assert events(caplog).count("mcp_reconnect") == 1
    processes = [line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()]
    assert processes[0] != processes[1] == processes[2]  # the first call was made again: its tool only looks
