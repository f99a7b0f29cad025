"""A Python function as a hook: what it is called with, and what its answer means."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agentd.tools.context import RunContext
from agentd.tools.event import Event, TurnChange
from agentd.tools.job_context import JobContext
from agentd.tools.signature import SignatureRefused

_CHANGES = {field.name: field.type for field in dataclasses.fields(TurnChange)}
_HOOK_GETS = "a hook gets a RunContext or a JobContext, and an Event, and nothing else"
_CALLBACK_GETS = "a shutdown callback gets a `reason` and a JobContext, and nothing else"
_BY_NAME = {"ctx": "context", "context": "context", "event": "event"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFunction:
    """`context`, `job`, `event`, `reason`: the names of the parameters that take them; "" where there is none."""

    function: Callable[..., Any]
    context: str = ""
    job: str = ""
    event: str = ""
    reason: str = ""

    def bind(self, event: Event, context: RunContext) -> dict[str, Any]:
        given = {self.context: context, self.job: context, self.event: event, self.reason: event.data.get("reason")}
        return {name: value for name, value in given.items() if name}


def describe_hook(function: Callable[..., Any], *, is_callback: bool = False) -> HookFunction:
    """`is_callback`: it is called when the call is over, and may take the reason. Raises SignatureRefused."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SignatureRefused("it is a generator; a hook returns")
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError) as error:
        raise SignatureRefused(f"its type hints cannot be resolved: {error}") from error
    found: dict[str, str] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        role = _role(name, hints.get(name)) or ("reason" if is_callback and name == "reason" else "")
        if role and role not in found and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            found[role] = name
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise SignatureRefused(f"parameter {name}: {_CALLBACK_GETS if is_callback else _HOOK_GETS}")
    return HookFunction(function=function, **found)


def event_of(data: Mapping[str, Any]) -> Event:
    """The event of a request, with data that cannot be changed by mistake."""
    return Event(**{**data, "data": MappingProxyType(data["data"])})


def change_of(result: Any) -> dict[str, Any] | None:
    """What a before_reply hook returned. Raises TypeError, ValueError."""
    if result is None:
        return None
    if isinstance(result, str):
        return {"text": result}
    change = dataclasses.asdict(result) if isinstance(result, TurnChange) else result
    if not isinstance(change, dict):
        raise TypeError(f"a before_reply hook returns a text, a TurnChange or None, not {type(result).__name__}")
    if unknown := sorted(map(str, change.keys() - _CHANGES.keys())):
        raise ValueError(f"a TurnChange has no {', '.join(unknown)}; it has {', '.join(_CHANGES)}")
    return change


def _role(name: str, hint: Any) -> str:
    if hint is RunContext:
        return "context"
    if hint is JobContext:
        return "job"
    if hint is Event:
        return "event"
    return _BY_NAME.get(name, "") if hint is None else ""
