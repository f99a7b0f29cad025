"""The conditions of hooks: fields of an event's data, compared with what an agent file says. Pure; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMPARISONS = ("in", "min", "max")


def holds(conditions: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Whether every field is as it is wanted. A field that is not there is null."""
    return all(_fits(wanted, value_at(data, field)) for field, wanted in conditions.items())


def value_at(data: Mapping[str, Any], field: str) -> Any:
    """`metrics.e2e`: the field within a field; None where there is none."""
    value: Any = data
    for step in field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _fits(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return _equal(wanted, value)
    if "in" in wanted and not any(_equal(each, value) for each in wanted["in"]):
        return False
    if "min" not in wanted and "max" not in wanted:
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and wanted.get("min", value) <= value <= wanted.get("max", value)


def _equal(wanted: Any, value: Any) -> bool:
    """true is not 1."""
    return isinstance(wanted, bool) is isinstance(value, bool) and bool(wanted == value)
