"""Numbers and rows of digits, spoken or written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentd_scripted.words import Word

_UNITS = {
    name: number
    for number, name in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
    )
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_MISHEARD = {"to": 2, "too": 2, "for": 4, "fore": 4, "ate": 8, "won": 1, "tree": 3}
_ZEROS = {"oh": "0", "o": "0", "nought": "0", "nil": "0", "zero": "0"}
_TIMES = {"double": 2, "triple": 3, "treble": 3}


def number(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[tuple[int, int]]:
    """A count: 2, two, twenty one, a couple of, a hundred and five."""
    text = text_at(sentence, at)
    if text in ("a", "the") and (rest := text_at(sentence, at + 1)) in ("couple", "dozen"):
        end = at + 2 + (text_at(sentence, at + 2) == "of")
        yield end, 2 if rest == "couple" else 12
    cardinal = _cardinal(sentence, at)
    if cardinal:
        yield cardinal
    if alone and text in _MISHEARD:
        yield at + 1, _MISHEARD[text]


def digits(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[tuple[int, str]]:
    """A row of digits, as in a telephone number: oh seven one double two."""
    ends: list[tuple[int, str]] = []
    found, here = "", at
    while here < len(sentence):
        step = _digits_at(sentence, here)
        if step is None:
            break
        here, more = step
        found += more
        ends.append((here, found))
    fewest = 1 if alone else 3
    yield from (end for end in reversed(ends) if len(end[1]) >= fewest)


def text_at(sentence: Sequence[Word], at: int) -> str:
    return sentence[at].text if 0 <= at < len(sentence) else ""


def small(sentence: Sequence[Word], at: int) -> tuple[int, int] | None:
    """A number below 100 at this word: (end, value)."""
    text = text_at(sentence, at)
    if text.isdecimal():
        return at + 1, int(text)
    if text in _UNITS:
        return at + 1, _UNITS[text]
    if text in TENS:
        unit = _UNITS.get(text_at(sentence, at + 1), 0)
        return (at + 2, TENS[text] + unit) if 0 < unit < 10 else (at + 1, TENS[text])
    return None


def _cardinal(sentence: Sequence[Word], at: int) -> tuple[int, int] | None:
    first = (at + 1, 1) if text_at(sentence, at) in ("a", "an") else small(sentence, at)
    if first is None:
        return None
    end, value = first
    scales = {"hundred": 100, "thousand": 1000}
    if text_at(sentence, at) in ("a", "an") and text_at(sentence, end) not in scales:
        return None
    while text_at(sentence, end) in scales:
        value *= scales[text_at(sentence, end)]
        end += 1
        after = end + (text_at(sentence, end) == "and")
        more = small(sentence, after)
        if more:
            end, value = more[0], value + more[1]
    return end, value


def _digits_at(sentence: Sequence[Word], at: int) -> tuple[int, str] | None:
    text = text_at(sentence, at)
    if text in _TIMES:
        more = _digits_at(sentence, at + 1)
        return (more[0], more[1] * _TIMES[text]) if more and len(more[1]) == 1 else None
    if text in _ZEROS:
        return at + 1, _ZEROS[text]
    if text.isdecimal():
        return at + 1, text
    below_hundred = small(sentence, at)
    return (below_hundred[0], str(below_hundred[1])) if below_hundred else None
