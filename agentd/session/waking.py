"""The wake phrase: nothing is a turn until it was heard. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agentd.config.turns import Turn
from agentd.session.words import bare_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """`text`: what of the words belongs to a turn; `rule`: why there is none."""

    text: str
    rule: str = ""
    wakes: bool = False


def listen(text: str, turn: Turn, *, awake: bool) -> Woken:
    """What follows the wake phrase is the turn; who is awake needs none, but may say it."""
    if turn.wake_phrase is None:
        return Woken(text=text)
    rest = _after(text, turn.wake_phrase.phrases)
    if rest is None:
        return Woken(text=text) if awake else Woken(text="", rule="asleep")
    return Woken(text=rest, rule="wake_phrase", wakes=True)


def awake_until(turn: Turn, now: float) -> float | None:
    return None if turn.wake_phrase is None else now + turn.wake_phrase.awake


def _after(text: str, phrases: Iterable[str]) -> str | None:
    """The text behind the first phrase that is in it; None when there is none."""
    for phrase in phrases:
        words = r"[\W_]*".join(re.escape(word) for word in bare_words(phrase))
        found = re.search(rf"(?<!\w){words}(?!\w)[\W_]*", text, re.IGNORECASE) if words else None
        if found:
            return text[found.end() :].strip()
    return None
