"""What a configuration dataclass accepts, read once from its annotations: the source of parsing, schema and docs."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from agentd.config.provider_choice import ProviderChoice
from agentd.providers.fields import METADATA_KEY, Duration, IncludedFile, Secret, Setting
from agentd.registry import Kind


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar, or `object` (free JSON that must be a mapping) or `any` (free JSON)."""

    kind: Literal["text", "integer", "number", "boolean", "duration", "secret", "file", "object", "any"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these words or numbers."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    """Keys of the author's choice, values of one shape."""

    value: Shape


@dataclass(frozen=True, slots=True)
class Record:
    """A dataclass; `fields_of(cls)` are its keys."""

    cls: type[Any]


@dataclass(frozen=True, slots=True)
class Union:
    """Dataclasses told apart by the word under the key `tag`; those that share a word, by a word under another."""

    tag: str
    variants: tuple[tuple[Any, Record | Union], ...]


@dataclass(frozen=True, slots=True)
class ProviderBlock:
    """A block whose `provider` names the plugin's settings class that reads the rest."""

    kind: Kind


Shape = Leaf | Choice | ListOf | MapOf | Record | Union | ProviderBlock


@dataclass(frozen=True, slots=True)
class Field:
    """`name` in Python, `key` in YAML. `nullable`: null stands for None. `default` is MISSING when there is none."""

    name: str
    key: str
    shape: Shape
    nullable: bool
    default: Any
    setting: Setting

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


_LEAVES: dict[Any, Leaf] = {
    str: Leaf("text"),
    int: Leaf("integer"),
    float: Leaf("number"),
    bool: Leaf("boolean"),
    Duration: Leaf("duration"),
    Secret: Leaf("secret"),
    IncludedFile: Leaf("file"),
    Any: Leaf("any"),
}


def fields_of(cls: type[Any]) -> tuple[Field, ...]:
    """The settings of a configuration dataclass, in order; fields without `setting()` are not the author's.

    Raises TypeError for a class that is not one, or has a field of a type that configuration does not know.
    """
    return _fields(typing.cast("Hashable", cls))


@lru_cache(maxsize=1024)
def _fields(cls: Hashable) -> tuple[Field, ...]:
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(f"{cls} is no dataclass")
    hints = typing.get_type_hints(cls)
    found = []
    for field in _own_first(cls):
        declared = field.metadata.get(METADATA_KEY)
        if isinstance(declared, Setting):
            shape, nullable = _shape(hints[field.name], f"{cls.__qualname__}.{field.name}", field.name)
            key = declared.key or field.name
            found.append(Field(field.name, key, shape, nullable, _default(field), declared))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise TypeError(f"{cls.__qualname__}.{field.name} was not declared with setting()")
    return tuple(found)


def _own_first(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    """What a class says itself before what it has from its parents, near and far: the particular stands first."""

    def distance(field: dataclasses.Field[Any]) -> int:
        return next(n for n, each in enumerate(cls.__mro__) if field.name in inspect.get_annotations(each))

    return sorted(dataclasses.fields(cls), key=distance)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _shape(hint: Any, where: str, name: str) -> tuple[Shape, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        nullable = len(members) < len(typing.get_args(hint))
        if len(members) == 1:
            return _single(members[0], where, name), nullable
        return _union(tuple(members), where), nullable
    return _single(hint, where, name), False


def _single(hint: Any, where: str, name: str) -> Shape:
    if hint in _LEAVES:
        return _LEAVES[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return Choice(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return ListOf(_shape(arguments[0], where, name)[0])
    if origin in (Mapping, dict) and arguments[0] is str:
        value = _shape(arguments[1], where, name)[0]
        return Leaf("object") if value == Leaf("any") else MapOf(value)
    if hint is ProviderChoice:
        return ProviderBlock(typing.cast("Kind", name))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return Record(hint)
    raise TypeError(f"{where} has the type {hint}, which configuration does not know")


def _union(members: tuple[type[Any], ...], where: str) -> Union:
    """A common Literal field of one value each tells the members apart, or groups of them."""
    hints = {member: typing.get_type_hints(member) for member in members}
    for name in hints[members[0]]:
        words = {member: typing.get_args(h[name]) for member, h in hints.items() if _is_literal(h.get(name))}
        if len(words) == len(members) and all(len(word) == 1 for word in words.values()):
            groups: dict[Any, list[type[Any]]] = {}
            for member, (word,) in words.items():
                groups.setdefault(word, []).append(member)
            if len(groups) > 1:
                return Union(name, tuple((word, _variant(group, where)) for word, group in groups.items()))
    raise TypeError(f"{where} is a union without a Literal field that tells its members apart")


def _variant(members: list[type[Any]], where: str) -> Record | Union:
    return Record(members[0]) if len(members) == 1 else _union(tuple(members), where)


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal
