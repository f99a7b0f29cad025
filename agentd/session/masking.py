"""Figures that must not be kept: a card number while it is asked for. Pure."""

from __future__ import annotations

from agentd.session.reading.figures import CARD_DIGITS
from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.numerals import is_numeral, only_digits
from agentd.session.reading.tokens import tokens

HIDDEN = "•"


def without_digits(text: str, lexicon: Lexicon) -> str:
    """Each run of figures and of words that say them becomes one dot."""
    parts: list[str] = []
    for token in tokens(text):
        if is_numeral(token.text, lexicon):
            if not parts or parts[-1].strip() != HIDDEN:
                parts.append(("" if token.glued else " ") + HIDDEN)
        elif not (token.text in "-./:" and parts and parts[-1].strip() == HIDDEN):
            parts.append(("" if token.glued else " ") + token.written)
    return "".join(parts).strip()


def has_card_number(text: str, lexicon: Lexicon) -> bool:
    """Whether it holds as many digits as a card's number has."""
    return len(only_digits(tokens(text), lexicon)[0]) >= CARD_DIGITS[0]
