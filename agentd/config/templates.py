"""Jinja2 templates, parsed and never run: syntax, and the variables that they need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from jinja2 import TemplateAssertionError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

_environment = ImmutableSandboxedEnvironment(autoescape=False)
_GUARDS = frozenset({"defined", "undefined"})


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """`line` counts from 1 in the template."""

    line: int
    code: str
    message: str
    hint: str = ""


def faults(template: str, variables: Collection[str]) -> list[TemplateFault]:
    """What is wrong with a template over these variables."""
    if "{" not in template:
        return []
    try:
        tree = _environment.parse(template)
        _environment.compile(template)  # unknown filters and tests are found only here; nothing is run
    except (TemplateSyntaxError, TemplateAssertionError) as error:
        hint = "" if "{%" in template or "{{" in template else "write {{ '{' }} for a brace"
        return [TemplateFault(error.lineno, "template-syntax", f"the template cannot be read: {error.message}", hint)]
    except RecursionError:
        return [TemplateFault(1, "template-syntax", "the template is nested too deeply")]
    return [
        TemplateFault(_line_of(tree, name), "undefined-variable", f'the template uses "{name}", which is not defined',
                      _hint(name, variables))
        for name in sorted(meta.find_undeclared_variables(tree) - set(variables) - _guarded(tree))
    ]  # fmt: skip


def names_in(template: str) -> set[str] | None:
    """The variables that it uses; None for one that cannot be read."""
    try:
        return set(meta.find_undeclared_variables(_environment.parse(template)))
    except (TemplateSyntaxError, RecursionError):
        return None


def _guarded(tree: nodes.Template) -> set[str]:
    """Names that the template itself asks about (`is defined`) or gives a default for."""
    tests = [test.node for test in tree.find_all(nodes.Test) if test.name in _GUARDS]
    filters = [f.node for f in tree.find_all(nodes.Filter) if f.name in ("default", "d")]
    return {node.name for node in (*tests, *filters) if isinstance(node, nodes.Name)}


def _line_of(tree: nodes.Template, name: str) -> int:
    return min((n.lineno for n in tree.find_all(nodes.Name) if n.name == name and n.ctx == "load"), default=1)


def _hint(name: str, variables: Collection[str]) -> str:
    near = get_close_matches(name, sorted(variables), 1)
    return f'did you mean "{near[0]}"?' if near else "give it a value under variables"
