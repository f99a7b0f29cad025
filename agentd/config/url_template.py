"""Addresses with places for arguments: https://app.example.com/orders/{order}/items. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

_PLACE = re.compile(r"\{([^{}]*)\}")
_STEPS = ("", ".", "..")
"""What is no part of a path: two of these would lead elsewhere, and the first to another resource."""


def places(url: str) -> tuple[str, ...]:
    """The names in braces, in order, each once."""
    return tuple(dict.fromkeys(_PLACE.findall(url)))


def has_stray_brace(url: str) -> bool:
    return bool({"{", "}"} & set(_PLACE.sub("", url)))


def filled(url: str, values: Mapping[str, str]) -> str:
    """Every place replaced by its value, percent-encoded. Raises ValueError for what is no step of a path."""

    def value(place: re.Match[str]) -> str:
        text = values[place[1]]
        if text in _STEPS:
            raise ValueError(f'{place[1]} may not be "{text}"')
        return quote(text, safe="")

    return _PLACE.sub(value, url)
