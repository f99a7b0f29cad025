"""The secrets of one Python tool: handed to it for a call, and masked in whatever comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MASK = "***"
SHORTEST = 4  # characters; to mask less would mask words


class Secrets(Mapping[str, str]):
    """By name. It does not show what it holds when it is printed."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def masked(self, text: str) -> str:
        """The text without them, the longest first."""
        for value in sorted(self._values.values(), key=len, reverse=True):
            if len(value) >= SHORTEST:
                text = text.replace(value, MASK)
        return text
