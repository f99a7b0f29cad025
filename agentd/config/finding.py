"""What a rule finds wrong about a mapping of an agent file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong about the mapping at its key `key`."""

    key: str
    code: str
    message: str
    hint: str = ""
    warning: bool = False
