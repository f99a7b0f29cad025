"""A Python function as the model sees it, and the model's arguments as the function wants them.

One walk over the annotations gives both: for each, its JSON Schema and how to make the annotated value of JSON that
fits the schema.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentd.tools.context import RunContext
from agentd.tools.docstrings import parse

_SCALARS: dict[Any, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    str: ({"type": "string"}, str),
    int: ({"type": "integer"}, int),
    float: ({"type": "number"}, float),
    bool: ({"type": "boolean"}, bool),
    type(None): ({"type": "null"}, lambda value: value),
    datetime.datetime: ({"type": "string", "format": "date-time"}, datetime.datetime.fromisoformat),
    datetime.date: ({"type": "string", "format": "date"}, datetime.date.fromisoformat),
    datetime.time: ({"type": "string", "format": "time"}, datetime.time.fromisoformat),
    uuid.UUID: ({"type": "string", "format": "uuid"}, uuid.UUID),
    decimal.Decimal: ({"type": "number"}, lambda value: decimal.Decimal(str(value))),
}
_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


class SignatureRefused(Exception):
    """The function cannot be described to a model; the message says which part, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`strict`: the schema keeps the rules of OpenAI's strict mode: every object closed, every property required."""

    schema: dict[str, Any]
    convert: Callable[[Any], Any]
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFunction:
    """A tool function. `context` is the name of its RunContext parameter, if it has one."""

    function: Callable[..., Any]
    name: str
    description: str
    arguments: Shape
    context: str | None

    def bind(self, arguments: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
        """Keyword arguments of the call. Raises ValueError or TypeError for what cannot be converted."""
        bound: dict[str, Any] = self.arguments.convert(arguments)
        return {**bound, self.context: context} if self.context else bound


def describe(function: Callable[..., Any]) -> ToolFunction:
    """Raises SignatureRefused."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SignatureRefused("it is a generator; a tool returns its result")
    hints = _hints(function)
    docs = parse(function.__doc__)
    fields: list[tuple[str, Any, str, Any]] = []
    context: str | None = None
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name, inspect.Parameter.empty)
        if _is_context(annotation):
            context = name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SignatureRefused(f"parameter {parameter}: a model passes arguments by name; name each one")
        if annotation is parameter.empty:
            raise SignatureRefused(f"parameter {name} has no type hint; write for example {name}: str")
        default = dataclasses.MISSING if parameter.default is parameter.empty else parameter.default
        fields.append((name, annotation, docs.parameters.get(name, ""), default))
    return ToolFunction(
        function=function,
        name=function.__name__,
        description=docs.description,
        arguments=_object(fields, dict, ()),
        context=context,
    )


def shape(annotation: Any, within: tuple[Any, ...] = (), where: str = "") -> Shape:
    """The shape of one annotation. `within`: the classes that it stands in. Raises SignatureRefused."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object:
        return Shape({}, lambda value: value, strict=False)
    if isinstance(annotation, type) and annotation in _SCALARS:
        schema, convert = _SCALARS[annotation]
        return Shape(dict(schema), convert)
    if origin is typing.Annotated:
        return _described(shape(arguments[0], within, where), annotation.__metadata__)
    if origin in (typing.Required, typing.NotRequired, typing.ClassVar, typing.Final):
        return shape(arguments[0], within, where)
    if origin is Literal:
        return _choice(list(arguments), lambda value: value)
    if origin in (typing.Union, types.UnionType):
        return _union([shape(each, within, where) for each in arguments])
    if isinstance(annotation, typing.NewType):
        return shape(annotation.__supertype__, within, where)
    if (origin or annotation) in _SEQUENCES:
        return _sequence(origin or annotation, arguments, within, where)
    if (origin or annotation) in _MAPPINGS:
        return _mapping(arguments, within, where)
    if isinstance(annotation, type):
        return _class(annotation, within, where)
    raise SignatureRefused(f"{where or 'a parameter'}: the type {annotation!r} has no JSON form")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise SignatureRefused(f"its type hints cannot be resolved: {error}") from error


def _is_context(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return any(_is_context(each) for each in typing.get_args(annotation))
    return annotation is RunContext


def _described(inner: Shape, metadata: tuple[Any, ...]) -> Shape:
    """The first text in the metadata is the description; pydantic's Field has it as an attribute."""
    texts = (each if isinstance(each, str) else getattr(each, "description", None) for each in metadata)
    text = next((each for each in texts if isinstance(each, str)), None)
    return dataclasses.replace(inner, schema={**inner.schema, "description": text}) if text else inner


def _choice(values: list[Any], convert: Callable[[Any], Any]) -> Shape:
    kinds = [name for name, python in _JSON_TYPES.items() if any(type(value) in python for value in values)]
    if any(not isinstance(value, str | int | float | bool | None) for value in values):
        raise SignatureRefused(f"the choices {values!r} have no JSON form; use texts or numbers")
    if "integer" in kinds and "number" in kinds and all(isinstance(value, int | str) for value in values):
        kinds.remove("number")
    return Shape({"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}, convert)


def _union(members: list[Shape]) -> Shape:
    def convert(value: Any) -> Any:
        for member in members:
            if _fits(value, member.schema):
                try:
                    return member.convert(value)
                except (TypeError, ValueError, KeyError):
                    continue
        raise ValueError(f"{value!r} fits none of the allowed types")

    schemas = [member.schema for member in members]
    simple = all(set(schema) == {"type"} and isinstance(schema["type"], str) for schema in schemas)
    schema = {"type": [each["type"] for each in schemas]} if simple else {"anyOf": schemas}
    return Shape(schema, convert, strict=all(member.strict for member in members))


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(_fits(value, each) for each in schema["anyOf"])
    names = schema.get("type", list(_JSON_TYPES))
    allowed = tuple(python for name in ([names] if isinstance(names, str) else names) for python in _JSON_TYPES[name])
    return isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)


def _sequence(kind: Any, arguments: tuple[Any, ...], within: tuple[Any, ...], where: str) -> Shape:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        raise SignatureRefused(f"{where or 'a parameter'}: write tuple[X, ...] or a dataclass instead of a fixed tuple")
    item = shape(arguments[0], within, where) if arguments else shape(Any)
    schema: dict[str, Any] = {"type": "array", "items": item.schema}
    if _SEQUENCES[kind] in (set, frozenset):
        schema["uniqueItems"] = True
    strict = item.strict and "uniqueItems" not in schema
    return Shape(schema, lambda value: _SEQUENCES[kind](item.convert(each) for each in value), strict)


def _mapping(arguments: tuple[Any, ...], within: tuple[Any, ...], where: str) -> Shape:
    if arguments and arguments[0] is not str:
        raise SignatureRefused(f"{where or 'a parameter'}: the keys of a JSON object are texts: write dict[str, ...]")
    item = shape(arguments[1], within, where) if arguments else shape(Any)
    schema = {"type": "object", "additionalProperties": item.schema or True}
    return Shape(schema, lambda value: {key: item.convert(each) for key, each in value.items()}, strict=False)


def _class(cls: type[Any], within: tuple[Any, ...], where: str) -> Shape:
    if cls in within:
        raise SignatureRefused(f"{where or 'a parameter'}: {cls.__name__} contains itself, which has no plain schema")
    if issubclass(cls, enum.Enum):
        return _choice([member.value for member in cls], cls)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        docs = parse(cls.__doc__).parameters
        fields = [
            (field.name, hints[field.name], docs.get(field.name, ""), _default(field))
            for field in dataclasses.fields(cls)
            if field.init
        ]
        return _object(fields, lambda values: cls(**values), (*within, cls))
    if typing.is_typeddict(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        required = cls.__required_keys__
        docs = parse(cls.__doc__).parameters
        optional = [
            (name, hint, docs.get(name, ""), dataclasses.MISSING if name in required else None)
            for name, hint in hints.items()
        ]
        return _object(optional, dict, (*within, cls))
    raise SignatureRefused(
        f"{where or 'a parameter'}: {cls.__name__} has no JSON form; use str, int, float, bool, Literal, Enum, "
        "list, dict, a dataclass or a TypedDict"
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def _object(
    fields: list[tuple[str, Any, str, Any]],
    make: Callable[[dict[str, Any]], Any],
    within: tuple[Any, ...],
) -> Shape:
    """`fields`: name, annotation, description, and default or MISSING; a default is shown where it says something."""
    shapes: dict[str, Shape] = {}
    properties: dict[str, Any] = {}
    for name, annotation, text, default in fields:
        shapes[name] = inner = shape(annotation, within, name)
        properties[name] = {**inner.schema, **({"description": text} if text else {})}
        plain = default.value if isinstance(default, enum.Enum) else default
        if isinstance(plain, str | int | float | bool):
            properties[name]["default"] = plain
    required = [name for name, _, _, default in fields if default is dataclasses.MISSING]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Shape(
        schema,
        lambda value: make({name: shapes[name].convert(each) for name, each in value.items()}),
        strict=len(required) == len(fields) and all(inner.strict for inner in shapes.values()),
    )
