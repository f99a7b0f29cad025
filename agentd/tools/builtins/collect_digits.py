"""The builtin `collect_digits`: it begins a task of one field, which the session asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import AgentDefinition
from agentd.config.tasks import DIGITS_TASK
from agentd.tools.acts import BeginTask
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import ToolContext
from agentd.tools.text import for_speech

_DESCRIPTION = (
    "Asks the caller for digits, pressed on their telephone or said, like a customer number. You say nothing while it "
    "runs; its result comes when the digits are there."
)


def collect_digits(tool: CollectDigitsTool, definition: AgentDefinition) -> Builtin:
    """Has the caller asked for digits."""
    prompt = {"type": "string", "description": "The question that the caller is asked."}
    parameters: dict[str, Any] = {"properties": {"prompt": prompt}, "required": [] if tool.prompt else ["prompt"]}

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        ask = for_speech(str(arguments.get("prompt", "")))
        return Answer(text=COLLECTING, actions=(BeginTask(task=DIGITS_TASK, ask=ask),), reply=False)

    return Builtin(tool, name=tool.name, description=_DESCRIPTION, parameters=parameters, answer=answer)


COLLECTING = '{"status": "collecting"}'
"""What the model, or a script in its place, knows of a task that has begun; another result says how it ended."""
