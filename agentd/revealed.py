"""The secrets that this process has read, taken out of what others say: a service may repeat in an error what it was
sent, and a tool may raise what it was given. What is written here is not looked for: it never says one.
"""

from __future__ import annotations

import re

MASK = "***"
LEAST = 8
"""Characters; what is shorter may be a word of somebody's."""

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def remember(secret: str) -> str:
    """From now on, in this process. Gives the secret back."""
    global _pattern
    if len(secret) >= LEAST and secret not in _known:
        _known.add(secret)
        longest_first = sorted(_known, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first)))
    return secret


def without_secrets(text: str) -> str:
    """The text, with *** for each of them."""
    return text if _pattern is None else _pattern.sub(MASK, text)
