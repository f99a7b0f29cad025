"""Times of day: "half past seven", "7:30 pm", "nineteen thirty", "halb acht", "noon"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.numerals import cardinal
from agentd.session.reading.tokens import Token, longest, words

Half = Literal["ask", "morning", "afternoon"]
_Clock = tuple[int, int, int]  # hour, minute, where it ends


def read_time(heard: Heard, half: Half) -> Read:
    """Which half of the day is meant is told by the words, or by `half`; what is neither is not sure."""
    said, lexicon = heard.whole, heard.lexicon
    plain = words(said)
    for at in range(len(plain)):
        if longest(plain, at, lexicon.midnight):
            return _value(0, 0, sure=True)
        if longest(plain, at, lexicon.noon):
            return _value(12, 0, sure=True)
    found = next(iter(_clocks(said, lexicon)), None) or next(iter(_bare(heard)), None)
    if found is None:
        return NOTHING
    hour, minute, _ = found
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        return Unread("not_valid")
    return _in_half(hour % 24, minute, plain, lexicon, half)


def _in_half(hour: int, minute: int, said: Sequence[Token], lexicon: Lexicon, half: Half) -> Read:
    in_afternoon = any(longest(said, at, lexicon.afternoon) for at in range(len(said)))
    in_morning = any(longest(said, at, lexicon.morning) for at in range(len(said)))
    if hour > 12 or hour == 0:
        return _value(hour, minute, sure=not in_morning or hour == 0)
    if in_afternoon:
        return _value(hour % 12 + 12, minute, sure=True)
    if in_morning:
        return _value(hour % 12, minute, sure=True)
    if half == "ask":
        return _value(hour, minute, sure=False)
    return _value(hour % 12 + (12 if half == "afternoon" else 0), minute, sure=True)


def _clocks(said: Sequence[Token], lexicon: Lexicon) -> Iterator[_Clock]:
    """Those that can be nothing but a time of day."""
    for at, token in enumerate(said):
        if token.text.isdecimal() and at + 2 < len(said) and said[at + 1].text in (":", ".") and said[at + 2].glued:
            figures = said[at + 2].text
            if figures.isdecimal() and len(figures) == 2:
                yield int(token.text), int(figures), at + 3
    plain = words(said)
    for at in range(len(plain)):
        yield from _relative(plain, at, lexicon)
    for at in range(len(plain)):
        hour = cardinal(plain, at, lexicon)
        if hour is None or hour[0] > 24:
            continue
        after = hour[1] + longest(plain, hour[1], lexicon.oclock)
        if after > hour[1]:
            minute = cardinal(plain, after, lexicon)
            yield hour[0], minute[0] if minute and minute[0] < 60 else 0, after
        elif any(longest(plain, hour[1], marked) for marked in (lexicon.morning, lexicon.afternoon)):
            yield hour[0], 0, hour[1]


def _relative(said: Sequence[Token], at: int, lexicon: Lexicon) -> Iterator[_Clock]:
    """ "quarter to nine", "ten past seven", "halb acht" """
    for phrases, minutes in ((lexicon.half_past, 30), (lexicon.quarter_past, 15)):
        if (taken := longest(said, at, phrases)) and (hour := cardinal(said, at + taken, lexicon)):
            yield hour[0], minutes, hour[1]
    for phrases, minutes in ((lexicon.half_to, 30), (lexicon.quarter_to, 45)):
        if (taken := longest(said, at, phrases)) and (hour := cardinal(said, at + taken, lexicon)):
            yield _before(hour[0]), minutes, hour[1]
    minute = cardinal(said, at, lexicon)
    if minute is None or not 1 <= minute[0] <= 59:
        return
    if (taken := longest(said, minute[1], lexicon.past)) and (hour := cardinal(said, minute[1] + taken, lexicon)):
        yield hour[0], minute[0], hour[1]
    elif (taken := longest(said, minute[1], lexicon.to)) and (hour := cardinal(said, minute[1] + taken, lexicon)):
        yield _before(hour[0]), 60 - minute[0], hour[1]


def _before(hour: int) -> int:
    return hour - 1 if hour > 1 else 12 if hour == 1 else 23


def _bare(heard: Heard) -> Iterator[_Clock]:
    """A number that can be an hour, as all of the answer: "seven", "seven thirty", "nineteen oh five", "1930"."""
    said = words(heard.words)
    if said and said[0].text.isdecimal() and len(said[0].text) in (3, 4) and _ends(said, 1, heard.lexicon):
        number = int(said[0].text)
        yield number // 100, number % 100, 1
        return
    for at in range(len(said)):
        hour = cardinal(said, at, heard.lexicon)
        if hour is None or hour[0] > 24:
            continue
        end = hour[1] + (1 if hour[1] < len(said) and said[hour[1]].text in ("oh", "o") else 0)
        minute = cardinal(said, end, heard.lexicon)
        if minute is not None and minute[0] < 60 and (minute[0] >= 10 or end > hour[1]):
            yield hour[0], minute[0], minute[1]
        elif at == 0 and _ends(said, hour[1], heard.lexicon):
            yield hour[0], 0, hour[1]


def _ends(said: Sequence[Token], at: int, lexicon: Lexicon) -> bool:
    rest = said[at:]
    return not rest or any(longest(rest, 0, known) == len(rest) for known in (lexicon.morning, lexicon.afternoon))


def _value(hour: int, minute: int, *, sure: bool) -> Value:
    text = f"{hour:02}:{minute:02}"
    return Value(text, text, sure)
