"""Fields of the author's own: what a pattern or a JSON Schema tells."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator

from agentd.config.tasks import CustomField
from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.numerals import decimal, digit_run, is_numeral
from agentd.session.reading.spelling import spelled_run


def read_custom(heard: Heard, field: CustomField) -> Read:
    """The first reading of the words that is good: as they are, put together, as a number."""
    found = [value for value in _readings(heard) if _fits(value, field)]
    if found:
        sure = field.pattern is not None or not isinstance(found[0], str)
        return Value(found[0], _said(found[0], heard), sure=sure)
    return Unread("not_valid") if heard.words else NOTHING


def _readings(heard: Heard) -> list[Any]:
    plain = " ".join(token.written for token in heard.words if token.is_word)
    readings: list[Any] = [heard.text.strip(" .!?"), plain, _together(heard), _together(heard).upper()]
    number = decimal(heard.words, heard.lexicon)
    if number is not None:
        readings = [int(number[0]) if number[0] == int(number[0]) else number[0], *readings]
    return [reading for reading in readings if reading != ""]


def _together(heard: Heard) -> str:
    """Letters and digits without what is between them: "A B one two" is ab12."""
    text, at, said = "", 0, heard.words
    while at < len(said):
        letters, end = spelled_run(said, at, heard.lexicon)
        if letters:
            text, at = text + letters, end
        elif is_numeral(said[at].text, heard.lexicon) and (run := digit_run(said, at, heard.lexicon))[0]:
            text, at = text + run[0], run[1]
        else:
            text, at = text + (said[at].text if said[at].is_word or said[at].text == "-" else ""), at + 1
    return text


def _fits(value: Any, field: CustomField) -> bool:
    if field.pattern is not None and not re.fullmatch(field.pattern, str(value)):
        return False
    if field.pattern is not None and not isinstance(value, str) and field.schema is None:
        return False  # a pattern is of text
    return field.schema is None or Draft202012Validator(dict(field.schema)).is_valid(value)


def _said(value: Any, heard: Heard) -> str:
    text = str(value)
    is_code = " " not in text and any(map(str.isdecimal, text))
    return " ".join(text) if is_code else text
