"""The tools that the model has while a task runs. Pure: schemas, and what a call of one means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentd.config.tasks import Task
from agentd.providers.llm import ToolSchema
from agentd.session import task_machine
from agentd.session.task_machine import Step
from agentd.session.task_state import Asking, TaskState, is_secret

SET_VALUE, CONFIRM, GO_BACK, SKIP, GIVE_UP = "set_value", "confirm_value", "go_back", "skip_value", "give_up"
_INSTRUCTIONS = (
    "You are collecting data from the caller. Call set_value with the caller's own words as soon as they answer, for "
    "several fields at once if they give several; what it answers tells you what to say next. Answer questions of the "
    "caller briefly, then ask again. Never make a value up."
)
NAMES = frozenset({SET_VALUE, CONFIRM, GO_BACK, SKIP, GIVE_UP})


def schemas(task: Task) -> tuple[ToolSchema, ...]:
    """Secret fields are for agentd alone: the model does not see what was said of them."""
    names = [each.name for each in task.fields if not is_secret(task, each.name)]
    field: Mapping[str, Any] = {"type": "string", "enum": names}
    words = {"type": "string", "description": "The caller's own words for it."}
    found = [
        _schema(
            CONFIRM, "The caller has said whether what they were asked about is right.", {"right": {"type": "boolean"}}
        ),
        _schema(GO_BACK, "The caller wants to change what they gave before.", {"field": field}, required=False),
        _schema(SKIP, "The caller has none, or does not want to say.", {}),
        _schema(GIVE_UP, "The caller wants no more of this.", {}),
    ]
    if names:
        found.insert(0, _schema(SET_VALUE, "The caller has answered.", {"field": field, "value": words}))
    return tuple(found)


def _schema(name: str, description: str, properties: Mapping[str, Any], *, required: bool = True) -> ToolSchema:
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties) if required else [],
        "additionalProperties": False,
    }
    return ToolSchema(name=name, description=description, parameters=parameters)


def called(asking: Asking, state: TaskState, name: str, arguments: str, *, said_no: bool) -> Step | str:
    """What the call makes of the task, or words on what is wrong with it. `said_no`: the caller's last words were a no,
    whatever the model makes of them."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        return "The arguments are no JSON."
    if not isinstance(given, dict):
        return "The arguments must be an object."
    names = {each.name for each in asking.task.fields}
    field = given.get("field")
    if field is not None and field not in names:
        return f"There is no field {field}. The fields are: {', '.join(sorted(names))}."
    match name:
        case "set_value":
            if not isinstance(field, str) or not isinstance(given.get("value"), str | int | float):
                return "set_value needs a field and a value."
            if is_secret(asking.task, field):
                return f"{field} is taken from the caller directly."
            return task_machine.set_value(asking, state, field, str(given["value"]))
        case "confirm_value":
            if not isinstance(given.get("right"), bool):
                return "confirm_value needs right: true or false."
            if given["right"] and said_no:
                return "The caller did not say yes. Ask what is right."
            return task_machine.confirm(asking, state, right=given["right"])
        case "go_back":
            return task_machine.go_back(asking, state, field)
        case "skip_value":
            return task_machine.skip(asking, state)
        case _:
            return task_machine.give_up(asking, state)


def told(step: Step) -> str:
    """What the model is told of a step."""
    if step.state.outcome:
        return f"The task is over: {step.state.outcome}."
    return f"Say now, in your own words if need be: {step.say}"


def instructions(asking: Asking, state: TaskState) -> str:
    """For the model while the task runs."""
    lines = [_INSTRUCTIONS]
    for each in asking.task.fields:
        optional = ", may be left out" if each.optional else ""
        lines.append(f"- {each.name} ({each.type}{optional}): {_status(asking, state, each.name)}")
    question = asking.question(state)
    if question:
        lines.append(f"The caller is being asked: {question}")
    if asking.task.instructions:
        lines.append(asking.render(asking.task.instructions))
    return "\n".join(lines)


def _status(asking: Asking, state: TaskState, name: str) -> str:
    given = state.given.get(name)
    if given is None:
        return "left out" if name in state.skipped else "missing"
    said = asking.read_out(state, asking.task.field(name))
    return f"{said}{'' if given.settled else ', not confirmed yet'}"
