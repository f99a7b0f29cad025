"""A dialogue from a YAML file of its own. (One inside the agent file is read and checked with it.)"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

from agentd_scripted.dialogue import Dialogue

T = TypeVar("T")


class DialogueInvalid(ValueError):
    """`problems`: everything that is wrong with the dialogue."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


def read_dialogue(text: str, file: str) -> Dialogue:
    """Raises DialogueInvalid with every problem."""
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DialogueInvalid([f"{file}: {error}"]) from error
    problems: list[str] = []
    dialogue = _build(Dialogue, tree, file, problems)
    if problems or dialogue is None:
        raise DialogueInvalid(problems)
    return dialogue


def _build(kind: type[T], tree: Any, where: str, problems: list[str]) -> T | None:
    """A settings dataclass from a mapping; None, with problems, when it does not fit."""
    if not isinstance(tree, Mapping):
        problems.append(f"{where}: a mapping is wanted, not {type(tree).__name__}")
        return None
    known = {field.name: field for field in dataclasses.fields(typing.cast("Any", kind))}
    hints, before = typing.get_type_hints(kind), len(problems)
    problems += [f"{where}: unknown key {key!r}; known: {', '.join(known)}" for key in tree if key not in known]
    values = {name: _value(hints[name], tree[name], f"{where}.{name}", problems) for name in known if name in tree}
    for name, field in known.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in tree:
            problems.append(f"{where}: {name} is missing")
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ValueError as error:  # what a __post_init__ found
        problems.append(f"{where}: {error}")
        return None


def _value(hint: Any, tree: Any, where: str, problems: list[str]) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return tree
    if type(None) in inner:
        (only,) = (part for part in inner if part is not type(None))
        return None if tree is None else _value(only, tree, where, problems)
    if origin is tuple:
        if isinstance(tree, list):
            return tuple(_value(inner[0], part, f"{where}.{n}", problems) for n, part in enumerate(tree))
        problems.append(f"{where}: a list is wanted")
    elif origin is not None and _is_mapping(origin):
        if isinstance(tree, Mapping):
            return {str(key): _value(inner[1], part, f"{where}.{key}", problems) for key, part in tree.items()}
        problems.append(f"{where}: a mapping is wanted")
    elif origin is typing.Literal:
        if tree not in inner:
            problems.append(f"{where}: one of {', '.join(map(str, inner))} is wanted, not {tree!r}")
    elif dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), tree, where, problems)
    elif hint is str and isinstance(tree, bool | int | float):
        return str(tree)
    elif not isinstance(tree, float | int if hint is float else hint) or (isinstance(tree, bool) and hint is not bool):
        problems.append(f"{where}: {hint.__name__} is wanted, not {tree!r}")
    return tree


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)
