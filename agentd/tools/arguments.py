"""The JSON text that the model wrote -> arguments that fit the tool's schema, or words on what to mend."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentd.errors import ToolArgumentsInvalid, ToolError

ARGUMENTS_CHARACTERS = 256 * 1024
_ERRORS_SHOWN = 5
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_MISSING = object()


class ArgumentsSchema:
    """A tool's parameters, checked once. Nothing outside of the schema is ever fetched."""

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        """Raises ToolError for what is no JSON Schema of an object."""
        self._tool = tool
        self._schema = schema
        if schema.get("type", "object") != "object":
            raise ToolError(f'{tool}: parameters must be a JSON Schema with "type": "object"')
        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(dict(schema))
        except SchemaError as error:
            raise ToolError(f"{tool}: parameters{error.json_path[1:]} is no JSON Schema: {error.message}") from error
        if outside := _outside_reference(schema):
            raise ToolError(
                f"{tool}: parameters refer to {outside}; only references inside the schema (#/...) are allowed"
            )
        self._validator: Validator = kind(dict(schema), registry=Registry(), format_checker=kind.FORMAT_CHECKER)

    def parse(self, text: str) -> dict[str, Any]:
        """Arguments that fit, made to fit where nothing is lost ("2" for 2). Raises ToolArgumentsInvalid."""
        value = _fitted(_loads(self._tool, text), self._schema, self._schema.get("$defs", {}))
        try:
            errors = sorted(self._validator.iter_errors(value), key=lambda error: error.json_path)
        except Unresolvable as error:
            raise ToolArgumentsInvalid(f"The parameters of {self._tool} are broken: {error}") from error
        if errors:
            shown = "; ".join(dict.fromkeys(_explained(error) for error in errors[:_ERRORS_SHOWN]))
            raise ToolArgumentsInvalid(f"Wrong arguments for {self._tool}: {shown}. Mend them and call it again.")
        assert isinstance(value, dict)
        return value


def _loads(tool: str, text: str) -> dict[str, Any]:
    if len(text) > ARGUMENTS_CHARACTERS:
        raise ToolArgumentsInvalid(f"The arguments of {tool} are too long.")
    try:
        value = json.loads(text, parse_constant=_no_constant) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ToolArgumentsInvalid(
            f"The arguments of {tool} are no valid JSON ({error}). Call it again with one JSON object."
        ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolArgumentsInvalid(f"The arguments of {tool} must be one JSON object, not {_shown(value)}.")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _fitted(value: Any, schema: Any, definitions: Mapping[str, Any]) -> Any:
    """`value`, with texts made numbers, numbers texts and so on where the schema wants it and nothing is lost."""
    schema = _resolved(schema, definitions)
    if not isinstance(schema, Mapping):
        return value
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        resolved = _resolved(option, definitions)
        if isinstance(resolved, Mapping) and _is_one_of(value, _types(resolved)):
            return _inside(value, resolved, definitions)
    types = _types(schema) or _types_of_options(schema)
    if types and not _is_one_of(value, types):
        value = next((made for name in types if (made := _made(value, name)) is not _MISSING), value)
    return _inside(value, schema, definitions)


def _inside(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        return [
            _fitted(each, first[at] if at < len(first) else schema.get("items"), definitions)
            for at, each in enumerate(value)
        ]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        required = schema.get("required", ())
        return {
            name: _fitted(each, properties.get(name, extra), definitions)
            for name, each in value.items()
            if each is not None or name in required or not _null_is_absence(properties.get(name), definitions)
        }
    return value


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """What a reference to one of the schema's own definitions leads to."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    return definitions.get(reference.removeprefix("#/$defs/"), schema)


def _null_is_absence(schema: Any, definitions: Mapping[str, Any]) -> bool:
    """Models write null for an argument that they leave out."""
    schema = _resolved(schema, definitions)
    if not isinstance(schema, Mapping):
        return False
    types = _types(schema) or _types_of_options(schema)
    return bool(types) and "null" not in types


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)


def _types_of_options(schema: Mapping[str, Any]) -> list[str]:
    options = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return [name for option in options if isinstance(option, Mapping) for name in _types(option)]


def _is_one_of(value: Any, types: list[str]) -> bool:
    if value is None:
        return "null" in types
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int):
        return "integer" in types or "number" in types
    names = {str: "string", float: "number", list: "array", dict: "object"}
    return names[type(value)] in types


def _made(value: Any, name: str) -> Any:
    """`value` as the JSON type `name` without loss, or _MISSING."""
    if isinstance(value, str):
        return _of_text(value.strip(), name)
    if name == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if name == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    return _MISSING


def _of_text(text: str, name: str) -> Any:
    if name == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if name == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if name in ("number", "array", "object"):
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return _MISSING
        if _is_one_of(value, [name]) and not (isinstance(value, float) and math.isinf(value)):
            return value
    return _MISSING


def _outside_reference(schema: Any) -> str | None:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                return value
            if found := _outside_reference(value):
                return found
    elif isinstance(schema, list | tuple):
        for value in schema:
            if found := _outside_reference(value):
                return found
    return None


def _explained(error: ValidationError) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")
    subject = place or "the arguments"
    wanted: Any = error.validator_value
    instance: Any = error.instance
    got = _shown(instance)
    match error.validator:
        case "required":
            missing = [f"{place}.{name}" if place else name for name in wanted if name not in instance]
            return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        case "additionalProperties":
            known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
            extra = ", ".join(sorted(set(instance) - set(known)))
            return f"{subject}: {extra} is not known (known: {', '.join(known) or 'none'})"
        case "type":
            return f"{subject} must be {wanted if isinstance(wanted, str) else ' or '.join(wanted)}, not {got}"
        case "enum":
            return f"{subject} must be one of {', '.join(map(_shown, wanted))}, not {got}"
        case "format":
            return f"{subject}: {got} is no {wanted}{_EXAMPLES.get(wanted, '')}"
        case _:
            return f"{subject}: {error.message if len(error.message) <= 200 else error.message[:200] + '…'}"


_EXAMPLES = {"date": " (write 2030-01-31)", "time": " (write 14:30:00Z)", "date-time": " (write 2030-01-31T14:30:00Z)"}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:60] + "…"
