"""Typed slots: what can begin at a word of a sentence, and what it means.

A parser answers candidates (end, value), the most complete first; the matcher tries them in turn.
Values are plain text or int, and a pure function of the words: "tomorrow" stays "tomorrow", because
replaying the conversation after midnight must give the same dialogue; the tool makes a date of it.
`alone`: the slot is what was asked for, so that a bare "seven" may be a time, and "to" may be a
misheard "two".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from agentd_scripted.numerals import digits, number, text_at
from agentd_scripted.times import date, time
from agentd_scripted.words import Word

Value = str | int
Parser = Callable[[Sequence[Word], int, bool], Iterator[tuple[int, Value]]]

_NAME_LEADS = tuple(
    lead.split()
    for lead in (
        "the name is", "my name is", "name is", "it is", "i am", "this is", "that is", "call me", "under the name of",
        "in the name of", "the name of", "under", "for", "yes it is", "yes", "make it",
    )
)  # fmt: skip
_COMMON_WORDS = """
    a an the i you he she it we they me us my your his her our is am are was were be been do does did not no yes yeah
    yep nope what who why how when where which and or but if so for to too of in on at by with from as that this
    these those there here can could would should will may might must want like need have has had make book get give
    say said tell repeat again sorry pardon excuse help please thanks thank hello hi hey bye goodbye okay ok right
    sure wait hold name table people person today tomorrow tonight time day one two three four five six seven eight
    nine ten know think mean wrong correct fine good speaking"""
_NO_NAME = frozenset(_COMMON_WORDS.split())
_LONGEST_NAME = 4


def name(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[tuple[int, str]]:
    """A person's name of up to four words, also after "my name is", also spelled."""
    for lead in _NAME_LEADS:
        if [word.text for word in sentence[at : at + len(lead)]] == lead:
            yield from _name(sentence, at + len(lead))
    yield from _name(sentence, at)


def text(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[tuple[int, str]]:
    """One or more words of any kind, as many as the template leaves."""
    for end in range(len(sentence), at, -1):
        yield end, " ".join(word.text for word in sentence[at:end])


def _name(sentence: Sequence[Word], at: int) -> Iterator[tuple[int, str]]:
    end = at
    while end < len(sentence) and end - at < 12 and len(sentence[end].text) == 1 and sentence[end].text.isalpha():
        end += 1
    if end - at >= 3:
        yield end, "".join(word.text for word in sentence[at:end]).capitalize()
    for end in range(min(at + _LONGEST_NAME, len(sentence)), at, -1):
        parts = [word.text for word in sentence[at:end]]
        if all(part not in _NO_NAME and part.isalpha() for part in parts):
            yield end, " ".join(part.capitalize() for part in parts)


PARSERS: Mapping[str, Parser] = {
    "number": number, "digits": digits, "date": date, "time": time, "name": name, "text": text,
}  # fmt: skip
OPEN = frozenset({"name", "text"})  # types that nearly any words fit


def find(sentence: Sequence[Word], wanted: Mapping[str, str]) -> tuple[dict[str, Value], list[Word]]:
    """Slots found anywhere, the most telling types first, and the words that are left."""
    values: dict[str, Value] = {}
    rest = list(sentence)
    for kind in ("date", "time", "digits", "number", "name", "text"):
        for slot in (slot for slot, kind_wanted in wanted.items() if kind_wanted == kind):
            hit = _first(rest, kind)
            if hit:
                start, end, values[slot] = hit
                rest = rest[:start] + rest[end:]
    return values, rest


def _first(sentence: Sequence[Word], kind: str) -> tuple[int, int, Value] | None:
    for start in range(len(sentence)):
        for end, value in PARSERS[kind](sentence, start, False):
            if kind != "number" or sentence[start].text not in ("one", "zero") or len(sentence) == 1 or end > start + 1:
                return start, end, value
            if text_at(sentence, end).startswith(("person", "guest")):
                return start, end, value
    return None
