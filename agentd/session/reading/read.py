"""A caller's words, read as a field's answer. Pure, and the one place that decides whether a value is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from agentd.config.tasks import (
    AddressField,
    CardNumberField,
    ChoiceField,
    CustomField,
    DateField,
    DigitsField,
    EmailField,
    FieldDefinition,
    NameField,
    NumberField,
    PhoneField,
    TimeField,
    YesNoField,
)
from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.custom import read_custom
from agentd.session.reading.dates import read_date
from agentd.session.reading.email import read_email
from agentd.session.reading.figures import (
    card_value,
    digits_value,
    phone_value,
    read_card,
    read_digits,
    read_number,
    read_phone,
)
from agentd.session.reading.lexicon import or_english
from agentd.session.reading.texts import read_address, read_choice, read_name, read_yes_no
from agentd.session.reading.times import read_time

_READERS: Mapping[type[Any], Callable[[Heard, Any], Read]] = {
    NameField: lambda heard, field: read_name(heard),
    EmailField: lambda heard, field: read_email(heard),
    PhoneField: read_phone,
    AddressField: lambda heard, field: read_address(heard),
    DateField: lambda heard, field: read_date(heard, field.when),
    TimeField: lambda heard, field: read_time(heard, field.half),
    NumberField: read_number,
    CardNumberField: lambda heard, field: read_card(heard),
    DigitsField: read_digits,
    YesNoField: lambda heard, field: read_yes_no(heard),
    ChoiceField: lambda heard, field: read_choice(heard, field.options),
    CustomField: read_custom,
}


def read(field: FieldDefinition, text: str, language: str, today: date) -> Read:
    """What the words say for this field, in the language of the BCP 47 tag. `today`: where the caller is."""
    if not text.strip():
        return NOTHING
    return _READERS[type(field)](Heard.of(text, or_english(language), today), field)


def read_keys(field: FieldDefinition, keys: str, language: str) -> Read:
    """What keys that were pressed on a telephone say for it. `keys`: of 0 to 9 and *."""
    if not keys.isdecimal():
        return Unread("not_valid")
    match field:
        case DigitsField():
            return digits_value(keys, field)
        case PhoneField():
            return phone_value(keys, field)
        case CardNumberField():
            return card_value(keys)
        case YesNoField() if keys in ("1", "2"):
            return Value(keys == "1", or_english(language).say["yes" if keys == "1" else "no"])
        case ChoiceField() if 1 <= int(keys) <= len(field.options):
            value = list(field.options)[int(keys) - 1]
            return Value(value, value)
        case NumberField() | CustomField():
            return read(field, keys, language, date.min)
        case _:
            return Unread("not_valid")


def keys_wanted(field: FieldDefinition) -> int | None:
    """How many keys end the answer by themselves; None: only the terminator or time do."""
    match field:
        case DigitsField():
            return field.length or field.max_length
        case YesNoField():
            return 1
        case ChoiceField() if len(field.options) < 10:
            return 1
        case _:
            return None
