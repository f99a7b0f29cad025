"""agentd's own tools by themselves; what a session makes of their actions is in tests/session."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agentd.config.builtins import CollectDigitsTool, RecallTool, RememberTool, SendDtmfTool, SetVariablesTool, WaitTool
from agentd.config.tasks import CardNumberField, NameField, Task
from agentd.errors import ToolArgumentsInvalid, ToolError
from agentd.providers.fields import Duration
from agentd.providers.llm import ToolCall
from agentd.tools import memory as notes
from agentd.tools.acts import BeginTask, LetBeQuiet, PressKeys
from agentd.tools.builtins import builtin, task_tools
from agentd.tools.memory import MOST_NOTES, Memory
from agentd.tools.spec import Caller, SetVariables, ToolContext, ToolOutcome
from tests.fakes.call import definition

NOBODY = 65534
REMEMBER = RememberTool(type="builtin", name="remember")
RECALL = RecallTool(type="builtin", name="recall")


async def use(
    tool: Any, arguments: Mapping[str, Any], context: ToolContext, memory: Memory | None = None
) -> ToolOutcome:
    made = builtin(tool, definition(), memory)
    return await made.run(ToolCall(id="c1", name=tool.name, arguments=json.dumps(arguments)), context)


async def test_the_model_writes_only_the_variables_that_the_file_names(context: ToolContext) -> None:
    tool = SetVariablesTool(type="builtin", name="set_variables", variables={"party": "How many they are."})
    outcome = await use(tool, {"party": 4}, context)
    assert outcome.actions == (SetVariables(values={"party": 4}),)
    with pytest.raises(ToolArgumentsInvalid):
        await use(tool, {"price": 0}, context)


async def test_the_model_waits_no_longer_than_the_file_lets_it(context: ToolContext) -> None:
    tool = WaitTool(type="builtin", name="wait", longest=Duration(60.0))
    assert (await use(tool, {"seconds": 20}, context)).actions == (LetBeQuiet(seconds=20.0),)
    assert (await use(tool, {}, context)).actions == (LetBeQuiet(seconds=60.0),)
    with pytest.raises(ToolArgumentsInvalid):
        await use(tool, {"seconds": 61}, context)


async def test_what_is_kept_of_a_caller_is_told_in_their_next_call_and_to_nobody_else(
    context: ToolContext, tmp_path: Path
) -> None:
    memory = Memory(tmp_path)
    anna, ben = (replace(context, caller=Caller(identity=who)) for who in ("anna", "ben"))
    await use(REMEMBER, {"name": "diet", "text": "no nuts"}, anna, memory)
    await use(REMEMBER, {"name": "table", "text": "by the window"}, anna, memory)
    told = await use(RECALL, {}, anna, Memory(tmp_path))
    assert told.result.content == "diet: no nuts\ntable: by the window"
    assert (await use(RECALL, {}, ben, memory)).result.content == "Nothing was kept about this caller."
    await use(REMEMBER, {"name": "diet", "text": ""}, anna, memory)
    assert (await use(RECALL, {}, anna, memory)).result.content == "table: by the window"


async def test_the_files_are_for_their_owner_and_do_not_name_the_caller(context: ToolContext, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    await memory.keep("desk", "+442071234567", "diet", "no nuts", keep_s=60)
    files = [path for path in (tmp_path / "memory").rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert all("207123" not in path.name for path in files)


async def test_callers_are_told_apart_by_an_attribute_where_the_file_says_so(
    context: ToolContext, tmp_path: Path
) -> None:
    memory, tool = Memory(tmp_path), replace(REMEMBER, by="sip.phoneNumber")
    first = replace(context, caller=Caller(identity="sip_1", attributes={"sip.phoneNumber": "+44"}))
    again = replace(context, caller=Caller(identity="sip_2", attributes={"sip.phoneNumber": "+44"}))
    await use(tool, {"name": "diet", "text": "no nuts"}, first, memory)
    assert (await use(replace(RECALL, by="sip.phoneNumber"), {}, again, memory)).result.content == "diet: no nuts"
    hidden = replace(context, caller=Caller(identity="sip_3"))
    with pytest.raises(ToolError, match=r"no sip\.phoneNumber"):
        await use(tool, {"name": "diet", "text": "x"}, hidden, memory)


async def test_somebody_else_at_the_microphone_is_told_nothing(context: ToolContext, tmp_path: Path) -> None:
    other = replace(context, caller=Caller(identity="anna", other_voice=True))
    with pytest.raises(ToolError, match="somebody else"):
        await use(RECALL, {}, other, Memory(tmp_path))


async def test_notes_are_forgotten_in_time_and_beyond_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory, at = Memory(tmp_path), 1_000.0
    monkeypatch.setattr(notes.time, "time", lambda: at)
    await memory.keep("desk", "anna", "short", "one", keep_s=60)
    await memory.keep("desk", "anna", "long", "two", keep_s=600)
    at += 61
    assert await memory.notes("desk", "anna") == {"long": "two"}
    for number in range(MOST_NOTES):
        await memory.keep("desk", "anna", f"n{number}", "x", keep_s=600)
    kept = await memory.notes("desk", "anna")
    assert (len(kept), "long" in kept) == (MOST_NOTES, False)


async def test_two_who_keep_at_once_lose_nothing(tmp_path: Path) -> None:
    await asyncio.gather(
        *(Memory(tmp_path).keep("desk", "anna", f"n{number}", "x", keep_s=600) for number in range(40))
    )
    assert len(await Memory(tmp_path).notes("desk", "anna")) == 40


async def test_damaged_notes_are_an_error_and_not_the_end_of_the_call(context: ToolContext, tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    await memory.keep("desk", "anna", "diet", "no nuts", keep_s=60)
    next(tmp_path.rglob("*.json")).write_text("{")
    with pytest.raises(ToolError, match="damaged"):
        await memory.notes("desk", "anna")


async def test_a_directory_that_cannot_be_written_is_an_error(own_directory: Path) -> None:
    await Memory(own_directory).keep("desk", "anna", "diet", "no nuts", keep_s=60)
    for place in (own_directory, *own_directory.rglob("*/")):
        place.chmod(0o500)
    with pytest.raises(ToolError, match="could not be kept"):
        await Memory(own_directory).keep("desk", "anna", "diet", "no fish", keep_s=60)


@pytest.fixture
def own_directory() -> Iterator[Path]:
    """Of the test's user, who is not root while the test runs: root may write anywhere. One of pytest's would not do,
    as nobody else gets into those of root."""
    with TemporaryDirectory() as place:
        if os.geteuid() != 0:
            yield Path(place)
            return
        os.chown(place, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(place)
        finally:
            os.seteuid(0)


def test_where_nothing_can_be_kept_an_agent_that_remembers_is_refused() -> None:
    with pytest.raises(ToolError, match="nothing can be kept here"):
        builtin(REMEMBER, definition(), None)


async def test_digits_are_collected_by_a_task_and_the_model_says_nothing_meanwhile(context: ToolContext) -> None:
    tool = CollectDigitsTool(type="builtin", name="collect_digits")
    outcome = await use(tool, {"prompt": "Your number?"}, context)
    assert (outcome.actions, outcome.reply) == ((BeginTask(task="digits", ask="Your number?"),), False)
    with pytest.raises(ToolArgumentsInvalid):  # the file has no question of its own
        await use(tool, {}, context)
    asked = await use(replace(tool, prompt="Your number?"), {}, context)
    assert asked.actions == (BeginTask(task="digits"),)


async def test_only_keys_of_a_telephone_are_pressed(context: ToolContext) -> None:
    tool = SendDtmfTool(type="builtin", name="send_dtmf", most_keys=4)
    assert (await use(tool, {"keys": "1,2#"}, context)).actions == (PressKeys(keys="1,2#"),)
    for keys in ("12345", "1e", ""):
        with pytest.raises(ToolArgumentsInvalid):
            await use(tool, {"keys": keys}, context)


async def test_the_model_begins_the_tasks_that_are_described_with_what_it_knows(context: ToolContext) -> None:
    fields = (NameField(type="name", name="caller"), CardNumberField(type="card_number", name="card"))
    tasks = (Task(name="pay", description="Wants to pay.", fields=fields), Task(name="hidden", fields=fields))
    (tool,) = task_tools(replace(definition(), tasks=tasks))
    assert tool.schema.name == "collect_pay"
    assert list(tool.schema.parameters["properties"]) == ["caller"]  # a card's number is nothing for the model
    outcome = await tool.run(ToolCall(id="c1", name="collect_pay", arguments='{"caller": "Jane Doe"}'), context)
    assert (outcome.actions, outcome.reply) == ((BeginTask(task="pay", known={"caller": "Jane Doe"}),), False)
