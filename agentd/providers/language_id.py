"""The language of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


def primary(tag: str) -> str:
    """The language of a BCP 47 tag without its region: "de" of "de-AT"."""
    return tag.partition("-")[0].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageIdSettings:
    """Common to every identifier; a plugin's own settings extend it."""


class LanguageIdentifier(Protocol):
    """Shared by all calls of a worker."""

    def identify(self, text: str, languages: Sequence[str]) -> Mapping[str, float]:
        """How likely the text is in each of these BCP 47 tags, 0 to 1: their sum falls short of 1 by the likelihood of
        all other languages. Called between two turns on the worker's loop: under a millisecond, and it never raises
        for what the text holds."""
        ...

    async def aclose(self) -> None: ...
