"""A script beside a task: what the caller answers agentd is not the dialogue's; its result is."""

from __future__ import annotations

from pathlib import Path

import yaml
from agentd_scripted.engine import Engine
from agentd_scripted.loading import read_dialogue
from agentd_scripted.script import compile_script

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult

AGENT = yaml.safe_load((Path(__file__).parents[2] / "agents.d" / "callback.yaml").read_text())
COLLECTING = ToolResult(call_id="call_1", name="collect_callback", content='{"status": "collecting"}')


def engine() -> Engine:
    text = yaml.safe_dump(AGENT["llm"]["dialogue"], sort_keys=False)
    return Engine(compile_script(read_dialogue(text, "callback.yaml")), AGENT["variables"])


def items(*more: ChatItem) -> list[ChatItem]:
    greeting = Message(role="assistant", text="Hill Street Surgery. Would you like us to call you back?")
    call = ToolCall(id="call_1", name="collect_callback", arguments="{}")
    return [greeting, Message(role="user", text="Yes, please."), call, COLLECTING, *more]


def over(status: str) -> ToolResult:
    content = f'{{"status": "{status}", "values": {{"caller": "No", "day": "2027-03-05"}}}}'
    return ToolResult(call_id="task-1-over", name="collect_callback", content=content)


def test_answers_to_a_task_move_nothing_until_its_result_is_there() -> None:
    answers = [Message(role="user", text=text) for text in ("No.", "goodbye", "Yes")]
    done = engine().reply(items(*answers, over("complete"))).answer
    assert done.text == "We will call you on 2027-03-05, No. Goodbye."
    assert done.call is not None
    assert done.call.name == "end_call"


def test_a_task_that_was_given_up_is_another_result() -> None:
    assert engine().reply(items(over("given_up"))).answer.text == "Then please call again later."
