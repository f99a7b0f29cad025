"""What stands beside a type in `Annotated`, or as a default, as JSON Schema says it.

The metadata of pydantic (`Field`, `StringConstraints`) and of annotated-types (`Ge`, `MinLen`) is read by the names of
its attributes, so that neither need be installed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OF_NUMBERS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_OF_SIZES = {
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDefault:
    """A member's default. `fill`: it must be given, because what the function has for one is pydantic's `Field`.
    `metadata`: what that `Field` says of the value."""

    value: Any = None
    missing: bool = False
    fill: bool = False
    metadata: tuple[Any, ...] = ()


def constrained(schema: Mapping[str, Any], metadata: Iterable[Any]) -> dict[str, Any]:
    """The schema with the description, the examples and the limits of the metadata. The first text is the description;
    a reference stays bare of limits."""
    found = dict(schema)
    for each in _spread(metadata):
        text = each if isinstance(each, str) else getattr(each, "description", None)
        if isinstance(text, str) and text:
            found.setdefault("description", text)
        examples = getattr(each, "examples", None)
        if isinstance(examples, list | tuple):
            found.setdefault("examples", list(examples))
        found = _limited(found, each)
    return found


def field_default(annotation: Any, default: Any) -> FieldDefault:
    """What a member has for a default: its own, or that of a pydantic `Field` that stands for it or in its hint."""
    if callable(getattr(default, "is_required", None)):
        if default.is_required():
            return FieldDefault(missing=True, metadata=(default,))
        return FieldDefault(value=default.get_default(call_default_factory=True), fill=True, metadata=(default,))
    if default is not dataclasses.MISSING:
        return FieldDefault(value=default)
    for each in getattr(annotation, "__metadata__", ()):
        if callable(getattr(each, "is_required", None)) and not each.is_required():
            return FieldDefault(value=each.get_default(call_default_factory=True), fill=True)
    return FieldDefault(missing=True)


def _spread(metadata: Iterable[Any]) -> Iterator[Any]:
    """pydantic's Field and annotated-types' groups (Interval, Len) hold more metadata."""
    for each in metadata:
        yield each
        if isinstance(inner := getattr(each, "metadata", None), list | tuple):
            yield from _spread(inner)


def _limited(schema: dict[str, Any], each: Any) -> dict[str, Any]:
    if isinstance(each, str):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [_limited(dict(option), each) for option in schema["anyOf"]]}
    types = schema.get("type", ())
    names = [types] if isinstance(types, str) else list(types)
    keywords: dict[str, str] = dict(_OF_NUMBERS) if {"integer", "number"} & set(names) else {}
    for name in names:
        keywords |= _OF_SIZES.get(name, {})
    for attribute, keyword in keywords.items():
        value = getattr(each, attribute, None)
        value = getattr(value, "pattern", value)  # a compiled regular expression
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            schema = {**schema, keyword: value}
    return schema
