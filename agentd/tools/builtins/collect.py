"""The tools by which the model begins the agent's tasks: collect_NAME, one each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.tasks import CardNumberField, Task
from agentd.config.tools import BuiltinTool
from agentd.tools.acts import BeginTask
from agentd.tools.builtins.collect_digits import COLLECTING
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import ToolContext

_NOTE = (
    "The caller is asked for everything that is missing; you say nothing while it runs, and its result comes when it "
    "is over. Pass what the caller has said already, in their own words."
)


def task_tools(definition: AgentDefinition) -> Iterator[Builtin]:
    """Of every task that the model may begin."""
    for task in definition.tasks:
        if task.description:
            yield _collect(task)


def _collect(task: Task) -> Builtin:
    known = {
        each.name: {"type": "string", "description": f"What the caller said, if they did: {each.type}."}
        for each in task.fields
        if not isinstance(each, CardNumberField)
    }

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        said = {name: str(text) for name, text in arguments.items()}
        return Answer(text=COLLECTING, actions=(BeginTask(task=task.name, known=said),), reply=False)

    return Builtin(
        BuiltinTool(),
        name=task.tool_name,
        description=f"{task.description} {_NOTE}",
        parameters={"properties": known},
        answer=answer,
    )
