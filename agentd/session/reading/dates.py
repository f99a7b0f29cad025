"""Days: "tomorrow", "next Friday", "the fifth of March", "March 5th 1990", "5.3.2026"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal

from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.numerals import cardinal
from agentd.session.reading.tokens import Token, longest, words

When = Literal["any", "past", "future"]
_ENDINGS = ("st", "nd", "rd", "th")
_WEEK = 7


def read_date(heard: Heard, when: When) -> Read:
    """A day that exists and lies where it must."""
    found = next(iter(_found(heard, when)), None)
    if found is None or isinstance(found, Unread):
        return found or NOTHING
    day, sure = found
    if when == "past" and day > heard.today:
        return Unread("in_the_future")
    if when == "future" and day < heard.today:
        return Unread("in_the_past")
    return Value(day.isoformat(), said_date(day, heard.lexicon), sure)


def _found(heard: Heard, when: When) -> Iterator[tuple[date, bool] | Unread]:
    said, lexicon = heard.whole, heard.lexicon
    yield from _in_figures(heard, when)
    yield from _by_month(words(said), lexicon, heard.today, when)
    yield from _by_distance(words(said), lexicon, heard.today)
    yield from _by_weekday(words(said), lexicon, heard.today, when)
    yield from _by_day(words(heard.words), lexicon, heard.today, when)


def _in_figures(heard: Heard, when: When) -> Iterator[tuple[date, bool] | Unread]:
    """2026-03-05, 5.3.2026, 5/3/26, 5.3."""
    said = heard.whole
    for at in range(len(said) - 2):
        first, sign, second = said[at : at + 3]
        if not (first.text.isdecimal() and sign.text in ("-", "/", ".") and second.text.isdecimal() and sign.glued):
            continue
        third = said[at + 4].text if at + 4 < len(said) and said[at + 3].text == sign.text else ""
        if len(first.text) == 4 and third.isdecimal():
            yield _day(int(first.text), int(second.text), int(third), sure=True)
        elif third.isdecimal() or (sign.text != "-" and len(second.text) <= 2):
            one, two = int(first.text), int(second.text)
            month_first = heard.lexicon.says_month_first and sign.text == "/"
            day, month = (two, one) if month_first else (one, two)
            if month > 12 >= day:
                day, month = month, day
            clear = sign.text == "." or max(one, two) > 12 or one == two
            if third.isdecimal():
                yield _day(_year(int(third), when, heard.today), month, day, sure=clear)
            else:
                yield _without_year(month, day, heard.today, when, sure=clear)


def _by_month(said: Sequence[Token], lexicon: Lexicon, today: date, when: When) -> Iterator[tuple[date, bool] | Unread]:
    for at, token in enumerate(said):
        month = lexicon.months.get(token.text)
        if month is None:
            continue
        before, after = _ordinal_before(said, at, lexicon), _ordinal(said, at + 1, lexicon)
        if before is not None:
            day, end = before, at + 1
        elif after is not None:
            day, end = after
        else:
            continue
        year = _spoken_year(said, end, lexicon, when, today)
        yield _day(year, month, day, sure=True) if year else _without_year(month, day, today, when, sure=True)


def _ordinal_before(said: Sequence[Token], month_at: int, lexicon: Lexicon) -> int | None:
    """ "the fifth of March", "twenty first March", "5 März" """
    for start in range(max(0, month_at - 4), month_at):
        found = _ordinal(said, start, lexicon)
        if found is not None and all(len(t.text) <= 3 and t.text.isalpha() for t in said[found[1] : month_at]):
            return found[0]
    return None


def _ordinal(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[int, int] | None:
    """A day of the month, as an ordinal or a plain number."""
    while at < len(said) and said[at].text in ("the", "den", "der"):
        at += 1
    if at >= len(said):
        return None
    word = said[at].text
    if word in lexicon.ordinals:
        return lexicon.ordinals[word], at + 1
    following = said[at + 1].text if at + 1 < len(said) else ""
    if word in lexicon.tens and following in lexicon.ordinals and lexicon.ordinals[following] < 10:
        return lexicon.tens[word] + lexicon.ordinals[following], at + 2
    if word.isdecimal() and following in _ENDINGS and said[at + 1].glued:
        return (int(word), at + 2) if 1 <= int(word) <= 31 else None
    if word.isdecimal():
        return (int(word), at + 1) if 1 <= int(word) <= 31 else None
    number = cardinal(said, at, lexicon)
    if number is None or not 1 <= number[0] <= 31:
        return None
    return number


def _spoken_year(said: Sequence[Token], at: int, lexicon: Lexicon, when: When, today: date) -> int | None:
    """ "1990", "nineteen ninety", "two thousand and five", "neunzehnhundertneunzig", "oh five" is none"""
    while at < len(said) and said[at].text in ("of", "in", "the", "year", "im", "jahr"):
        at += 1
    if at >= len(said):
        return None
    if said[at].text.isdecimal():
        number = int(said[at].text)
        return number if 1900 <= number <= 2199 else _year(number, when, today) if len(said[at].text) == 2 else None
    glued = said[at].text.partition("hundert")
    if glued[1] and glued[0] in lexicon.teens:
        rest = cardinal([Token("hundert" + glued[2], "")], 0, lexicon) if glued[2] else (100, 1)
        return lexicon.teens[glued[0]] * 100 + rest[0] - 100 if rest else None
    if said[at].text.startswith("zweitausend"):
        rest = cardinal([Token(said[at].text.removeprefix("zweitausend").removeprefix("und"), "")], 0, lexicon)
        return 2000 + (rest[0] if rest else 0)
    first = cardinal(said, at, lexicon)
    if first is None:
        return None
    if 1900 <= first[0] <= 2199:
        return first[0]
    if first[0] not in (19, 20, 21):
        return None
    rest_at = first[1]
    if rest_at < len(said) and said[rest_at].text in ("oh", "o"):
        rest_at += 1
    second = cardinal(said, rest_at, lexicon)
    return first[0] * 100 + second[0] if second and 0 <= second[0] <= 99 else None


def _by_distance(said: Sequence[Token], lexicon: Lexicon, today: date) -> Iterator[tuple[date, bool]]:
    for at, token in enumerate(said):
        if token.text in lexicon.days_from_now:
            yield _counted(said, at, lexicon, today)
        number = cardinal(said, at, lexicon)
        if number is not None:
            if longest(said, number[1], lexicon.in_days):
                yield today + timedelta(days=number[0]), True
            elif longest(said, number[1], lexicon.in_weeks):
                yield today + timedelta(weeks=number[0]), True


def _counted(said: Sequence[Token], at: int, lexicon: Lexicon, today: date) -> tuple[date, bool]:
    """ "the day after tomorrow" """
    days = lexicon.days_from_now[said[at].text]
    before = tuple(token.text for token in said[max(0, at - 2) : at])
    if before == ("day", "after") and days == 1:
        days = 2
    elif before == ("day", "before") and days == -1:
        days = -2
    return today + timedelta(days=days), True


def _by_weekday(said: Sequence[Token], lexicon: Lexicon, today: date, when: When) -> Iterator[tuple[date, bool]]:
    for at, token in enumerate(said):
        weekday = lexicon.weekdays.get(token.text)
        if weekday is None:
            continue
        if when == "past":
            yield today - timedelta(days=(today.weekday() - weekday) % _WEEK or _WEEK), False
            return
        ahead = (weekday - today.weekday()) % _WEEK or _WEEK
        is_next = at > 0 and bool(longest(said, at - 1, lexicon.next))
        if not is_next:
            yield today + timedelta(days=ahead), True
            return
        monday = today + timedelta(days=_WEEK - today.weekday())  # of the next week; people differ on what "next" is
        yield monday + timedelta(days=weekday), False


def _by_day(said: Sequence[Token], lexicon: Lexicon, today: date, when: When) -> Iterator[tuple[date, bool] | Unread]:
    """ "the fifth": of the nearest month that it can be."""
    found = _ordinal(said, 0, lexicon)
    if found is None or found[1] != len(said):
        return
    is_ordinal = said[0].text in lexicon.ordinals or said[-1].text in (*_ENDINGS, *lexicon.ordinals)
    if not is_ordinal:
        return
    day = found[0]
    step = -1 if when == "past" else 1
    for months in range(13):
        month = today.month - 1 + step * months
        try:
            candidate = date(today.year + month // 12, month % 12 + 1, day)
        except ValueError:
            continue
        if (candidate <= today) if when == "past" else (candidate >= today):
            yield candidate, False
            return


def _day(year: int, month: int, day: int, *, sure: bool) -> tuple[date, bool] | Unread:
    try:
        return date(year, month, day), sure
    except ValueError:
        return Unread("no_such_day")


def _without_year(month: int, day: int, today: date, when: When, *, sure: bool) -> tuple[date, bool] | Unread:
    """The next one, or the last one where it lies in the past."""
    step = -1 if when == "past" else 1
    for years in range(9):  # the 29th of February comes every four, at the most every eight years
        try:
            candidate = date(today.year + step * years, month, day)
        except ValueError:
            continue
        if (candidate <= today) if when == "past" else (candidate >= today):
            return candidate, sure and when != "past"
    return Unread("no_such_day")


def _year(number: int, when: When, today: date) -> int:
    """Of two figures."""
    if number >= 100:
        return number
    century = today.year // 100 * 100
    year = century + number
    latest = today.year if when == "past" else today.year + 20
    return year - 100 if year > latest else year


def said_date(day: date, lexicon: Lexicon) -> str:
    """As it is read back: "Friday, 5 March 2027"."""
    weekday = next(name for name, number in lexicon.weekdays.items() if number == day.weekday()).capitalize()
    month = next(name for name, number in lexicon.months.items() if number == day.month).capitalize()
    dot = "." if lexicon.tag.lower().startswith("de") else ""
    return f"{weekday}, {day.day}{dot} {month} {day.year}"
