"""When an edit of a field applies: what its `setting()` says, or what the block says in which it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.shapes import Field, ListOf, MapOf, Record, Shape, Union, fields_of
from agentd.providers.fields import ReloadClass
from agentd.registry import Kind

WORDS: Mapping[ReloadClass, str] = {
    "live": "live",
    "next_turn": "next turn",
    "next_session": "next session",
    "restart": "restart",
}


def class_of(field: Field, around: ReloadClass | None) -> ReloadClass:
    """`around`: that of the block. Raises TypeError for a field that has none from anywhere."""
    found = field.setting.reload or around
    if found is None:
        raise TypeError(f'the field "{field.name}" has no reload class: give its setting() one')
    return found


def class_of_kind(kind: Kind) -> ReloadClass:
    """That of an agent's block of this kind, and so of a plugin's settings in it that say nothing else."""
    return next(class_of(field, None) for field in fields_of(AgentDefinition) if field.name == kind)


@lru_cache(maxsize=8)
def classes_around(root: type[Any]) -> Mapping[type[Any], ReloadClass | None]:
    """By dataclass among the settings of `root`: the class of the blocks that it is written in; None where they
    differ."""
    found: dict[type[Any], set[ReloadClass]] = {}
    _walk(root, None, found)
    return {cls: next(iter(classes)) if len(classes) == 1 else None for cls, classes in found.items()}


def _walk(cls: type[Any], around: ReloadClass | None, found: dict[type[Any], set[ReloadClass]]) -> None:
    for field in fields_of(cls):
        own = class_of(field, around)
        for inner in records_of(field.shape):
            if own not in found.setdefault(inner, set()):
                found[inner].add(own)
                _walk(inner, own, found)


def records_of(shape: Shape) -> Iterator[type[Any]]:
    """The dataclasses that a field of this shape may hold."""
    match shape:
        case Record(cls=cls):
            yield cls
        case Union(variants=variants):
            for _, variant in variants:
                yield from records_of(variant)
        case ListOf(item=inner) | MapOf(value=inner):
            yield from records_of(inner)
