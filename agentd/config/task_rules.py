"""What the fields of a task, and those of each of its fields, must be together: pure findings about a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from agentd.config.builtins import CollectDigitsTool
from agentd.config.finding import Finding
from agentd.config.tasks import (
    ChoiceField,
    CustomField,
    DateField,
    DigitsField,
    FieldOptions,
    NumberField,
    Task,
)


def _field(field: FieldOptions) -> Iterable[Finding]:
    if field.then == "tool" and field.tool is None:
        yield Finding("then", "missing-key", '"then: tool" needs a "tool"')
    if field.tool is not None and field.then != "tool":
        yield Finding("tool", "conflict", '"tool" is of "then: tool"')
    if field.then == "handoff" and field.handoff is None:
        yield Finding("then", "missing-key", '"then: handoff" needs a "handoff"', "like handoff: {agent: front-desk}")
    if field.handoff is not None and field.then != "handoff":
        yield Finding("handoff", "conflict", '"handoff" is of "then: handoff"')
    if field.say is not None and field.then != "end_call":
        yield Finding("say", "conflict", '"say" is of "then: end_call"', 'the question is "ask"')


def _date(field: DateField) -> Iterable[Finding]:
    try:
        ZoneInfo(field.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        message = f'there is no time zone "{field.timezone}"'
        yield Finding("timezone", "not-allowed", message, 'one of the IANA\'s, like "Europe/London"')


def _number(field: NumberField) -> Iterable[Finding]:
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        yield Finding(
            "minimum", "out-of-range", f'"minimum" ({field.minimum:g}) is above "maximum" ({field.maximum:g})'
        )


def _digits(field: DigitsField) -> Iterable[Finding]:
    if field.min_length > field.max_length:
        message = f'"min_length" ({field.min_length}) is above "max_length" ({field.max_length})'
        yield Finding("min_length", "out-of-range", message)
    if field.length is not None and (field.min_length != 1 or field.max_length != 32):
        yield Finding("length", "conflict", '"length" says how many exactly', 'take "min_length" and "max_length" out')


def _choice(field: ChoiceField) -> Iterable[Finding]:
    if len(field.options) < 2:
        yield Finding("options", "too-short", '"options" needs two or more')
    seen: dict[str, str] = {}
    for value, also in field.options.items():
        for said in (value, *also):
            other = seen.setdefault(said.casefold().strip(), value)
            if other != value:
                yield Finding("options", "conflict", f'"{said}" stands for both "{other}" and "{value}"')


def _custom(field: CustomField) -> Iterable[Finding]:
    from jsonschema import Draft202012Validator, SchemaError

    if field.pattern is None and field.schema is None:
        yield Finding("", "missing-key", 'a custom field needs a "pattern" or a "schema"')
    try:
        re.compile(field.pattern or "")
    except re.error as error:
        yield Finding("pattern", "bad-pattern", f"no regular expression: {error}")
    try:
        Draft202012Validator.check_schema(field.schema or {})
    except SchemaError as error:
        yield Finding("schema", "bad-json-schema", f"no JSON Schema: {error.message}")


def _task(task: Task) -> Iterable[Finding]:
    names = [each.name for each in task.fields]
    twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if twice:
        yield Finding("fields", "name-clash", f"two fields are named {', '.join(twice)}")


def _collect_digits(tool: CollectDigitsTool) -> Iterable[Finding]:
    if tool.length is not None and tool.max_length != 32:
        yield Finding("length", "conflict", '"length" says how many exactly', 'take "max_length" out')


RULES: Mapping[type[Any], Callable[[Any], Iterable[Finding]]] = {
    FieldOptions: _field,
    DateField: _date,
    NumberField: _number,
    DigitsField: _digits,
    ChoiceField: _choice,
    CustomField: _custom,
    Task: _task,
    CollectDigitsTool: _collect_digits,
}
