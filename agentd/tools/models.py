"""pydantic's models as types of arguments, known by their methods: pydantic itself is not imported here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_DROPPED = ("title", "discriminator", "$defs")
_LISTS = ("anyOf", "allOf", "prefixItems")


def is_model(cls: type[Any]) -> bool:
    return callable(getattr(cls, "model_json_schema", None)) and callable(getattr(cls, "model_validate", None))


def made(cls: Any, value: Any) -> Any:
    """An instance. Raises ValueError: pydantic's ValidationError is one. As JSON, so that strict models take dates."""
    if callable(read := getattr(cls, "model_validate_json", None)):
        return read(json.dumps(value))
    return cls.model_validate(value)


def schema_of(cls: Any, definitions: dict[str, dict[str, Any]], name: Callable[[str], str]) -> dict[str, Any]:
    """The model's schema, references resolved; what contains itself is put into `definitions`, under a free `name`."""
    whole = cls.model_json_schema()
    own: Mapping[str, Any] = whole.get("$defs", {})
    recursive = {key for key in own if key in set(_reached(own[key], own))}
    names = {key: name(key) for key in own if key in recursive}

    def resolved(schema: Any) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        schema = {key: value for key, value in schema.items() if key not in _DROPPED}
        if "oneOf" in schema:  # of a discriminated union: strict mode knows only anyOf, and the model checks the rest
            schema["anyOf"] = schema.pop("oneOf")
        if len(only := schema.get("allOf", ())) == 1:
            schema = {**only[0], **{key: value for key, value in schema.items() if key != "allOf"}}
        if reference := schema.pop("$ref", None):
            key = reference.rpartition("/")[2]
            if key in names:
                return {"$ref": f"#/$defs/{names[key]}", **schema}
            return resolved({**own[key], **schema})
        if schema.get("default", ...) is None:
            del schema["default"]
        if "const" in schema:
            schema.setdefault("type", _type_of(schema["const"]))
        if "properties" in schema:
            schema["properties"] = {key: resolved(value) for key, value in schema["properties"].items()}
            schema.setdefault("required", [])
            schema.setdefault("additionalProperties", False)
        for key in _LISTS:
            if key in schema:
                schema[key] = [resolved(each) for each in schema[key]]
        for key in ("items", "additionalProperties"):
            if key in schema:
                schema[key] = resolved(schema[key])
        return schema

    for key in names:
        definitions[names[key]] = resolved(own[key])
    root: dict[str, Any] = resolved(whole)
    return root


def _reached(schema: Any, own: Mapping[str, Any]) -> set[str]:
    """The definitions to which the schema leads."""
    found: set[str] = set()
    pending = list(_references(schema))
    while pending:
        key = pending.pop()
        if key not in found:
            found.add(key)
            pending += _references(own.get(key))
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _type_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return names[type(value)]
