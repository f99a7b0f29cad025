"""A type hint as the model sees it, and JSON that fits it as the hint wants it. One walk over the hint gives both."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentd.tools import models
from agentd.tools.constraints import FieldDefault, constrained, field_default
from agentd.tools.docstrings import parse
from agentd.tools.durations import duration_of


class SignatureRefused(Exception):
    """The function cannot be described to a model; the message says which part, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Shape:
    schema: dict[str, Any]
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A parameter or a field. `default`: MISSING where there is none."""

    name: str
    annotation: Any
    text: str = ""
    default: Any = dataclasses.MISSING


def _same(value: Any) -> Any:
    return value


def _decimal(value: Any) -> decimal.Decimal:
    return decimal.Decimal(str(value))


_SCALARS: dict[Any, Shape] = {
    str: Shape({"type": "string"}, str),
    int: Shape({"type": "integer"}, int),
    float: Shape({"type": "number"}, float),
    bool: Shape({"type": "boolean"}, bool),
    type(None): Shape({"type": "null"}, _same),
    datetime.datetime: Shape({"type": "string", "format": "date-time"}, datetime.datetime.fromisoformat),
    datetime.date: Shape({"type": "string", "format": "date"}, datetime.date.fromisoformat),
    datetime.time: Shape({"type": "string", "format": "time"}, datetime.time.fromisoformat),
    datetime.timedelta: Shape({"type": "string", "format": "duration"}, duration_of),
    uuid.UUID: Shape({"type": "string", "format": "uuid"}, uuid.UUID),
    decimal.Decimal: Shape({"type": "number"}, _decimal),
}
_SEQUENCES: dict[Any, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_WRAPPERS = (typing.Required, typing.NotRequired, typing.ClassVar, typing.Final)
_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def shape(annotation: Any) -> Shape:
    """The shape of one hint. Raises SignatureRefused."""
    walk = Walk()
    return walk.whole(walk.shape(annotation, "a parameter"))


def object_shape(members: list[Member]) -> Shape:
    """Of an object with these members; converted it is a dict. Raises SignatureRefused."""
    walk = Walk()
    return walk.whole(walk.object(members, dict))


class Walk:
    """`definitions`: the schemas of classes that contain themselves, by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self._within: list[type[Any]] = []
        self._recursive: dict[type[Any], str] = {}
        self._made: dict[type[Any], Shape] = {}

    def whole(self, root: Shape) -> Shape:
        """`root` with the definitions that it refers to."""
        if not self.definitions:
            return root
        return dataclasses.replace(root, schema={**root.schema, "$defs": self.definitions})

    def shape(self, annotation: Any, where: str) -> Shape:
        """`where`: the name of the parameter or field. Raises SignatureRefused."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is Any or annotation is object:
            return Shape({}, _same)
        if isinstance(annotation, type) and annotation in _SCALARS:
            return _SCALARS[annotation]
        if origin is typing.Annotated:
            inner = self.shape(arguments[0], where)
            return dataclasses.replace(inner, schema=constrained(inner.schema, annotation.__metadata__))
        if origin in _WRAPPERS:
            return self.shape(arguments[0], where)
        if origin is Literal:
            return _choice(list(arguments), _same)
        if origin in (typing.Union, types.UnionType):
            return _union([self.shape(each, where) for each in arguments], self.definitions)
        if isinstance(annotation, typing.NewType):
            return self.shape(annotation.__supertype__, where)
        if type(annotation).__name__ == "TypeAliasType":  # Python 3.12's `type Name = ...`
            return self.shape(annotation.__value__, where)
        if (origin or annotation) in _SEQUENCES:
            return self._sequence(origin or annotation, arguments, where)
        if (origin or annotation) in _MAPPINGS:
            return self._mapping(arguments, where)
        if isinstance(annotation, type):
            return self._class(annotation, where)
        raise SignatureRefused(f"{where}: the type {annotation!r} has no JSON form")

    def object(self, members: list[Member], make: Callable[[dict[str, Any]], Any]) -> Shape:
        """A default is shown where it says something; null is taken for it where null is not a value."""
        shapes: dict[str, Shape] = {}
        properties: dict[str, Any] = {}
        defaults: dict[str, FieldDefault] = {}
        required: list[str] = []
        for each in members:
            inner = self.shape(each.annotation, each.name)
            given = field_default(each.annotation, each.default)
            schema = constrained(inner.schema, given.metadata)
            shapes[each.name] = inner
            properties[each.name] = {**schema, **({"description": each.text} if each.text else {})}
            if given.missing:
                required.append(each.name)
                continue
            defaults[each.name] = given
            plain = given.value.value if isinstance(given.value, enum.Enum) else given.value
            if isinstance(plain, str | int | float | bool):
                properties[each.name]["default"] = plain

        def convert(value: Mapping[str, Any]) -> Any:
            named = {
                name: shapes[name].convert(each)
                for name, each in value.items()
                if each is not None or name not in defaults or fits(None, properties[name], self.definitions)
            }
            return make({**{name: d.value for name, d in defaults.items() if d.fill and name not in named}, **named})

        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return Shape(schema, convert)

    def _sequence(self, kind: Any, arguments: tuple[Any, ...], where: str) -> Shape:
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return self._fixed(arguments, where)
        item = self.shape(arguments[0], where) if arguments else Shape({}, _same)
        schema: dict[str, Any] = {"type": "array", "items": item.schema}
        make = _SEQUENCES[kind]
        if make in (set, frozenset):
            schema["uniqueItems"] = True
        return Shape(schema, lambda value: make(item.convert(each) for each in value))

    def _fixed(self, arguments: tuple[Any, ...], where: str) -> Shape:
        items = [self.shape(each, where) for each in arguments]
        size = {"minItems": len(items), "maxItems": len(items)}
        schema: dict[str, Any] = {"type": "array", "prefixItems": [each.schema for each in items], **size}
        if all(each.schema == items[0].schema for each in items):
            schema = {"type": "array", "items": items[0].schema, **size}
        return Shape(schema, lambda value: tuple(i.convert(each) for i, each in zip(items, value, strict=True)))

    def _mapping(self, arguments: tuple[Any, ...], where: str) -> Shape:
        if arguments and arguments[0] is not str:
            raise SignatureRefused(f"{where}: the keys of a JSON object are texts: write dict[str, ...]")
        item = self.shape(arguments[1], where) if arguments else Shape({}, _same)
        schema = {"type": "object", "additionalProperties": item.schema or True}
        return Shape(schema, lambda value: {key: item.convert(each) for key, each in value.items()})

    def _class(self, cls: type[Any], where: str) -> Shape:
        if cls in self._within:
            name = self._recursive.setdefault(cls, self._name(cls.__name__))
            return Shape({"$ref": f"#/$defs/{name}"}, lambda value: self._made[cls].convert(value))
        self._within.append(cls)
        try:
            made = self._made[cls] = self._new_class(cls, where)
        finally:
            self._within.pop()
        if cls not in self._recursive:
            return made
        name = self._recursive[cls]
        self.definitions[name] = made.schema
        return Shape({"$ref": f"#/$defs/{name}"}, made.convert)

    def _new_class(self, cls: type[Any], where: str) -> Shape:
        if issubclass(cls, enum.Enum):
            return _choice([member.value for member in cls], cls)
        if models.is_model(cls):
            return Shape(models.schema_of(cls, self.definitions, self._name), functools.partial(models.made, cls))
        if dataclasses.is_dataclass(cls):
            return self.object(_dataclass_members(cls), lambda values: cls(**values))
        if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):  # typing_extensions' TypedDict, too
            return self.object(_typed_dict_members(cls), dict)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self.object(_named_tuple_members(cls), lambda values: cls(**values))
        raise SignatureRefused(
            f"{where}: {cls.__name__} has no JSON form; use str, int, float, bool, Literal, Enum, "
            "list, dict, a dataclass, a TypedDict or a pydantic model"
        )

    def _name(self, wanted: str) -> str:
        """A free name of a definition."""
        taken = {*self.definitions, *self._recursive.values()}
        return next(name for n in range(len(taken) + 1) if (name := f"{wanted}{n + 1 if n else ''}") not in taken)


def fits(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    """Whether the value is of the schema's type, or one of its choices; its inside is not looked at."""
    if reference := schema.get("$ref"):
        return fits(value, definitions[reference.rpartition("/")[2]], definitions)
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, each, definitions) for each in schema["anyOf"])
    names = schema.get("type", list(_JSON_TYPES))
    allowed = tuple(python for name in ([names] if isinstance(names, str) else names) for python in _JSON_TYPES[name])
    return isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)


def _choice(values: list[Any], convert: Callable[[Any], Any]) -> Shape:
    values = [each.value if isinstance(each, enum.Enum) else each for each in values]
    kinds = [name for name, python in _JSON_TYPES.items() if any(type(value) in python for value in values)]
    if any(not isinstance(value, str | int | float | bool | None) for value in values):
        raise SignatureRefused(f"the choices {values!r} have no JSON form; use texts or numbers")
    if "integer" in kinds and "number" in kinds and all(isinstance(value, int | str | None) for value in values):
        kinds.remove("number")
    return Shape({"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}, convert)


def _union(members: list[Shape], definitions: Mapping[str, Any]) -> Shape:
    def convert(value: Any) -> Any:
        for member in members:
            if fits(value, member.schema, definitions):
                try:
                    return member.convert(value)
                except (TypeError, ValueError, KeyError):
                    continue
        raise ValueError(f"{value!r} fits none of the allowed types")

    schemas = [member.schema for member in members]
    simple = all(set(schema) == {"type"} and isinstance(schema["type"], str) for schema in schemas)
    names = [each["type"] for each in schemas] if simple else []
    if len(set(names)) == 1:
        return Shape({"type": names[0]}, convert)
    return Shape({"type": list(dict.fromkeys(names))} if simple else {"anyOf": schemas}, convert)


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise SignatureRefused(f"the type hints of {cls.__name__} cannot be resolved: {error}") from error


def _dataclass_members(cls: type[Any]) -> list[Member]:
    hints, docs = _hints(cls), parse(cls.__doc__).parameters
    return [
        Member(name=field.name, annotation=hints[field.name], text=docs.get(field.name, ""), default=_default_of(field))
        for field in dataclasses.fields(cls)
        if field.init
    ]


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING


def _typed_dict_members(cls: Any) -> list[Member]:
    docs, required = parse(cls.__doc__).parameters, cls.__required_keys__
    return [
        Member(
            name=name,
            annotation=hint,
            text=docs.get(name, ""),
            default=dataclasses.MISSING if name in required else None,
        )
        for name, hint in _hints(cls).items()
    ]


def _named_tuple_members(cls: Any) -> list[Member]:
    hints, docs = _hints(cls), parse(cls.__doc__).parameters
    return [
        Member(
            name=name,
            annotation=hints.get(name, Any),
            text=docs.get(name, "") if not cls.__doc__.startswith(f"{cls.__name__}(") else "",
            default=cls._field_defaults.get(name, dataclasses.MISSING),
        )
        for name in cls._fields
    ]
