"""All tools of an agent behind one protocol: it never raises, and always tells the model."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agentd.config.builtins import EndCallTool, SetLanguageTool
from agentd.config.definition import AgentDefinition, LanguageOverride, ToolDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.tools import ClientTool, Filler, ProviderTool, PythonTool, ToolOptions, WebhookTool
from agentd.errors import ToolError
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools.host import ToolHost
from agentd.tools.runner import Tools, open_tools
from agentd.tools.spec import EndCall, SetLanguage, SetVariables, ToolContext, ToolOutcome, ToolRunner
from tests.fakes.webhook_server import respond, webhook_server


def agent(*tools: ToolDefinition) -> AgentDefinition:
    def choice(kind: Any) -> ProviderChoice:
        return ProviderChoice(kind=kind, provider="none", settings=None, digest="")

    return AgentDefinition(
        name="front-desk", stt=choice("stt"), llm=choice("llm"), tts=choice("tts"), vad=choice("vad"), tools=tools
    )


def python(function: str, **options: Any) -> PythonTool:
    return PythonTool(type="python", ref=f"tools.code:{function}", **options)


def hook(name: str, url: str, **options: Any) -> WebhookTool:
    return WebhookTool(type="webhook", name=name, description="A hook.", url=url, **options)


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(id="c1", name=name, arguments=arguments)


async def test_tools_of_every_kind_run_side_by_side(host: ToolHost, context: ToolContext) -> None:
    filler = Filler(say=("One moment.",))
    async with webhook_server() as server:
        definition = agent(
            python("book", description="Book it.", while_waiting=filler),
            python("version", name="which_version"),
            hook("find_slot", server.url, cancel_on_interrupt=True),
            EndCallTool(type="builtin", name="end_call"),
        )
        runner: ToolRunner = await open_tools(definition, host=host)
        assert [schema.name for schema in runner.schemas] == ["book", "which_version", "find_slot", "end_call"]
        assert runner.schemas[0].description == "Book it."
        assert runner.options("book").while_waiting is filler
        assert runner.options("find_slot").while_waiting is None
        assert runner.options("find_slot").cancel_on_interrupt
        assert not runner.options("book").cancel_on_interrupt
        assert runner.options("unknown") == ToolOptions()
        booked, version, found, ended = await asyncio.gather(
            runner.run(call("book", '{"booking": {"name": "Zoë", "party": "3"}}'), context),
            runner.run(call("which_version"), context),
            runner.run(call("find_slot"), context),
            runner.run(call("end_call", '{"say": "Goodbye!"}'), context),
        )
        await runner.aclose()
    assert '"party": 3' in booked.result.content
    assert booked.actions == (SetVariables(values={"booked": "Zoë", "count": 2, "draft": None}),)
    assert (version.result.content, version.outcome) == ("one", "ok")
    assert found.result.content == '{"ok": true}'
    assert (ended.actions, ended.reply) == ((EndCall(say="Goodbye!"),), False)
    assert all(each.duration_s > 0 for each in (booked, version, found))


async def test_the_language_is_one_of_those_that_the_agent_declares(host: ToolHost, context: ToolContext) -> None:
    tool = SetLanguageTool(type="builtin", name="set_language")
    definition = replace(agent(tool), language="en-GB", languages={"de-DE": LanguageOverride()})
    runner = await open_tools(definition, host=host)
    assert runner.schemas[0].parameters["properties"]["language"]["enum"] == ["en-GB", "de-DE"]
    chosen = await runner.run(call("set_language", '{"language": "de-DE"}'), context)
    refused = await runner.run(call("set_language", '{"language": "fr-FR"}'), context)
    await runner.aclose()
    assert (chosen.actions, chosen.reply) == ((SetLanguage(language="de-DE"),), True)
    assert (refused.actions, refused.outcome) == ((), "invalid_arguments")
    assert "en-GB" in refused.result.content


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "words"),
    [
        ("raises", "{}", "error", "The tool raises failed: ValueError: no such table"),
        ("hard_exit", "{}", "crashed", "The tool hard_exit crashed: it ended with exit code 7."),
        ("blocks", '{"mark": "mark"}', "timeout", "The tool blocks took too long: no answer within 0.4 s."),
        ("blocks", "{}", "invalid_arguments", "Wrong arguments for blocks: mark is missing."),
        (
            "raise",
            "{}",
            "unknown_tool",
            "There is no tool raise. Did you mean raises? The tools are: raises, hard_exit",
        ),
    ],
)
async def test_whatever_goes_wrong_is_told_to_the_model(
    host: ToolHost, context: ToolContext, name: str, arguments: str, outcome: str, words: str
) -> None:
    tools = [python(each, timeout=Duration(0.4)) for each in ("raises", "hard_exit", "blocks")]
    runner = await open_tools(agent(*tools), host=host)
    result = await runner.run(call(name, arguments), context)
    assert (result.outcome, result.result.is_error, result.actions) == (outcome, True, ())
    assert words in result.result.content
    await runner.aclose()


async def test_an_endpoint_that_is_down_is_told_to_the_model(host: ToolHost, context: ToolContext) -> None:
    async with webhook_server() as server:
        server.default = respond(status=500)
        runner = await open_tools(agent(hook("find", server.url), hook("gone", "http://127.0.0.1:1/")), host=host)
        assert (await runner.run(call("find"), context)).result.content == "The tool failed."
        assert (await runner.run(call("gone"), context)).result.content == "The tool gone failed: it cannot be reached."
        await runner.aclose()


async def test_every_reason_against_a_definition_is_told(host: ToolHost) -> None:
    definition = agent(
        python("missing"),
        PythonTool(type="python", ref="os:system"),
        hook("a", "http://hooks.example.com/"),
        hook("b", "https://169.254.169.254/"),
        hook("c", "https://hooks.example.com/", secret=Secret("literal", "x")),
        python("version"),
        python("pid", name="version"),
    )
    with pytest.raises(ToolError) as caught:
        await open_tools(definition, host=host)
    for words in ("no missing", "os:system", "a: url must be https", "b: url", "c: secret"):
        assert words in str(caught.value)


async def test_two_tools_of_one_name_are_refused(host: ToolHost) -> None:
    with pytest.raises(ToolError, match="two tools are named version"):
        await open_tools(agent(python("version"), python("pid", name="version")), host=host)


async def test_what_the_provider_does_itself_is_no_tool_here(host: ToolHost) -> None:
    search, show = ProviderTool(type="provider", name="web_search"), ClientTool(type="client", name="show_map")
    runner = await open_tools(agent(search, show), host=host)
    assert [schema.name for schema in runner.schemas] == ["show_map"]
    await runner.aclose()


async def test_agents_share_the_processes_of_a_host(make_host: Callable[..., ToolHost], context: ToolContext) -> None:
    host = make_host()
    first = await open_tools(agent(python("pid")), host=host)
    second = await open_tools(agent(python("pid")), host=host)
    results = [await each.run(call("pid"), context) for each in (first, second, first)]
    assert len({each.result.content for each in results}) == 1
    await first.aclose()
    assert (await second.run(call("pid"), context)).outcome == "ok"


class Broken:
    schema = ToolSchema(name="broken", description="", parameters={})
    options = ToolOptions()

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        raise RuntimeError("a fault of ours, with details")


async def test_even_a_fault_of_ours_does_not_end_the_call(
    context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await Tools([Broken()]).run(call("broken"), context)
    assert (outcome.outcome, outcome.result.content) == ("error", "The tool broken failed.")
    assert "with details" in caplog.text
