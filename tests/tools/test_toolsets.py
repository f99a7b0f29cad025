"""Objects whose methods are tools, and tools that tools add and take away."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentd.config.tools import PythonTool
from agentd.errors import ToolError
from agentd.providers.fields import Duration
from agentd.session.session_tools import MAX_ADDED, SessionTools
from agentd.tools.host import ToolHost
from agentd.tools.runner import open_tools
from agentd.tools.spec import ChangeTools, SetVariables, ToolContext
from tests.tools.test_runner import agent, call, python


async def test_an_objects_public_methods_are_tools(host: ToolHost, context: ToolContext) -> None:
    runner = await open_tools(agent(python("till")), host=host)
    assert [schema.name for schema in runner.schemas] == ["count_up", "pay", "refund"]
    pay = runner.schemas[1]
    assert (pay.description, pay.strict) == ("Take money.", True)
    assert pay.parameters["properties"] == {"amount": {"type": "integer", "description": "In cents."}}
    paid = await runner.run(call("pay", '{"amount": 7}'), context)
    assert (paid.result.content, paid.actions) == ("7 of 100", (SetVariables(values={"paid": 7}),))
    assert (await runner.run(call("refund", '{"amount": 7}'), context)).result.content == "7 back"
    assert (await runner.run(call("pay", '{"amount": 700}'), context)).result.content.endswith("more than 100")


async def test_one_method_can_be_named(host: ToolHost, context: ToolContext) -> None:
    tool = PythonTool(type="python", ref="tools.code:till.pay", name="charge", timeout=Duration(5))
    runner = await open_tools(agent(tool), host=host)
    assert [schema.name for schema in runner.schemas] == ["charge"]
    assert (await runner.run(call("charge", '{"amount": 7}'), context)).result.content == "7 of 100"


async def test_a_name_for_several_tools_is_refused(host: ToolHost) -> None:
    with pytest.raises(ToolError, match=r"several tools \(count_up, pay, refund\).*tools\.code:till\.count_up"):
        await open_tools(agent(python("till", name="x")), host=host)


async def test_names_of_a_toolset_clash_like_others(host: ToolHost) -> None:
    with pytest.raises(ToolError, match="two tools are named pay"):
        await open_tools(agent(python("till"), python("version", name="pay")), host=host)


async def test_a_tool_adds_and_removes_tools_when_it_has_returned(host: ToolHost, context: ToolContext) -> None:
    runner = await open_tools(agent(python("changes_tools"), python("book"), python("count")), host=host)
    tools = SessionTools(runner)
    tools.change({"count": None})
    outcome = await tools.run(call("changes_tools"), context)
    (action,) = outcome.actions
    assert isinstance(action, ChangeTools)
    asked = {name: told and told is not True and told["ref"] for name, told in action.changes.items()}
    assert asked == {
        "pay": "tools.code:till.pay",
        "version": "tools.code:version",
        "refund": "tools.code:till.refund",
        "find_slot": False,
        "book": None,
        "count": None,
    }
    done = tools.change(json.loads(json.dumps(dict(action.changes))))  # as a journal has it
    assert "find_slot" not in done, "the agent file has no such tool"
    assert [schema.name for schema in tools.schemas] == ["changes_tools", "pay", "version", "refund"]
    assert (await tools.run(call("pay", '{"amount": 1}'), context)).result.content == "1 of 100"
    assert (await tools.run(call("refund", '{"amount": 1}'), context)).result.content == "1 back"
    gone = await tools.run(call("book", "{}"), context)
    assert gone.outcome == "unknown_tool"
    assert gone.result.content.startswith("There is no tool book any more. The tools are: changes_tools, pay, ")
    tools.change({"book": True, "pay": None})
    assert [schema.name for schema in tools.schemas] == ["changes_tools", "book", "version", "refund"]
    assert [schema.name for schema in runner.schemas] == ["changes_tools", "book", "count"], "others have what they had"


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("tools.code:missing", "there is no missing in tools.code"),
        ("os:system", r"tools_allow \(tools\.\*\) does not permit it"),
        ("lambda", "does not stand at the top of a module"),
        ("tools.code:Till", "it is a class"),
    ],
)
async def test_what_cannot_be_added_is_the_adding_tools_error(
    host: ToolHost, context: ToolContext, ref: str, words: str
) -> None:
    result = await host.run("tools.code:adds_what_cannot_be", {"ref": ref}, context, 10)
    assert result.outcome == "error"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(result.content)
    assert result.tools == {}


def _told(name: str, **more: Any) -> Mapping[str, Any]:
    return {"ref": "tools.code:version", "name": name, "description": "", "parameters": {"type": "object"}, **more}


async def test_rubbish_from_a_tool_process_adds_nothing(host: ToolHost) -> None:
    tools = SessionTools(await open_tools(agent(python("book")), host=host))
    assert tools.change({"a": 7, "b": {"ref": "x"}, "c": _told("c", parameters=None), "d d": _told("d d")}) == {}
    assert tools.change({f"t{n}": _told(f"t{n}") for n in range(MAX_ADDED + 1)}).keys() == {
        f"t{n}" for n in range(MAX_ADDED)
    }


async def test_progress_and_a_held_floor_are_told_while_the_tool_runs(host: ToolHost, context: ToolContext) -> None:
    told: list[str] = []

    async def update(text: str) -> None:
        told.append(text)

    within = dataclasses.replace(context, update=update, hold=lambda: told.append("held"))
    result = await host.run("tools.code:reports", {}, within, 10)
    assert told == ["held", "Half of it.", "All of it."]
    assert result.content == "done"


async def test_a_hooks_progress_is_speech(host: ToolHost, context: ToolContext) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    await host.run("tools.code:reports", {}, dataclasses.replace(context, say=say), 10)
    assert said == ["Half of it.", "All of it."]
