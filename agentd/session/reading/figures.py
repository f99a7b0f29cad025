"""Numbers, telephone numbers, card numbers and codes."""

from __future__ import annotations

from agentd.config.tasks import DigitsField, NumberField, PhoneField
from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.numerals import decimal, only_digits
from agentd.session.reading.tokens import Token

PHONE_DIGITS = (7, 15)
"""Of a subscriber's number to E.164's most."""

CARD_DIGITS = (13, 19)
"""ISO/IEC 7812's."""

_FEW = 3  # fewer digits may be there by chance: "one moment"
_MOST_BESIDE = 6  # words beside the digits that leave no doubt


def read_number(heard: Heard, field: NumberField) -> Read:
    found = decimal(heard.words, heard.lexicon) or decimal(heard.whole, heard.lexicon)
    if found is None:
        return NOTHING
    number, begin, end = found
    if field.integer and number != int(number):
        return Unread("not_valid")
    if field.minimum is not None and number < field.minimum:
        return Unread("too_small")
    if field.maximum is not None and number > field.maximum:
        return Unread("too_great")
    value = int(number) if field.integer else number
    another = decimal(heard.words[end:], heard.lexicon) if end <= len(heard.words) else None
    return Value(value, f"{value:g}" if isinstance(value, float) else str(value), sure=another is None and begin <= 6)


def read_digits(heard: Heard, field: DigitsField) -> Read:
    found, beside = only_digits(heard.words, heard.lexicon)
    return digits_value(found, field, beside)


def digits_value(found: str, field: DigitsField, beside: int = 0) -> Read:
    """`beside`: words that are no digits."""
    least = field.length or field.min_length
    if not found or (len(found) < min(_FEW, least) and beside):
        return NOTHING
    most = field.length or field.max_length
    if len(found) < least:
        return Unread("too_short")
    if len(found) > most:
        return Unread("too_long")
    return Value(found, " ".join(found), sure=beside <= _MOST_BESIDE)


def read_phone(heard: Heard, field: PhoneField) -> Read:
    found, beside = only_digits(heard.words, heard.lexicon)
    return phone_value(found, field, is_international=_begins_with_plus(heard.words, heard), beside=beside)


def phone_value(found: str, field: PhoneField, *, is_international: bool = False, beside: int = 0) -> Read:
    if not found or (len(found) < _FEW and beside):
        return NOTHING
    if found.startswith("00") and field.country_code != "1":
        found, is_international = found[2:], True
    number = found if is_international or not field.country_code else _national(found, field.country_code)
    is_international = is_international or bool(field.country_code)
    if len(number) < PHONE_DIGITS[0] + (1 if is_international else 0):
        return Unread("too_short")
    if len(number) > PHONE_DIGITS[1]:
        return Unread("too_long")
    value = f"+{number}" if is_international else number
    return Value(value, in_groups(found), sure=len(number) >= 10 and beside <= _MOST_BESIDE)


def _national(found: str, code: str) -> str:
    """With its country's code. In North America, code 1, numbers have ten digits and may begin with that 1."""
    if code == "1":
        return found if len(found) == 11 and found.startswith("1") else "1" + found
    if found.startswith("0"):
        return code + found[1:]
    return found if found.startswith(code) and len(found) > 10 else code + found


def _begins_with_plus(said: tuple[Token, ...], heard: Heard) -> bool:
    return bool(said) and (said[0].text == "+" or (said[0].text,) in heard.lexicon.plus)


def in_groups(found: str) -> str:
    """As one reads it out: three by three, with no single one at the end."""
    groups = [found[n : n + 3] for n in range(0, len(found), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2][:2], groups[-2][2:] + groups[-1]]
    return ", ".join(" ".join(group) for group in groups)


def read_card(heard: Heard) -> Read:
    return card_value(*only_digits(heard.words, heard.lexicon))


def card_value(found: str, beside: int = 0) -> Read:
    """Its `said` has the last four digits only."""
    if not found or (len(found) < _FEW and beside):
        return NOTHING
    if len(found) < CARD_DIGITS[0]:
        return Unread("too_short")
    if len(found) > CARD_DIGITS[1]:
        return Unread("too_long")
    if not luhn(found):
        return Unread("checksum")
    return Value(found, " ".join(found[-4:]))


def luhn(digits: str) -> bool:
    """Whether the last digit is the others' check digit."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return bool(digits) and total % 10 == 0
