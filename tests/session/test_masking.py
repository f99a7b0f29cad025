"""Figures that are not kept."""

from __future__ import annotations

import pytest

from agentd.session.masking import has_card_number, without_digits
from agentd.session.reading.lexicon import or_english


@pytest.mark.parametrize(
    ("language", "text", "masked"),
    [
        ("en", "It is 4242 4242, four two four two, thanks.", "It is • thanks."),
        ("en", "double four, twenty two", "•"),
        ("en", "4242-4242-4242-4242", "•"),
        ("en", "Jane Doe", "Jane Doe"),
        ("de", "Meine Nummer ist zweiundvierzig doppel zwei", "Meine Nummer ist •"),
    ],
)
def test_runs_of_figures_and_of_words_for_them_become_one_dot(language: str, text: str, masked: str) -> None:
    assert without_digits(text, or_english(language)) == masked


def test_a_card_number_is_known_by_its_length() -> None:
    assert has_card_number("four two four two 4242 4242 4242", or_english("en"))
    assert not has_card_number("020 7946 0958", or_english("en"))
