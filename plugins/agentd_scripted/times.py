"""Days and times of day, as people say them and recognisers write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentd_scripted.numerals import TENS, small, text_at
from agentd_scripted.words import Word

Candidate = tuple[int, str]
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_ORDINALS = {
    name: number
    for number, name in enumerate(
        ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
         "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
         "twentieth"),
        start=1,
    )
} | {"thirtieth": 30}  # fmt: skip
_HALF_DAYS = {
    "am": "am", "pm": "pm", "morning": "am", "afternoon": "pm", "evening": "pm", "night": "pm", "tonight": "pm",
}  # fmt: skip
_NOON, _MIDNIGHT = 36, 24  # hours beyond the day: those whose half is known


def date(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[Candidate]:
    """A day: tomorrow, next Friday, the 5th of March, in three days, 2026-03-05."""
    lead = at + (text_at(sentence, at) in ("on", "for", "this", "coming"))
    yield from _day(sentence, lead)
    if lead > at:
        yield from _day(sentence, at)


def time(sentence: Sequence[Word], at: int, alone: bool) -> Iterator[Candidate]:
    """A time of day, as "7:30 pm", or "7:30" where the half of the day was not said."""
    lead = at + (text_at(sentence, at) in ("at", "around", "about", "by", "for"))
    sure = alone or text_at(sentence, at) in ("at", "around", "about", "by")
    for end, hour, minute, clear in _clock(sentence, lead):
        half, after = _half_of_day(sentence, end)
        if half or clear or sure:
            yield after, _spoken_time(hour, minute, half)


def _day(sentence: Sequence[Word], at: int) -> Iterator[Candidate]:
    text = text_at(sentence, at)
    if len(text) == 10 and text[4] == "-":
        yield at + 1, text
    if text in ("today", "tomorrow"):
        yield at + 1, text
    if text in ("tonight",):
        yield at + 1, "today"
    here = at + (text == "the")
    if [word.text for word in sentence[here : here + 3]] == ["day", "after", "tomorrow"]:
        yield here + 3, "the day after tomorrow"
    yield from _relative(sentence, at)
    yield from _weekday(sentence, at)
    yield from _day_of_month(sentence, at)


def _relative(sentence: Sequence[Word], at: int) -> Iterator[Candidate]:
    """In three days, in a week."""
    if text_at(sentence, at) != "in":
        return
    count = (at + 2, 1) if text_at(sentence, at + 1) in ("a", "an") else small(sentence, at + 1)
    unit = text_at(sentence, count[0]) if count else ""
    if count and unit in ("day", "days", "week", "weeks"):
        yield count[0] + 1, f"in {count[1]} {unit}"


def _weekday(sentence: Sequence[Word], at: int) -> Iterator[Candidate]:
    following = text_at(sentence, at) == "next"
    here = at + following
    day = text_at(sentence, here)
    if day.removesuffix("s") not in _WEEKDAYS:
        return
    shown = ("next " if following else "") + day.removesuffix("s").capitalize()
    for end, value in _day_of_month(sentence, here + 1):
        yield end, f"{shown} {value}"
    yield here + 1, shown


def _day_of_month(sentence: Sequence[Word], at: int) -> Iterator[Candidate]:
    """The fifth of March, March 5th, the 5th."""
    here = at + (text_at(sentence, at) == "the")
    month = text_at(sentence, here)
    if month in _MONTHS:
        ordinal = _ordinal(sentence, here + 1 + (text_at(sentence, here + 1) == "the"), bare=True)
        if ordinal:
            yield ordinal[0], f"{ordinal[1]} {month.capitalize()}"
        return
    ordinal = _ordinal(sentence, here, bare=True)
    if ordinal is None:
        return
    end, day = ordinal
    month = text_at(sentence, end + (text_at(sentence, end) == "of"))
    if month in _MONTHS:
        yield end + 1 + (text_at(sentence, end) == "of"), f"{day} {month.capitalize()}"
    elif _ordinal(sentence, here, bare=False):
        yield end, f"the {_with_suffix(day)}"


def _ordinal(sentence: Sequence[Word], at: int, *, bare: bool) -> tuple[int, int] | None:
    """A day of the month: 5th, fifth, twenty first; with `bare` also 5 and five."""
    text = text_at(sentence, at)
    if text[:-2].isdecimal() and text[-2:] in ("st", "nd", "rd", "th"):
        return _in_month(at + 1, int(text[:-2]))
    if text in _ORDINALS:
        return _in_month(at + 1, _ORDINALS[text])
    if text in TENS and _ORDINALS.get(text_at(sentence, at + 1), 99) < 10:
        return _in_month(at + 2, TENS[text] + _ORDINALS[text_at(sentence, at + 1)])
    count = small(sentence, at) if bare else None
    return _in_month(*count) if count else None


def _in_month(end: int, day: int) -> tuple[int, int] | None:
    return (end, day) if 1 <= day <= 31 else None


def _with_suffix(day: int) -> str:
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def _clock(sentence: Sequence[Word], at: int) -> Iterator[tuple[int, int, int, bool]]:
    """(end, hour, minute, whether it can be nothing but a time)."""
    text = text_at(sentence, at)
    if text in ("noon", "midday"):
        yield at + 1, _NOON, 0, True
    if text == "midnight":
        yield at + 1, _MIDNIGHT, 0, True
    yield from _past_and_to(sentence, at)
    hour_text, _, minute_text = text.replace(".", ":").partition(":")
    if minute_text and hour_text.isdecimal() and int(hour_text) < 24 and int(minute_text) < 60:
        yield at + 1, int(hour_text), int(minute_text), ":" in text
        return
    if text.isdecimal() and len(text) in (3, 4) and int(text[:-2]) < 24 and int(text[-2:]) < 60:
        yield at + 1, int(text[:-2]), int(text[-2:]), False
        return
    hour = _hour(sentence, at)
    if hour is None:
        return
    end, value = hour
    if text_at(sentence, end) == "oclock":
        yield end + 1, value, 0, True
        return
    minutes = _minutes(sentence, end)
    if minutes:
        yield minutes[0], value, minutes[1], True
    yield end, value, 0, False


def _past_and_to(sentence: Sequence[Word], at: int) -> Iterator[tuple[int, int, int, bool]]:
    """Half past seven, half seven, (a) quarter to eight, ten past six."""
    here = at + (text_at(sentence, at) == "a")
    text = text_at(sentence, here)
    if text == "half":
        hour = _hour(sentence, here + 1 + (text_at(sentence, here + 1) == "past"))
        if hour:
            yield hour[0], hour[1], 30, True
        return
    count = (here + 1, 15) if text == "quarter" else small(sentence, here)
    if count is None or not 0 < count[1] < 60:
        return
    end = count[0] + (text_at(sentence, count[0]) in ("minutes", "minute"))
    side, hour = text_at(sentence, end), _hour(sentence, end + 1)
    if hour and side in ("past", "after"):
        yield hour[0], hour[1], count[1], True
    elif hour and side in ("to", "before", "till"):
        yield hour[0], (hour[1] - 1) or 12, 60 - count[1], True


def _hour(sentence: Sequence[Word], at: int) -> tuple[int, int] | None:
    count = small(sentence, at)
    return count if count and count[1] < 24 and count[0] == at + 1 else None


def _minutes(sentence: Sequence[Word], at: int) -> tuple[int, int] | None:
    """Thirty, forty five, oh five."""
    if text_at(sentence, at) in ("oh", "o", "zero"):
        unit = small(sentence, at + 1)
        return unit if unit and 0 < unit[1] < 10 else None
    count = small(sentence, at)
    return count if count and 10 <= count[1] < 60 else None


def _half_of_day(sentence: Sequence[Word], at: int) -> tuple[str, int]:
    """am or pm, and where the words for it end; "" when nothing was said."""
    if text_at(sentence, at) == "oclock":
        at += 1
    for skip in (["in", "the"], ["at"], ["this"], []):
        here = at + len(skip)
        if [word.text for word in sentence[at:here]] == skip and text_at(sentence, here) in _HALF_DAYS:
            return _HALF_DAYS[text_at(sentence, here)], here + 1
    return "", at


def _spoken_time(hour: int, minute: int, half: str) -> str:
    """A time to be spoken back."""
    if hour >= _MIDNIGHT:
        return "12:00 pm" if hour == _NOON else "12:00 am"
    if hour > 12 or hour == 0:
        half = "pm" if hour > 12 else "am"
        hour = hour % 12 or 12
    return f"{hour}:{minute:02d} {half}".strip()
