"""Expressive markup that the model may write: pauses, emphasis and cues. Pure.

It is for the synthesiser and nobody else: captions and history hold the plain words. A text with markup in it is called
marked; `parse` parts it into its plain words and the tags between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

LONGEST_BREAK_S = 3.0

CUES = frozenset(
    {
        *("laughs", "laughing", "laughter", "chuckles", "giggles", "sighs", "sigh", "gasps", "whispers", "whispering"),
        *("clears throat", "coughs", "sniffs", "yawns", "groans", "hums", "exhales", "inhales", "breathes"),
        *("excited", "happy", "cheerful", "sad", "angry", "calm", "curious", "sarcastic", "surprised", "serious"),
    }
)
"""In brackets they are no words. Anything else in brackets is text."""

TAG = re.compile(
    r"""<break(?:\s+time\s*=\s*["']?(?P<time>[0-9.]{1,8})(?P<unit>ms|s)["']?)?\s*/?>"""
    r"|<(?P<close>/?)emphasis(?:\s[^<>]{0,40})?>"
    r"|\[(?P<cue>" + "|".join(sorted(CUES, key=len, reverse=True)) + r")\]",
    re.IGNORECASE,
)
_DEFAULT_BREAK_S = 0.3


@dataclass(frozen=True, slots=True)
class Tag:
    """`at`: offset in the plain words."""

    at: int
    kind: Literal["break", "emphasis", "emphasis_end", "cue"]
    pause_s: float = 0.0
    cue: str = ""


def plain(marked: str) -> str:
    """The words without the markup."""
    return parse(marked)[0]


def parse(marked: str) -> tuple[str, tuple[Tag, ...]]:
    """The plain words, and the tags between them."""
    if "<" not in marked and "[" not in marked:
        return marked, ()
    words, tags, end = "", [], 0
    for match in TAG.finditer(marked):
        words = _joined(words, marked[end : match.start()])
        tags.append(_tag(match, len(words)))
        end = match.end()
    if not tags:
        return marked, ()
    words = _joined(words, marked[end:]).rstrip()
    return words, _balanced([Tag(min(t.at, len(words)), t.kind, t.pause_s, t.cue) for t in tags])


def _joined(words: str, more: str) -> str:
    """Without the second of two spaces, and without a space before a mark, that a tag between them leaves."""
    if not words or words[-1].isspace():
        more = more.lstrip()
    if more[:1] in set(",.!?;:") and words.endswith(" "):
        words = words.rstrip()
    return words + more


def _tag(match: re.Match[str], at: int) -> Tag:
    if match["cue"]:
        return Tag(at, "cue", cue=match["cue"].lower())
    if match["close"] is not None:
        return Tag(at, "emphasis_end" if match["close"] else "emphasis")
    return Tag(at, "break", pause_s=_seconds(match["time"], match["unit"]))


def _seconds(number: str | None, unit: str | None) -> float:
    try:
        seconds = float(number or _DEFAULT_BREAK_S) / (1000 if number and (unit or "").lower() == "ms" else 1)
    except ValueError:
        return _DEFAULT_BREAK_S
    return round(min(seconds, LONGEST_BREAK_S), 3)


def _balanced(tags: list[Tag]) -> tuple[Tag, ...]:
    """Without an emphasis that does not end in the same text, and an end without a beginning."""
    kept: list[Tag] = []
    begun: Tag | None = None
    for tag in tags:
        if tag.kind == "emphasis":
            if begun is not None:
                kept.remove(begun)
            begun = tag
        elif tag.kind == "emphasis_end":
            if begun is None:
                continue
            begun = None
        kept.append(tag)
    if begun is not None:
        kept.remove(begun)
    return tuple(kept)
