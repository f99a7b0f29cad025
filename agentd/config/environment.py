"""Settings of a daemon that the environment gives, as if they were written in agentd.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.shapes import Choice, Field, Leaf, Record, fields_of
from agentd.config.source import Entry, MappingNode, Mark, Scalar


def environment_record(cls: type[Any], prefix: str, environment: Mapping[str, str]) -> MappingNode:
    """The fields of `cls` whose variables are set: `prefix`, an underscore and the key in capitals."""
    entries = []
    for one in fields_of(cls):
        variable = "LIVEKIT" if one.key == "livekit" else f"{prefix}_{one.key.upper()}"
        if isinstance(one.shape, Record) and one.setting.short is not None and environment.get(variable):
            word = Scalar(Mark(f"environment {variable}", 1, 1), environment[variable].replace("$", "$$"))
            entries.append(Entry(one.key, word.mark, word))
        elif isinstance(one.shape, Record):
            inner = environment_record(one.shape.cls, variable, environment)
            if inner.entries:
                entries.append(Entry(one.key, inner.mark, inner))
        elif (written := _environment_value(one, variable, environment)) is not None:
            entries.append(Entry(one.key, written.mark, written))
    return MappingNode(Mark("environment", 1, 1), tuple(entries))


def _environment_value(one: Field, variable: str, environment: Mapping[str, str]) -> Scalar | None:
    mark = Mark(f"environment {variable}", 1, 1)
    if one.shape == Leaf("secret"):
        given = environment.get(variable) or environment.get(f"{variable}_FILE")
        return Scalar(mark, f"${{{variable}}}", plain=False) if given else None
    if isinstance(one.shape, Choice | Leaf) and one.shape != Leaf("object") and environment.get(variable):
        return Scalar(mark, environment[variable].replace("$", "$$"))
    return None
