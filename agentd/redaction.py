"""Telephone numbers, e-mail addresses and card numbers taken out of texts that leave a call. Pure.

A number is a telephone's when it is written like one: with a + or 0 before it, or in groups. Dates, addresses of
machines and bare counts stay. What is spelled out in words is not found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

Pattern = Literal["phone", "email", "card"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)")
_PHONE = re.compile(
    r"\+\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)"  # international
    r"|(?<![\w.+-])\(?0{1,2}[1-9]\d{0,4}\)?(?:[ ()./-]{0,2}\d){6,10}(?![\w.]?\d)"  # with a trunk prefix
    r"|(?<![\w.+-])(?:1[ .-])?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-]?\d)"  # North America
)
_DATE_OR_ADDRESS = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|0?\d[./-]\d{1,2}[./-]\d{2,4}|\d{1,3}(?:\.\d{1,3}){3}")


def redacted(text: str, patterns: Collection[Pattern] = PATTERNS) -> str:
    """The text with "[email]", "[card]" and "[phone]" for what was found."""
    if "email" in patterns and "@" in text:
        text = _EMAIL.sub("[email]", text)
    if not any(character.isdigit() for character in text):
        return text
    if "card" in patterns:
        text = _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)
    if "phone" in patterns:
        text = _PHONE.sub(lambda found: found[0] if _DATE_OR_ADDRESS.fullmatch(found[0]) else "[phone]", text)
    return text


def redacted_data(value: Any, patterns: Collection[Pattern] = PATTERNS) -> Any:
    """The same of every text within; names of fields stay."""
    if isinstance(value, str):
        return redacted(value, patterns)
    if isinstance(value, Mapping):
        return {key: redacted_data(each, patterns) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_data(each, patterns) for each in value]
    return value


def _is_card(written: str) -> bool:
    """Luhn's sum is a multiple of ten."""
    digits = [int(character) for character in written if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1
