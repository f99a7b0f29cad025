"""Digits and numbers in figures and words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.tokens import Token, longest, words

_GERMAN = re.compile(
    r"(?:(?P<h>ein|eine|eins|zwei|zwo|drei|vier|fünf|sechs|sieben|acht|neun)?hundert(?:und)?)?(?P<rest>.*)"
)


def digit_run(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[str, int]:
    """The digits that are said one by one from there on, and where they end: "oh two double five 17" is 025517.
    Signs between them are passed over."""
    found, repeat = "", 1
    end = at
    while at < len(said):
        token = said[at]
        if not token.is_word:
            at += 1
            continue
        if token.text in lexicon.repeats:
            repeat = lexicon.repeats[token.text]
            at += 1
            continue
        text, taken = _digits_at(said, at, lexicon)
        if not text:
            break
        found += (text[0] * repeat + text[1:]) if repeat > 1 else text
        repeat = 1
        at += taken
        end = at
    return found, end


def _digits_at(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[str, int]:
    word = said[at].text
    if word.isdecimal():
        return word, 1
    if word in lexicon.digits:
        return str(lexicon.digits[word]), 1
    if word in lexicon.tens:
        step = 2 if at + 2 < len(said) and not said[at + 1].is_word else 1
        following = said[at + step].text if at + step < len(said) else ""
        unit = lexicon.digits.get(following, 0)
        if unit and following not in ("o", "oh"):
            return str(lexicon.tens[word] + unit), step + 1
        return str(lexicon.tens[word]), 1
    number = lexicon.teens.get(word) or _compound(word, lexicon)
    return (str(number), 1) if number is not None else ("", 0)


def cardinal(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[int, int] | None:
    """The number that is said from there on, and where it ends: "two hundred and five" is 205."""
    total = part = 0
    taken = at
    state = ""  # of the last word: unit, ten, scale
    while at < len(said):
        word = said[at].text
        if word.isdecimal():
            if state in ("unit", "ten"):
                break
            part, state = part + int(word), "unit"
        elif word in lexicon.scales and (state or word):
            scale = lexicon.scales[word]
            if scale == 100:
                part = (part or 1) * 100
            else:
                total, part = total + (part or 1) * scale, 0
            state = "scale"
        elif word in lexicon.tens and state in ("", "scale"):
            part, state = part + lexicon.tens[word], "ten"
        elif word in lexicon.teens and state in ("", "scale"):
            part, state = part + lexicon.teens[word], "unit"
        elif word in lexicon.digits and state in ("", "scale", "ten"):
            part, state = part + lexicon.digits[word], "unit"
        elif (number := _compound(word, lexicon)) is not None and state in ("", "scale"):
            part, state = part + number, "unit"
        elif (longest(said, at, lexicon.numeral_and) and state == "scale") or (word == "-" and state == "ten"):
            at += 1
            continue
        else:
            break
        at += 1
        taken = at
    return (total + part, taken) if state else None


def _compound(word: str, lexicon: Lexicon) -> int | None:
    """German writes numbers in one word: zweihundertfünfunddreißig."""
    if "dreißig" not in lexicon.tens or len(word) < 6:
        return None
    match = _GERMAN.fullmatch(word)
    if match is None:
        return None
    rest = match["rest"]
    hundreds = (lexicon.digits[match["h"]] if match["h"] else 1) * 100 if "hundert" in word else 0
    if not rest:
        return hundreds or None
    below = _below_hundred(rest, lexicon)
    return hundreds + below if below is not None else None


def _below_hundred(word: str, lexicon: Lexicon) -> int | None:
    for known in (lexicon.digits, lexicon.teens, lexicon.tens):
        if word in known:
            return known[word]
    unit, _, ten = word.partition("und")
    if unit in lexicon.digits and ten in lexicon.tens:
        return lexicon.tens[ten] + lexicon.digits[unit]
    return None


def is_numeral(word: str, lexicon: Lexicon) -> bool:
    """Whether the word says one or more digits, or how often."""
    known = (lexicon.digits, lexicon.teens, lexicon.tens, lexicon.scales, lexicon.repeats)
    return any(map(str.isdecimal, word)) or any(word in each for each in known) or _compound(word, lexicon) is not None


def decimal(said: Sequence[Token], lexicon: Lexicon) -> tuple[float, int, int] | None:
    """The first number, where it begins and where it ends: "minus three point five" is -3.5."""
    for at, token in enumerate(said):
        if token.text in (".", "-", "/", ":", "_", "@", "+"):
            continue
        whole = cardinal(said, at, lexicon)
        if whole is None:
            continue
        number, end = float(whole[0]), whole[1]
        skip = longest(said, end, lexicon.point) or (1 if _is_point(said, end) else 0)
        if skip:
            fraction, after = digit_run(said, end + skip, lexicon)
            if fraction:
                number, end = number + int(fraction) / 10 ** len(fraction), after
        begin = at
        if at and (longest(said, at - 1, lexicon.minus) or (said[at - 1].text == "-" and token.glued)):
            number, begin = -number, at - 1
        return number, begin, end
    return None


def _is_point(said: Sequence[Token], at: int) -> bool:
    """A point between figures that touch it."""
    return at + 1 < len(said) and said[at].text == "." and said[at].glued and said[at + 1].glued


def only_digits(said: Sequence[Token], lexicon: Lexicon) -> tuple[str, int]:
    """All digits of an answer, and how many words beside them are no digits."""
    found, beside, at = "", 0, 0
    while at < len(said):
        text, end = digit_run(said, at, lexicon)
        if text:
            found, at = found + text, end
        else:
            beside += said[at].is_word
            at += 1
    return found, beside


__all__ = ["cardinal", "decimal", "digit_run", "is_numeral", "only_digits", "words"]
