"""How long the silence must be, from the words, the agent's question, the caller's pauses and a detector's opinion."""

from __future__ import annotations

import pytest

from agentd.config.turns import Endpointing, EndpointingRule
from agentd.providers.fields import Duration
from agentd.session.endpointing import Heard, Wait, delay, is_unfinished, next_pause
from agentd.session.phrasebook import ASKED, phrasebook

PLAIN = Endpointing()
ENGLISH = phrasebook("en-GB")
LANGUAGES = ("en", "de", "fr", "es")


def wait(text: str, settings: Endpointing = PLAIN, **heard: object) -> Wait:
    return delay(Heard(text=text, **heard), settings, ENGLISH)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "I would like to", "My number is.", "I'd like to book a table for", "Um...", "and", "It's about my, um,",
        "Well, I think the", "Let me see.", "I need a table for two and", "I was", "Can you", "Hold on.", "two people,",
    ],
)  # fmt: skip
def test_an_unfinished_sentence_waits_for_max_delay(text: str) -> None:
    assert (wait(text).seconds, wait(text).rule) == (3.0, "unfinished")
    assert wait(text).value == "turn.endpointing.max_delay=3.0"


@pytest.mark.parametrize(
    "text",
    [
        "Yes.", "I'd like a table for two.", "Where are you from?", "I think so.", "What for?", "I'd love to.",
        "No, thank you.", "Friday", "What is it about?", "Hello", "That's all I need.", "Four", "Okay.", "I am fine.",
        "The day after tomorrow at six.", "That's what I want.", "My name is Ann.",
    ],
)  # fmt: skip
def test_a_finished_sentence_takes_no_longer_than_min_delay(text: str) -> None:
    assert (wait(text).seconds, wait(text).rule) == (0.5, "silence")


@pytest.mark.parametrize(
    ("language", "unfinished", "finished"),
    [
        (
            "de",
            ["Ich möchte", "Meine Nummer ist", "und", "Ähm", "Ein Tisch für", "Moment mal."],
            ["Ja, genau.", "Gut."],
        ),
        ("fr", ["Je voudrais", "Mon numéro est", "et", "Euh...", "une table pour"], ["D'accord.", "Comme ça.", "Oui."]),
        ("es", ["Quisiera", "Mi número es", "y", "Eh,", "una mesa para", "un momento"], ["Sí, claro.", "Muy bueno."]),
    ],
)
def test_other_languages_have_words_of_their_own(language: str, unfinished: list[str], finished: list[str]) -> None:
    assert [text for text in unfinished if not is_unfinished(text, phrasebook(language))] == []
    assert [text for text in finished if is_unfinished(text, phrasebook(language))] == []


def test_an_unknown_language_has_silence_alone() -> None:
    assert not is_unfinished("en de ...", phrasebook("tlh"))
    assert phrasebook("../../etc") == phrasebook("tlh")


def test_the_words_can_be_left_out_of_it() -> None:
    assert wait("My number is", Endpointing(transcript=False)).rule == "silence"


@pytest.mark.parametrize(
    ("asked", "text", "rule"),
    [
        ("What is your phone number?", "oh two oh, seven", "digits_missing"),
        ("What is your phone number?", "0207 946", "digits_open"),
        ("What is your phone number?", "555 12", "digits_missing"),
        ("What is your phone number?", "I don't have one", "silence"),
        ("", "My number is five five five", "digits_missing"),
        ("And your account number?", "double four one", "digits_missing"),
        ("And your account number?", "double four triple one", "digits_open"),
        ("How many people?", "four", "silence"),
        ("What time?", "at seven thirty", "silence"),
        ("What is your postal code?", "ninety two", "digits_missing"),
    ],
)
def test_a_dictated_number_waits_for_its_digits(asked: str, text: str, rule: str) -> None:
    assert wait(text, asked=asked).rule == rule


def test_a_rule_of_the_file_waits_longer_after_its_question_and_not_at_all_once_the_digits_are_there() -> None:
    settings = Endpointing(rules=(EndpointingRule(when_agent="phone", min_delay=Duration(1.2), digits=10),))
    asked = "May I have your phone number?"
    assert wait("555 0123", settings, asked=asked) == Wait(
        seconds=3.0, rule="digits_missing", value="turn.endpointing.rules[0].digits=10"
    )
    assert wait("555 0123 456", settings, asked=asked).rule == "slot_filled"
    assert wait("555 0123 456", settings, asked=asked).seconds == 0.5
    later = wait("You have it already.", settings, asked=asked)
    assert (later.seconds, later.rule, later.value) == (1.2, "asked", "turn.endpointing.rules[0].min_delay=1.2")
    assert wait("555 0123", settings, asked="What day?").seconds == 0.5


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("4 1 5", "digits_open"), ("It is for 1.5.", "digits_open"), ("oh two", "digits_open"), ("941", "digits_open"),
        ("double four", "digits_open"), ("eight, four", "digits_open"), ("twenty two thirty three", "digits_open"),
        ("It was in 1984.", "silence"), ("at 10:30", "silence"), ("seven thirty", "silence"), ("for 12", "silence"),
        ("twenty five", "silence"), ("4 1 5 people", "silence"), ("My number is 415 882 9171", "silence"),
        ("7 1984", "digits_open"),
    ],
)  # fmt: skip
def test_digits_that_were_spoken_one_by_one_may_go_on(text: str, rule: str) -> None:
    assert wait(text).rule == rule
    assert wait(text, Endpointing(transcript=False)).rule == "silence"


def test_the_wait_of_the_unsure_lies_between_the_two_delays() -> None:
    def waited(**settings: float) -> float:
        return wait("4 1 5", Endpointing(**{name: Duration(value) for name, value in settings.items()})).seconds

    assert waited() == 1.4
    assert waited(unsure_delay=0.9) == 0.9
    assert waited(max_delay=1.0) == 1.0
    assert waited(min_delay=2.0) == 2.0


def test_a_figure_alone_without_a_full_stop_is_dictated_where_the_recogniser_sets_them() -> None:
    assert wait("33", punctuated=True).rule == "digits_open"
    assert wait("33.", punctuated=True).rule == "silence"
    assert wait("33").rule == "silence"


def test_a_missing_full_stop_tells_something_where_the_recogniser_sets_them() -> None:
    assert wait("He might even have", punctuated=True).rule == "open_ended"
    assert wait("He might even have").rule == "silence"
    assert wait('He said "yes."', punctuated=True).rule == "silence"
    assert wait("He might even have", punctuated=True, probability=0.97).rule == "silence"
    assert wait("He might even have", punctuated=True, probability=0.7).rule == "open_ended"
    assert wait("He might even have", punctuated=True, probability=0.2).rule == "turn_detector"


def test_a_rule_of_the_file_goes_before_what_the_words_may_be() -> None:
    settings = Endpointing(rules=(EndpointingRule(when_agent="name", min_delay=Duration(0.8)),))
    assert wait("Miller", settings, asked="Your name?", punctuated=True).rule == "asked"
    assert wait("4 1 5", settings, asked="Your name?").rule == "asked"


@pytest.mark.parametrize("text", ["Can I pay with um?", "Could you tell me whether?", "Is it the?"])
def test_not_even_a_question_ends_in_every_word(text: str) -> None:
    assert wait(text).rule == "unfinished"


def test_the_first_rule_that_fits_holds_and_may_be_a_regular_expression() -> None:
    rules = (
        EndpointingRule(when_agent=r"spell .* surname", min_delay=Duration(2.0)),
        EndpointingRule(when_agent="spelling", min_delay=Duration(1.0)),
    )
    settings = Endpointing(rules=rules)
    assert wait("B R O", settings, asked="Could you spell your surname?").seconds == 2.0
    assert wait("B R O", settings, asked="Could you spell that?").seconds == 1.0


def test_a_detector_that_says_incomplete_waits_for_max_delay() -> None:
    assert (wait("A table for two", probability=0.2).seconds, wait("Yes", probability=0.2).rule) == (
        3.0,
        "turn_detector",
    )
    assert wait("A table for two.", probability=0.9).seconds == 0.5
    assert wait("A table for", probability=0.9).rule == "unfinished"


def test_a_detector_that_says_incomplete_of_a_whole_sentence_is_believed_by_half() -> None:
    assert wait("A table for two.", probability=0.2) == Wait(
        seconds=1.4, rule="turn_detector_alone", value="turn.endpointing.unsure_delay=1.4"
    )
    assert wait("An appointment on.", probability=0.2).rule == "turn_detector"  # the words say so, too


def test_dynamic_delays_follow_the_callers_pauses_between_the_two_delays() -> None:
    settings = Endpointing(mode="dynamic", min_delay=Duration(0.4), max_delay=Duration(1.0))
    mean = None
    for _ in range(60):
        mean = next_pause(mean, 0.8, settings)
    assert mean == pytest.approx(0.8, abs=0.01)
    assert next_pause(None, 0.8, settings) == pytest.approx(0.44)
    assert next_pause(None, 9.0, settings) == 1.0
    assert next_pause(None, 0.0, settings) == 0.4
    assert (wait("Two.", settings, pause_s=0.8).seconds, wait("Two.", settings, pause_s=0.8).rule) == (0.8, "dynamic")
    assert wait("Two?", settings, pause_s=0.8).seconds == 0.4
    assert wait("Two.", settings).seconds == 0.4


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_knows_every_kind_of_question_and_some_of_everything(language: str) -> None:
    book = phrasebook(language)
    assert set(book.asks) == set(ASKED)
    assert len(book.numbers) == 3
    assert not book.dangling & book.finished
    assert not book.open_ended & (book.finished | book.dangling)
    assert all((book.never_last, book.open_ended))
    assert all((book.acknowledgements, book.interruptions, book.made_up_never, book.digits, book.tens))
    assert not book.acknowledgements & book.interruptions


@pytest.mark.parametrize(
    ("language", "text", "digits"),
    [("en", "oh two double five 17", 6), ("en", "twenty three", 2), ("en", "twenty", 2), ("de", "null drei zwo", 3),
     ("fr", "zéro six douze", 4), ("es", "nueve uno doble cuatro", 4), ("en", "table", 0)],
)  # fmt: skip
def test_digits_are_counted_in_words_and_figures(language: str, text: str, digits: int) -> None:
    assert phrasebook(language).count_digits(tuple(text.split())) == digits
