"""A tool's schema under the rules of OpenAI's strict mode, under which a model cannot write what does not fit.

The rules: every object is closed and lists all its properties as required, so what may be left out may be null instead;
`default`, `oneOf`, `uniqueItems` and limits of length are not known. What is lost by that is checked when the model
has written its arguments, with the tool's own schema; defaults are told in the description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 10
MAX_PROPERTIES = 5000
MAX_CHOICES = 1000
"""Of OpenAI's structured outputs: levels of nesting, properties and choices in all."""

_SAME: tuple[str, ...] = ("type", "enum", "const", "description", "pattern", "format", "multipleOf")
_SAME += ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_FREE = ("not", "if", "oneOf", "allOf", "patternProperties", "dependentRequired", "dependentSchemas")


class _Inexpressible(Exception):
    """Strict mode has no words for this."""


def strict_form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where it cannot be expressed: objects with free keys, values of any type."""
    try:
        return _Form().of(schema, 0)
    except _Inexpressible:
        return None


class _Form:
    def __init__(self) -> None:
        self._properties = 0
        self._choices = 0

    def of(self, schema: Any, depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH or any(word in schema for word in _FREE):
            raise _Inexpressible
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}  # which must stand alone
        if "type" not in schema and "anyOf" not in schema:
            raise _Inexpressible
        made = {name: schema[name] for name in _SAME if name in schema}
        if made.get("format", "date") not in _FORMATS:
            del made["format"]
        self._choices += len(schema.get("enum", ()))
        if "anyOf" in schema:
            made["anyOf"] = [self.of(each, depth) for each in schema["anyOf"]]
        if "object" in _types(schema):
            made |= self._object(schema, depth)
        if "array" in _types(schema):
            made["items"] = self._items(schema, depth)
        if "$defs" in schema:
            made["$defs"] = {name: self.of(each, depth) for name, each in schema["$defs"].items()}
        if self._properties > MAX_PROPERTIES or self._choices > MAX_CHOICES:
            raise _Inexpressible
        return made

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if schema.get("additionalProperties") is not False:
            raise _Inexpressible
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        self._properties += len(properties)
        made = {
            name: self.of(each, depth + 1) if name in required else self._optional(each, depth + 1)
            for name, each in properties.items()
        }
        return {"properties": made, "required": list(properties), "additionalProperties": False}

    def _items(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if "prefixItems" not in schema:
            return self.of(schema.get("items"), depth + 1)
        options = [self.of(each, depth + 1) for each in schema["prefixItems"]]
        return {"anyOf": [each for at, each in enumerate(options) if each not in options[:at]]}

    def _optional(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        made = _nullable(self.of(schema, depth))
        if "default" not in schema:
            return made
        said = f"If null: {json.dumps(schema['default'], ensure_ascii=False)}."
        return {**made, "description": f"{made['description']} {said}" if made.get("description") else said}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    types = _types(schema)
    if "null" in types or any("null" in _types(each) for each in schema.get("anyOf", ())):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if not types or "const" in schema:
        words = {"description": schema["description"]} if "description" in schema else {}
        inner = {name: value for name, value in schema.items() if name != "description"}
        return {"anyOf": [inner, {"type": "null"}], **words}
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*types, "null"], **choices}


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)
