"""References of agent files -> the users' functions and methods, imported and described. Runs in the tool process.

`module:function` is a function at the top of a module; `module:object` all public methods of an object there, and
`module:object.method` one of them. Nothing else is looked up, and all must be defined under `tools_allow`.
"""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from types import FunctionType, MethodType, ModuleType
from typing import Any

from agentd.tools.signature import SignatureRefused, ToolFunction, describe

Allowed = Callable[[str], bool]
"""Whether code of this module may be a tool."""


def allowed_by(patterns: Sequence[str]) -> Allowed:
    return lambda module: any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns)


def function_at(ref: str, allowed: Allowed) -> Callable[..., Any]:
    """The function or bound method. Raises SignatureRefused, and what the module raises when it is imported."""
    found = _at(ref, allowed)
    if not isinstance(found, FunctionType | MethodType):
        raise SignatureRefused("it is an object with methods; name one of them: module:object.method")
    return found


def tools_at(ref: str, allowed: Allowed) -> list[tuple[str, ToolFunction]]:
    """What the model may call there, each with its own reference. Raises as `function_at` does."""
    found = _at(ref, allowed)
    if isinstance(found, FunctionType | MethodType):
        return [(ref, describe(found))]
    names = list(_methods(found, allowed))
    if not names:
        raise SignatureRefused(f"a {type(found).__name__} has no public method that could be a tool")
    return [(f"{ref}.{name}", _described(name, getattr(found, name))) for name in names]


def reference_to(tool: Any, allowed: Allowed) -> str:
    """By which reference a function, a method or an object is found again. Raises SignatureRefused."""
    if isinstance(tool, MethodType):
        return f"{_place(tool.__self__, allowed)}.{tool.__name__}"
    return _place(tool, allowed)


def _described(name: str, method: Callable[..., Any]) -> ToolFunction:
    try:
        return describe(method)
    except SignatureRefused as refusal:
        raise SignatureRefused(f"{name}: {refusal}") from refusal


def _at(ref: str, allowed: Allowed) -> Any:
    module_name, _, path = ref.partition(":")
    name, _, method = path.partition(".")
    module = importlib.import_module(module_name)
    found = module.__dict__.get(name)
    if found is None:
        raise SignatureRefused(f"there is no {name} in {module_name} ({_instead(name, module)})")
    if isinstance(found, FunctionType):
        if method:
            raise SignatureRefused(f"{name} is a function: write {module_name}:{name}")
        _check(found.__module__, allowed)
        return found
    if isinstance(found, type):
        raise SignatureRefused(
            f"it is a class: make an object in the module, and name that ({name.lower()} = {name}())"
        )
    if isinstance(found, ModuleType) or type(found).__module__ == "builtins":
        raise SignatureRefused("it is no Python function, nor an object with methods")
    _check(type(found).__module__, allowed)
    if not method:
        return found
    methods = list(_methods(found, allowed))
    if method not in methods:
        near = get_close_matches(method, methods, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(methods) or 'none'}"
        raise SignatureRefused(f"{name} has no public method {method} ({hint})")
    return getattr(found, method)


def _check(module: str, allowed: Allowed) -> None:
    if not allowed(module):
        raise SignatureRefused(f"it is defined in {module}, which tools_allow does not permit")


def _methods(found: Any, allowed: Allowed) -> Iterator[str]:
    """Public methods, in the order of the classes' text; what an ancestor outside of `tools_allow` defines is none."""
    seen: set[str] = set()
    for cls in reversed(type(found).__mro__):
        for name, value in vars(cls).items():
            if not name.startswith("_") and isinstance(value, FunctionType) and name not in seen:
                seen.add(name)
                final = inspect.getattr_static(type(found), name)
                if isinstance(final, FunctionType) and allowed(final.__module__):
                    yield name


def _place(value: Any, allowed: Allowed) -> str:
    own = getattr(value, "__module__", "") if isinstance(value, FunctionType) else type(value).__module__
    modules = [own, *sorted(name for name in sys.modules if allowed(name) and name != own)]
    for module_name in modules:
        module = sys.modules.get(module_name)
        for name, each in vars(module).items() if module else ():
            if each is value:
                return f"{module_name}:{name}"
    raise SignatureRefused(f"{value!r} does not stand at the top of a module: it could not be found again")


def _instead(name: str, module: ModuleType) -> str:
    public = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
    own = [key for key in public if vars(module)[key].__module__ == module.__name__]
    if near := get_close_matches(name, own, 1):
        return f"did you mean {near[0]}?"
    return f"it has: {', '.join(own[:10]) or 'no function'}"
