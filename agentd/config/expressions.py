"""Conditions over the variables of a call: Jinja2 expressions in its sandbox. Pure: nothing is changed, and what
cannot be told does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.environment import TemplateExpression
from jinja2.sandbox import ImmutableSandboxedEnvironment

_environment = ImmutableSandboxedEnvironment(autoescape=False)


def expression_fault(text: str) -> str | None:
    """Why it cannot be read; None when it can."""
    try:
        _compiled(text)
    except (TemplateSyntaxError, RecursionError) as error:
        return getattr(error, "message", None) or "it is nested too deeply"
    return None


def is_true(text: str, values: Mapping[str, Any]) -> bool:
    """Whether it holds over these values. One that fails, because a value is not there or is of another type, does not
    hold."""
    try:
        return bool(_compiled(text)(**values))
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError):
        return False


@lru_cache(maxsize=1024)
def _compiled(text: str) -> TemplateExpression:
    return _environment.compile_expression(text, undefined_to_none=False)
