"""`${...}` in configuration text: Docker Compose's subset, expanded after YAML was parsed.

    ${V}            the variable; unset is an error (Compose would put nothing there)
    ${V:-default}   the default when V is unset or empty       ${V-default}   only when it is unset
    ${V:?message}   an error when V is unset or empty          ${V?message}   only when it is unset
    $$              a dollar sign

A dollar sign before anything else stays. Defaults and messages may hold references themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.errors import AgentdError

Operator = Literal["", "-", ":-", "?", ":?"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS: tuple[Operator, ...] = ("", ":-", ":?", "-", "?")
_MAX_NESTING = 8


class InterpolationError(AgentdError):
    """The text cannot be expanded: it is malformed."""


class VariableUnset(InterpolationError):
    """A variable without a default is not set; `variable` names it."""

    def __init__(self, variable: str, message: str) -> None:
        self.variable = variable
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${variable operator operand}`."""

    variable: str
    operator: Operator
    operand: str


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`text` with every reference replaced. Raises InterpolationError."""
    return _expand(text, environment, 0)


def parse(text: str) -> tuple[str | Reference, ...]:
    """`text` as literal pieces (with `$$` already one dollar) and references. Raises InterpolationError."""
    pieces: list[str | Reference] = []
    literal, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        literal += text[at:dollar]
        following = text[dollar + 1 : dollar + 2]
        if following == "{":
            if literal:
                pieces.append(literal)
            literal = ""
            reference, at = _reference(text, dollar)
            pieces.append(reference)
        else:
            literal += "$"
            at = dollar + (2 if following == "$" else 1)
    literal += text[at:]
    if literal:
        pieces.append(literal)
    return tuple(pieces)


def sole_variable(text: str) -> str | None:
    """The variable, when `text` is one `${V}` or `${V:?...}` and nothing else."""
    pieces = parse(text)
    if len(pieces) != 1 or not isinstance(pieces[0], Reference):
        return None
    return None if pieces[0].operator in ("-", ":-") else pieces[0].variable


def _expand(text: str, environment: Mapping[str, str], depth: int) -> str:
    if depth > _MAX_NESTING:
        raise InterpolationError(f"references are nested more than {_MAX_NESTING} deep")
    pieces = parse(text)
    return "".join(p if isinstance(p, str) else _resolve(p, environment, depth) for p in pieces)


def _resolve(reference: Reference, environment: Mapping[str, str], depth: int) -> str:
    value = environment.get(reference.variable)
    missing = not value if reference.operator.startswith(":") else value is None
    if not missing:
        return value or ""
    if reference.operator in ("-", ":-"):
        return _expand(reference.operand, environment, depth + 1)
    state = "is not set" if value is None else "is empty"
    message = f"the environment variable {reference.variable} {state}"
    if reference.operand:
        message += f": {_expand(reference.operand, environment, depth + 1)}"
    raise VariableUnset(reference.variable, message)


def _reference(text: str, dollar: int) -> tuple[Reference, int]:
    """The reference that begins at `dollar`, and where the text goes on after it."""
    end = _closing_brace(text, dollar + 2)
    inside = text[dollar + 2 : end]
    name = _NAME.match(inside)
    if name is None:
        raise InterpolationError(f'"${{{inside}}}" names no variable; a dollar sign is written "$$"')
    rest = inside[name.end() :]
    for operator in _OPERATORS:
        if rest == operator == "" or (operator and rest.startswith(operator)):
            return Reference(name.group(), operator, rest[len(operator) :]), end + 1
    raise InterpolationError(
        f'"${{{inside}}}" is not understood; there are ${{V}}, ${{V:-default}}, ${{V-default}} and ${{V:?message}}'
    )


def _closing_brace(text: str, start: int) -> int:
    depth, at = 1, start
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise InterpolationError(f'"{text[start - 2 :][:40]}" has no closing brace; a dollar sign is written "$$"')
