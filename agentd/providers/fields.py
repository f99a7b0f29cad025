"""How a field of a configuration dataclass is declared.

The annotation and `setting(...)` are the one source of a field's parsing, default, lint, JSON
Schema, documentation and reload class; `agentd.config.schema` reads them. A plugin declares its
options with the same words as the core does.

Types that a field may have: str, int, float, bool, Duration, Secret, IncludedFile, Literal[...],
frozen dataclasses, unions of dataclasses told apart by a Literal field, tuple[T, ...],
Mapping[str, T], JsonObject, and `X | None`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NewType

from agentd.errors import AgentdError
from agentd.revealed import remember

Duration = NewType("Duration", float)
"""Seconds. Written `250ms`, `0.5s`, `15m` or `1h`; a bare number is refused, but for 0."""

JsonObject = Mapping[str, Any]
"""Free JSON, kept as it is written."""

ReloadClass = Literal["live", "next_turn", "next_session", "restart"]
"""When an edit of a field applies. live: at once, and to no call in particular (a limit, a label); next_turn: under
`reload: live` at the next turn's boundary of calls under way, else to the next call; next_session: to the next call;
restart: when the daemon, or its workers, are started again."""

METADATA_KEY = "agentd"


class SecretMissing(AgentdError):
    """A secret's environment variable or file is not there."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret, resolved only by `reveal()`, in the worker that needs it.

    `source` "env": `value` names an environment variable (`VALUE_FILE` works too);
    "file": `value` is a path; "literal": `value` is the secret itself, which validation warns of;
    "template": `value` is text with `${...}` references, expanded when revealed.
    """

    source: Literal["env", "file", "literal", "template"]
    value: str

    def reveal(self, environment: Mapping[str, str] | None = None) -> str:
        """The secret's text. Raises SecretMissing."""
        env = os.environ if environment is None else environment
        if self.source == "literal":
            return self.value
        if self.source == "file":
            return remember(_read(Path(self.value)))
        if self.source == "template":
            return _expand(self.value, env)
        if env.get(self.value):
            return remember(env[self.value])
        if path := env.get(f"{self.value}_FILE"):
            return remember(_read(Path(path)))
        raise SecretMissing(f"the environment variable {self.value} is not set")

    def __repr__(self) -> str:
        shown = "***" if self.source == "literal" else self.value
        return f"Secret({self.source}:{shown})"


def _expand(template: str, env: Mapping[str, str]) -> str:
    from agentd.providers.interpolation import InterpolationError, Reference, expand, parse

    files = {
        name.removesuffix("_FILE"): _read(Path(path))
        for name, path in env.items()
        if name.endswith("_FILE") and path and f"${{{name.removesuffix('_FILE')}" in template
    }
    known = {**files, **{name: value for name, value in env.items() if value or name not in files}}
    try:
        for piece in parse(template):
            if isinstance(piece, Reference):
                remember(known.get(piece.variable, ""))
        return expand(template, known)
    except InterpolationError as error:
        raise SecretMissing(str(error)) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretMissing(f"cannot read {path}: {error.strerror}") from error


def env_secret(variable: str) -> Secret:
    """The default of an API key: the provider's own environment variable."""
    return Secret("env", variable)


@dataclass(frozen=True, slots=True)
class IncludedFile:
    """A file beside the agent file, read when the definition was built; `text` is part of the digest."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of a field beyond its type and default."""

    doc: str
    reload: ReloadClass | None = None  # None: that of the block in which the field stands
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None  # of a string or a list
    pattern: str | None = None
    interpolate: bool = True  # whether ${V} in its text is expanded
    examples: tuple[Any, ...] = ()
    planned: bool = False  # read and checked, but without effect in this version: using it is a warning
    key: str | None = None  # the YAML key, where it is no Python name ("while")
    short: str | None = None  # of a block: the key that a word alone stands for


def setting(
    doc: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    **details: Any,
) -> Any:
    """A dataclass field with its `Setting`; without a default the field is required."""
    metadata = {METADATA_KEY: Setting(doc=doc, **details)}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def setting_of(field: dataclasses.Field[Any]) -> Setting:
    """The `Setting` of a field; one that was declared without is a fault in its class."""
    found = field.metadata.get(METADATA_KEY)
    if not isinstance(found, Setting):
        raise TypeError(f"field {field.name} was not declared with setting()")
    return found
