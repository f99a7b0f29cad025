"""Yes, no, or neither."""

from __future__ import annotations

from random import Random

import pytest

from agentd.session.affirmation import MOST_BESIDE, affirmation
from agentd.session.phrasebook import phrasebook

YES = [
    *("Yes.", "Yeah", "yep!", "Yes, please.", "Uh-huh.", "Mm-hmm", "That's right.", "Correct.", "Sure, go ahead."),
    *("Yes, that's it.", "Yes, book it for me.", "Okay, do it, thanks.", "No, that's right.", "Sounds good to me."),
    *("Yes yes yes", "Of course.", "Well, yes.", "Right.", "It is.", "Yes, that is correct, thank you very much."),
]
NO = [
    *("No.", "Nope", "No, it's Friday.", "That's wrong.", "That's not right.", "That isn't right.", "Not really."),
    *("That is not quite correct", "No thanks", "Don't do it", "Cancel that.", "I don't think that's right."),
    *("No, sorry.", "Sorry, no.", "Wait.", "Absolutely not", "It's b as in bravo, not d.", "I'd rather not."),
]
UNCLEAR = [
    *("", "Hello", "What?", "I don't know.", "Maybe.", "Yes, but on Friday.", "Right?", "Okay, what does it cost?"),
    *("Yes. No.", "No, yes, I mean", "I guess so", "Is that right?", "No idea.", "Yes, if it is before noon."),
    *("Okay so my brother told me that he had been here last year and liked it", "Jane Doe", "not sure"),
    *("Well, it is raining here", "Good weather today", "My brother said yes", "Right now I am busy", "Fine print"),
]


@pytest.mark.parametrize("text", YES)
def test_a_yes(text: str) -> None:
    assert affirmation(text, "en-GB") == "yes"


@pytest.mark.parametrize("text", NO)
def test_a_no(text: str) -> None:
    assert affirmation(text, "en") == "no"


@pytest.mark.parametrize("text", UNCLEAR)
def test_neither(text: str) -> None:
    assert affirmation(text, "en-US") == "unclear"


@pytest.mark.parametrize(
    ("language", "text", "answer"),
    [
        ("de-DE", "Ja, genau.", "yes"),
        ("de", "Das stimmt.", "yes"),
        ("de", "Nein, das stimmt nicht.", "no"),
        ("de", "Das stimmt so nicht.", "no"),
        ("de", "Das ist nicht richtig", "no"),
        ("de", "Auf keinen Fall", "no"),
        ("de", "Ja, aber erst am Freitag.", "unclear"),
        ("de", "Weiß ich nicht.", "unclear"),
        ("de", "Stimmt das?", "unclear"),
        ("fr-FR", "Oui, c'est ça.", "yes"),
        ("fr", "Ce n'est pas correct.", "no"),
        ("fr", "Non merci", "no"),
        ("fr", "Je ne sais pas", "unclear"),
        ("es-ES", "Sí, claro.", "yes"),
        ("es", "No es correcto", "no"),
        ("es", "Claro que no.", "no"),
        ("es", "No lo sé", "unclear"),
        ("tlh", "yes", "unclear"),  # a language without a list: nothing is taken for a yes
    ],
)
def test_other_languages(language: str, text: str, answer: str) -> None:
    assert affirmation(text, language) == answer


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_what_holds_a_negation_or_a_condition_is_never_a_yes(language: str) -> None:
    answers, random = phrasebook(language).answers, Random(language)
    whole = [" ".join(phrase) for phrase in sorted(answers.yes)]
    for _ in range(400):
        against = " ".join(random.choice(sorted(answers.hedges | answers.unsure)))
        parts = [random.choice([text for text in whole if len(text.split()) == 1]), against]
        random.shuffle(parts)
        assert affirmation(", ".join(parts), language) != "yes" or _is_phrase(parts, language), parts


def _is_phrase(parts: list[str], language: str) -> bool:
    return tuple(" ".join(parts).split()) in phrasebook(language).answers.yes


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_each_phrase_says_what_its_list_says(language: str) -> None:
    answers = phrasebook(language).answers
    for phrase in answers.yes - answers.no - answers.unsure:
        assert affirmation(" ".join(phrase), language) == "yes", phrase
    for phrase in answers.no - answers.unsure:
        assert affirmation(" ".join(phrase), language) == "no", phrase
    for phrase in answers.unsure:
        assert affirmation(" ".join(phrase), language) == "unclear", phrase


def test_much_beside_a_yes_makes_it_unclear() -> None:
    assert affirmation("yes " + "word " * MOST_BESIDE, "en") == "yes"
    assert affirmation("yes " + "word " * (MOST_BESIDE + 1), "en") == "unclear"


def test_beside_a_yes_to_a_question_there_may_be_its_own_words_only() -> None:
    question = "Please confirm: book table, guests: 4, day: Friday. Is that right?"
    for text in ("Yes.", "Yes, book it.", "Yes please, Friday.", "Yes, that's right.", "Yes, book the table for me."):
        assert affirmation(text, "en", about=question) == "yes", text
    for text in ("Yes, but at eight.", "Yes, on Saturday.", "Yes, make it five.", "Yes for five guests."):
        assert affirmation(text, "en", about=question) == "unclear", text
