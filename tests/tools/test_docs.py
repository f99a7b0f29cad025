"""Every example in docs/tools.md, docs/python-tools.md and docs/webhooks.md, and the sample agents' tools and
hooks, work as they stand."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.load import load
from agentd.providers.chat import ChatContext
from agentd.providers.llm import Message, ToolCall
from agentd.registry import installed
from agentd.session.session_tools import SessionTools
from agentd.tools import replies
from agentd.tools.acts import Act, HandOff, SayText, SetTools, UpdateInstructions
from agentd.tools.host import ToolHost
from agentd.tools.http import Answer, WebhookClient
from agentd.tools.job import AddShutdownCallback, PerformRpc, PublishData, SetAttributes
from agentd.tools.runner import open_tools
from agentd.tools.spec import (
    ChangeTools,
    EndCall,
    Event,
    HookOutcome,
    Pending,
    Say,
    SetVariables,
    ToolContext,
    ToolOutcome,
    TurnChange,
)
from agentd.tools.webhook import Webhook
from tests.documents import ROOT, blocks
from tests.fakes.plugins import fake_registry
from tests.fakes.webhook_server import webhook_server
from tests.tools.test_job_context import FakeDesk

VARIABLES = ("TOOLS_WHSEC", "EVENTS_WHSEC")
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
HEAD = "name: example\nstt: {provider: owl}\nllm: {provider: parrot, model: echo}\ntts: {provider: wren}\n"


YAML = [
    block
    for page in ("docs/tools.md", "docs/python-tools.md", "docs/webhooks.md")
    for block in blocks(page, "yaml")
    if "languages:" not in block
    and "type: provider" not in block  # real providers are needed
    and "tool_process:" not in block  # it is of agentd.yaml
    and "type: mcp" not in block  # real servers are needed: see below, and tests/system/test_mcp.py
]


@pytest.fixture
def documented(agents_dir: Path) -> Path:
    """A directory of agents with the Python examples in it."""
    for block in blocks("docs/python-tools.md", "python"):
        path = agents_dir / block.splitlines()[0].removeprefix("# agents.d/")
        path.write_text(block)
    return agents_dir


@pytest.mark.parametrize("block", YAML, ids=range(len(YAML)))
async def test_the_agent_files_are_valid_and_their_tools_open(
    block: str, documented: Path, host: ToolHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, SECRET)
    (documented / "example.yaml").write_text(HEAD + block)
    if "agent: billing" in block:
        (documented / "billing.yaml").write_text(HEAD.replace("example", "billing"))
    loaded = load(documented, DaemonConfig(), fake_registry(), dict.fromkeys(VARIABLES, SECRET))
    assert [str(problem) for problem in loaded.problems] == []
    runner = await open_tools(loaded.agents["example"], host=host)
    assert bool(runner.schemas) == ("tools:" in block)
    await runner.aclose()


def test_the_example_of_mcp_servers_is_valid(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("docs/tools.md", "yaml") if "type: mcp" in block]
    (tmp_path / "example.yaml").write_text(HEAD + block)
    loaded = load(tmp_path, DaemonConfig(), fake_registry(), {"CRM_KEY": "x"})
    assert [str(problem) for problem in loaded.problems] == []


async def test_the_python_example_runs(documented: Path, host: ToolHost, context: ToolContext) -> None:
    found = await host.describe(["tools.clinic:find_slot"])
    assert found["tools.clinic:find_slot"][0].parameters["required"] == ["day"]
    result = await host.run("tools.clinic:find_slot", {"day": "2030-01-31"}, context, 5)
    assert (result.content, result.variables) == ('["9:00", "10:30"]', {"day_wanted": "2030-01-31"})


async def test_the_receivers_example_verifies_a_real_request(context: ToolContext, tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    (source,) = blocks("docs/webhooks.md", "python")
    exec(source, scope)
    async with webhook_server() as server, WebhookClient() as client:
        documented, *_ = blocks("docs/webhooks.md", "yaml")
        (tmp_path / "a.yaml").write_text(HEAD + documented.replace("https://app.example.com", server.url))
        loaded = load(tmp_path, DaemonConfig(), fake_registry(), dict.fromkeys(VARIABLES, SECRET))
        (definition,) = loaded.agents["example"].tools
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TOOLS_WHSEC", SECRET)
            hook = Webhook(definition, client)  # type: ignore[arg-type]
        await hook.run(ToolCall(id="1", name="find_slot", arguments='{"day": "2030-01-31"}'), context)
    (request,) = server.received
    assert scope["verified"](SECRET, request.body, dict(request.headers))
    assert not scope["verified"](SECRET, request.body + b"x", dict(request.headers))


def test_the_example_answer_does_what_the_page_says() -> None:
    block, pending = blocks("docs/webhooks.md", "json")
    later = replies.outcome(
        ToolCall(id="1", name="book", arguments="{}"),
        Answer(status=202, content_type="application/json", text=pending),
        replies.Reading(),
    )
    assert later.pending == Pending(timeout_s=300.0)
    assert later.actions == (Say(text="I will tell you when they call back."),)
    answer = Answer(status=200, content_type="application/json", text=block)
    outcome = replies.outcome(ToolCall(id="1", name="book", arguments="{}"), answer, replies.Reading())
    assert json.loads(outcome.result.content) == {"booked": True}
    assert outcome.reply is False
    assert outcome.actions == (
        Say(text="You are all set."),
        SetVariables(values={"booking": "B-17"}),
        UpdateInstructions(text="The caller has booked."),
        SetTools(disable=("book",)),
        HandOff(agent="billing", rule="tool"),
        EndCall(say="Goodbye!"),
    )


def visitors() -> AgentDefinition:
    return load(ROOT / "agents.d", DaemonConfig(), installed(), {}).agents["visitors"]


def test_the_hooks_of_the_page_are_those_of_the_sample_agent() -> None:
    (page,) = blocks("docs/events.md", "python")
    assert page == (ROOT / "agents.d" / "tools" / "visitors.py").read_text()
    refs = {hook.do.python for hook in visitors().hooks if hook.do.python}
    assert refs == {f"tools.visitors:{name}" for name in ("on_join", "before_reply", "on_close")}


async def test_the_sample_agents_hooks_greet_hide_card_numbers_and_drop_a_turn(
    context: ToolContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    context = replace(context, say=say, history=lambda: ChatContext.of([Message(role="user", text="Hello.")]))
    host = ToolHost(ROOT / "agents.d", scratch_dir=tmp_path)
    runner = await open_tools(visitors(), host=host)

    async def give(name: str, type: str, /, **data: Any) -> HookOutcome:
        event = Event(type=type, session="s1", agent="visitors", at=1.5, data=data)
        return await runner.run_hook(f"tools.visitors:{name}", event, context, 5)

    with caplog.at_level("INFO"):
        join = await give("on_join", "participant_linked", name="Ann")
        plain = await give("before_reply", "before_reply", text="Hello.")
        card = await give("before_reply", "before_reply", text="It is 4111 1111 1111 1111.")
        dropped = await give("before_reply", "before_reply", text="Never mind.")
        end = await give("on_close", "close", reason="caller_left")
        await runner.aclose()
        await host.aclose()
    assert said == ["Good day, Ann. Whom do you want to see?"]
    assert join.actions == (SetVariables(values={"visitor": "Ann"}),)
    assert plain.change is None
    assert card.change == TurnChange(text="It is [a card number].", context="Say that no card is needed here.")
    assert dropped.change == TurnChange(drop=True)
    assert end.outcome == "ok"
    assert "nobody said 1 things and left: caller_left" in caplog.text


def test_the_hooks_of_the_page_on_jobs_are_those_of_its_sample_agent() -> None:
    (page,) = blocks("docs/job-context.md", "python")
    assert page == (ROOT / "agents.d" / "tools" / "support.py").read_text()
    (shown,) = blocks("docs/job-context.md", "yaml")
    written = (ROOT / "agents.d" / "support.yaml").read_text()
    assert written.endswith(shown[shown.index("hooks:") :])


async def test_the_sample_agents_hooks_greet_about_the_ticket_and_close_it_when_the_call_is_over(
    context: ToolContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk, acts = FakeDesk(), list[Act]()
    context = replace(context, job=desk, act=acts.append, variables={"ticket": "none"})
    host = ToolHost(ROOT / "agents.d", scratch_dir=tmp_path)
    agent = load(ROOT / "agents.d", DaemonConfig(), installed(), {}).agents["support"]
    runner = await open_tools(agent, host=host)

    async def give(name: str, type: str, /, **data: Any) -> HookOutcome:
        event = Event(type=type, session="s1", agent="support", at=1.5, data=data)
        return await runner.run_hook(f"tools.support:{name}", event, context, 5)

    with caplog.at_level("INFO"):
        joined = await give("on_join", "participant_linked", name="Ann")
        gold = await give("on_gold", "participant_updated", identity="phone", attributes={"tier": "gold"})
        dropped = await give("on_user_turn_completed", "before_reply", text="Not you, sorry.")
        answered = await give("on_user_turn_completed", "before_reply", text="Hello.")
        over = await give("close_ticket", "shutdown", reason="caller_left")
        await runner.aclose()
        await host.aclose()
    assert joined.actions == (
        SetVariables(values={"ticket": "7"}),
        UpdateInstructions(text="The caller is looking at the page here."),
    )
    assert desk.said[0] == SayText(text="Hello Ann, this is about ticket 7.")
    assert [each for each in desk.done if not isinstance(each, PerformRpc)] == [
        AddShutdownCallback(ref="tools.support:close_ticket"),
        SetAttributes(attributes={"ticket": "7", "stage": "greeting"}),
        SetAttributes(attributes={"stage": "talking"}),
        PublishData(data=b"gold", topic="badge", identities=("phone",)),
    ]
    assert (gold.outcome, dropped.change, answered.change) == ("ok", TurnChange(drop=True), None)
    assert over.outcome == "ok"
    assert "ticket none of room-1: caller_left" in caplog.text


async def test_the_sample_agents_tool_books_a_table(context: ToolContext, tmp_path: Path) -> None:
    host = ToolHost(ROOT / "agents.d", scratch_dir=tmp_path)
    arguments = {"name": "Ann", "people": 3, "day": "Friday", "time": "7 pm"}
    result = await host.run("tools.booking:book", arguments, context, 5)
    await host.aclose()
    assert result.content.startswith("Your table is booked, Ann")
    assert result.variables == {"bookings": ["Ann, 3, Friday, 7 pm"]}


async def test_the_librarys_tools_are_those_of_the_page_and_more_come_with_a_card(
    context: ToolContext, tmp_path: Path
) -> None:
    shown = (ROOT / "agents.d" / "tools" / "library.py").read_text()
    assert shown in blocks("docs/python-tools.md", "python")
    host = ToolHost(ROOT / "agents.d", scratch_dir=tmp_path)
    definition = load(ROOT / "agents.d", DaemonConfig(), installed(), {}).agents["library"]
    runner = SessionTools(await open_tools(definition, host=host))
    context = replace(context, variables={})

    async def ask(name: str, **arguments: Any) -> ToolOutcome:
        outcome = await runner.run(ToolCall(id="1", name=name, arguments=json.dumps(arguments)), context)
        for action in outcome.actions:
            if isinstance(action, ChangeTools):
                runner.change(action.changes)
        return outcome

    try:
        assert [schema.name for schema in runner.schemas] == ["find_book", "show_card", "end_call"]
        assert all(schema.strict for schema in runner.schemas[:2])
        found = await ask("find_book", title="moby", branch="harbour")
        assert found.result.content == "Moby Dick is in the harbour branch"
        assert (await ask("renew", title="Middlemarch")).outcome == "unknown_tool"
        assert (await ask("show_card", number="1")).result.content == "There is no such card."
        await ask("show_card", number="4711")
        assert [schema.name for schema in runner.schemas] == ["find_book", "end_call", "my_loans", "renew"]
        assert json.loads((await ask("my_loans")).result.content) == [{"title": "Middlemarch", "due": "2030-02-14"}]
        renewed = await ask("renew", title="Middlemarch", weeks=None)
        assert json.loads(renewed.result.content)["due"] == "2030-02-28"
        assert renewed.actions == (SetVariables(values={"loans": {"Middlemarch": "2030-02-28"}}),)
        assert "5 weeks are too many" in (await ask("renew", title="Middlemarch", weeks=5)).result.content
    finally:
        await host.aclose()
