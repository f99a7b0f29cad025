"""Texts of an agent file over variables, filled in where nothing they say can do harm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_templates = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


def filled(template: str, variables: Mapping[str, Any]) -> str:
    """Raises TemplateError when a variable is missing, or the template cannot be filled in."""
    return _templates.from_string(template).render(variables)


def rendered(template: str, variables: Mapping[str, Any]) -> str:
    """The same; as it stands where it cannot be filled in."""
    try:
        return filled(template, variables)
    except TemplateError:
        return template
