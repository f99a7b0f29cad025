"""A resolved definition as plain JSON values for people, with every secret masked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.rules import looks_like_secret
from agentd.config.shapes import Field, Leaf, fields_of
from agentd.config.values import format_duration
from agentd.providers.fields import IncludedFile, Secret
from agentd.providers.interpolation import InterpolationError, Reference, parse

MASK = "***"
_SCHEME = re.compile(r"(Bearer|Basic|Token|Bot) ")


def rendered(definition: AgentDefinition) -> dict[str, Any]:
    """The definition as it would be written with nothing left out, and its digest. Holds no secret."""
    return {**_record(definition), "source": definition.source, "digest": definition.digest}


def masked(secret: Secret) -> str:
    """The reference, never what is written out: "${KEY}", "Bearer ${KEY}", or "***"."""
    if secret.source == "env":
        return f"${{{secret.value}}}"
    if secret.source == "file":
        return f"file:{secret.value}"
    if secret.source == "literal":
        return MASK
    try:
        return "".join(_masked_piece(piece) for piece in parse(secret.value))
    except InterpolationError:
        return MASK


def _masked_piece(piece: str | Reference) -> str:
    if isinstance(piece, Reference):
        return f"${{{piece.variable}}}"
    return piece if _SCHEME.fullmatch(piece) else MASK


def shown(value: Any, field: Field | None = None) -> Any:
    """One setting's value, as `rendered` has it."""
    return None if value is None else _field(field, value) if field else _value(value)


def _record(value: Any) -> dict[str, Any]:
    shown = {}
    for field in fields_of(type(value)):
        content = getattr(value, field.name)
        if content is not None and field.name != "extends":
            shown[field.key] = _field(field, content)
    return shown


def _field(field: Field, content: Any) -> Any:
    if field.shape == Leaf("duration"):
        return format_duration(content)
    return _value(content)


def _value(value: Any) -> Any:
    if isinstance(value, Secret):
        return masked(value)
    if isinstance(value, IncludedFile):
        return value.path
    if isinstance(value, ProviderChoice):
        block = {"provider": value.provider, **_record(value.settings)}
        return block | ({"fallback": [_value(choice) for choice in value.fallback]} if value.fallback else {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _record(value)
    if isinstance(value, Mapping):
        return {key: _value(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    if looks_like_secret(text):
        return MASK
    return _without_password(text) if "://" in text and "@" in text else text


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    if not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{MASK}@{parts.netloc.rpartition('@')[2]}"))
