"""Text on its way to the model: whole characters, and not too many."""

from __future__ import annotations

RESULT_CHARACTERS = 16 * 1024  # a tool's result as the model reads it


def for_model(text: str, limit: int = RESULT_CHARACTERS) -> str:
    """Without NULs and lone surrogates, and cut with a mark that says so when longer than `limit` characters."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= limit:
        return clean
    return f"{clean[:limit]}… [cut here: {len(clean) - limit} more characters]"


def for_speech(text: str, limit: int = 4096) -> str:
    """One line, at most `limit` characters: more in one breath is a fault of the tool."""
    return " ".join(for_model(text[:limit]).split())
