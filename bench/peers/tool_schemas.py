"""Runs in livekit-agents' environment: the schemas that it and the OpenAI SDK make of the signatures, as JSON.

    .cache/peers/livekit-agents/bin/python bench/peers/tool_schemas.py tests/tools/signatures.py

The OpenAI SDK describes models, not functions: it is given a model that pydantic makes of the parameters.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable
from typing import Any

from livekit.agents import function_tool
from livekit.agents.llm.utils import build_legacy_openai_schema, build_strict_openai_schema
from openai import pydantic_function_tool
from pydantic import create_model


def signatures(path: str) -> dict[str, Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location("signatures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["signatures"] = module
    spec.loader.exec_module(module)
    found: dict[str, Callable[..., Any]] = module.SIGNATURES
    return found


def parameters_model(function: Callable[..., Any]) -> Any:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    return create_model(function.__name__, **fields)


def attempt(make: Callable[[], Any]) -> Any:
    """The schema, or the words with which it is refused."""
    try:
        return make()["function"]["parameters"]
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def main() -> None:
    told = {}
    for name, function in signatures(sys.argv[1]).items():
        tool = attempt_tool(function)
        told[name] = {
            "livekit": attempt(lambda tool=tool: build_strict_openai_schema(tool)),
            "livekit_loose": attempt(lambda tool=tool: build_legacy_openai_schema(tool)),
            "openai": attempt(lambda function=function: pydantic_function_tool(parameters_model(function))),
        }
    json.dump(told, sys.stdout)


def attempt_tool(function: Callable[..., Any]) -> Any:
    try:
        return function_tool(function)
    except Exception as error:
        return error


if __name__ == "__main__":
    main()
