"""A Python function as the model sees it, and the model's arguments as the function wants them."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentd.tools.context import RunContext
from agentd.tools.docstrings import parse
from agentd.tools.shape import Member, Shape, SignatureRefused, object_shape, shape

__all__ = ["Shape", "SignatureRefused", "ToolFunction", "describe", "shape"]

_CONTEXT_NAMES = ("ctx", "context")


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
    """Of a function or a bound method. Raises SignatureRefused."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SignatureRefused("it is a generator; a tool returns its result")
    hints = _hints(function)
    docs = parse(function.__doc__)
    members: list[Member] = []
    context: str | None = None
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name, inspect.Parameter.empty)
        if _is_context(annotation) or (annotation is parameter.empty and name in _CONTEXT_NAMES):
            context = name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise SignatureRefused(f"parameter {parameter}: a model passes arguments by name; name each one")
        if annotation is parameter.empty:
            raise SignatureRefused(f"parameter {name} has no type hint; write for example {name}: str")
        default = dataclasses.MISSING if parameter.default is parameter.empty else parameter.default
        text = docs.parameters.get(name, "")
        members.append(Member(name=name, annotation=annotation, text=text, default=default))
    return ToolFunction(
        function=function,
        name=function.__name__,
        description=docs.description,
        arguments=object_shape(members),
        context=context,
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise SignatureRefused(f"its type hints cannot be resolved: {error}") from error


def _is_context(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return any(_is_context(each) for each in typing.get_args(annotation))
    return annotation is RunContext
