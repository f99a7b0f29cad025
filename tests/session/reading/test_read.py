"""What callers say, and what it means: a table a type."""

from __future__ import annotations

import re
from datetime import date
from random import Random
from typing import Any

import pytest

from agentd.config.tasks import (
    AddressField,
    CardNumberField,
    ChoiceField,
    CustomField,
    DateField,
    DigitsField,
    EmailField,
    NameField,
    NumberField,
    PhoneField,
    TimeField,
    YesNoField,
)
from agentd.session.reading.answer import Unread, Value
from agentd.session.reading.figures import luhn
from agentd.session.reading.read import read, read_keys

TODAY = date(2026, 11, 28)  # a Saturday


def value(field: Any, text: str, language: str = "en-GB") -> Any:
    """The value, or the reason why there is none."""
    found = read(field, text, language, TODAY)
    return found.value if isinstance(found, Value) else found.reason


def sure(field: Any, text: str, language: str = "en-GB") -> bool:
    found = read(field, text, language, TODAY)
    assert isinstance(found, Value), found
    return found.sure


NAME = NameField(type="name", name="caller")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Jane Doe.", "Jane Doe"),
        ("My name is Jane Doe.", "Jane Doe"),
        ("It's Jane.", "Jane"),
        ("I'm Jane Doe, thanks.", "Jane Doe"),
        ("Yes, my name is Mary-Ann O'Neill.", "Mary-Ann O'Neill"),
        ("jane doe", "Jane Doe"),
        ("J A N E", "Jane"),
        ("J-A-N-E.", "Jane"),
        ("Jayne, J A Y N E", "Jayne"),
        ("Jane Smyth, spelled S M Y T H E", "Jane Smythe"),
        ("Anna, A double N A", "Anna"),
        ("D as in delta, O as in Oscar, E as in echo", "Doe"),
        ("This is Victor.", "Victor"),
        ("Mike Charlie", "Mike Charlie"),
        ("Under the name of Ludwig van Beethoven", "Ludwig van Beethoven"),
        ("What?", "nothing"),
        ("I don't want to tell you", "nothing"),
        ("Two people", "nothing"),
        ("", "nothing"),
        ("...", "nothing"),
    ],
)
def test_names(text: str, name: str) -> None:
    got = value(NAME, text)
    assert got == name or (isinstance(got, str) and got.lower() == name.lower() and got != got.lower())


EMAIL = EmailField(type="email", name="mail")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jane.doe@example.com", "jane.doe@example.com"),
        ("Jane.Doe@Example.com.", "jane.doe@example.com"),
        ("jane dot doe at example dot com", "jane.doe@example.com"),
        ("My email is jane dot doe at example dot com, thanks", "jane.doe@example.com"),
        ("It's my e-mail is jane at example dot co dot uk", "jane@example.co.uk"),
        ("J A N E at example dot com", "jane@example.com"),
        ("j as in juliet a n e at example dot com", "jane@example.com"),
        ("b as in bravo o double b at gmail dot com", "bobb@gmail.com"),
        ("bravo oscar bravo at gmail dot com", "bob@gmail.com"),
        ("jane underscore doe at example dot com", "jane_doe@example.com"),
        ("jane dash doe at my dash host dot org", "jane-doe@my-host.org"),
        ("jane doe forty two at gmail dot com", "janedoe42@gmail.com"),
        ("jane doe 1 9 8 5 at gmail.com", "janedoe1985@gmail.com"),
        ("jane plus work at example dot com", "jane+work@example.com"),
        ("mike at hotel dot com", "mike@hotel.com"),
        ("info at t dash online dot de", "info@t-online.de"),
        ("jane at example", "incomplete"),
        ("jane dot doe", "incomplete"),
        ("jane at at example dot com", "jane@example.com"),
        ("at example dot com", "incomplete"),
        ("jane dot dot doe at example dot com", "not_valid"),
        ("jane at example dot c", "not_valid"),
        ("I don't have one", "nothing"),
    ],
)
def test_email_addresses(text: str, address: str) -> None:
    assert value(EMAIL, text) == address


def test_an_email_address_is_sure_where_it_was_spelled_and_its_domain_is_no_near_miss() -> None:
    assert sure(EMAIL, "J A N E at example dot com")
    assert sure(EMAIL, "jane@gmail.com")
    assert not sure(EMAIL, "jane dot doe at gmail dot com")
    assert not sure(EMAIL, "jane@gmial.com")


PHONE = PhoneField(type="phone", name="phone", country_code="44")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("020 7946 0958", "+442079460958"),
        ("oh two oh seven nine four six oh nine five eight", "+442079460958"),
        ("zero two zero, seven nine four six, zero nine five eight", "+442079460958"),
        ("My number is oh seven seven double oh nine hundred", "too_short"),
        ("It's 07700 900123, thanks", "+447700900123"),
        ("oh double seven double oh nine double oh one two three", "+447700900123"),
        ("plus four four seven seven oh oh nine oh oh one two three", "+447700900123"),
        ("+44 7700 900 123", "+447700900123"),
        ("0044 7700 900123", "+447700900123"),
        ("twenty seventy nine forty six zero nine fifty eight", "+442079460958"),
        ("five five five", "too_short"),
        ("1234567890123456789", "too_long"),
        ("you can reach me at 07700 900123", "+447700900123"),
        ("one moment please", "nothing"),
        ("none", "nothing"),
    ],
)
def test_phone_numbers(text: str, number: str) -> None:
    assert value(PHONE, text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("555 123 4567", "+15551234567"),
        ("1 555 123 4567", "+15551234567"),
        ("five five five one two three four", "too_short"),
    ],
)
def test_phone_numbers_of_north_america(text: str, number: str) -> None:
    field = PhoneField(type="phone", name="phone", country_code="1")
    assert value(field, text) in (number, "+15551234" if number == "too_short" else number)


def test_a_phone_number_without_a_country_code_stays_as_it_was_said() -> None:
    assert value(PhoneField(type="phone", name="phone"), "0 2 0 7 9 4 6 0 9 5 8") == "02079460958"


ADDRESS = AddressField(type="address", name="address")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("22 Hill Street, London", "22 Hill Street London"),
        ("I live at twenty two Hill Street", "22 Hill Street"),
        ("My address is 5 Park Lane", "5 Park Lane"),
        ("one hundred and five Main Street", "105 Main Street"),
        ("Hill Street", "incomplete"),
        ("London", "nothing"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert value(ADDRESS, text) == address


DATE = DateField(type="date", name="day")
COMING = DateField(type="date", name="day", when="future")
BIRTH = DateField(type="date", name="day", when="past")


@pytest.mark.parametrize(
    ("field", "text", "day"),
    [
        (COMING, "today", "2026-11-28"),
        (COMING, "Tomorrow, please.", "2026-11-29"),
        (COMING, "the day after tomorrow", "2026-11-30"),
        (COMING, "in three days", "2026-12-01"),
        (COMING, "in two weeks", "2026-12-12"),
        (COMING, "on Friday", "2026-12-04"),
        (COMING, "this Monday", "2026-11-30"),
        (COMING, "next Friday", "2026-12-04"),
        (COMING, "Saturday", "2026-12-05"),
        (COMING, "the fifth of March", "2027-03-05"),
        (COMING, "March the fifth", "2027-03-05"),
        (COMING, "March 5th", "2027-03-05"),
        (COMING, "5 December", "2026-12-05"),
        (COMING, "on the twenty first of December", "2026-12-21"),
        (COMING, "the 1st of January 2027", "2027-01-01"),
        (COMING, "December thirty first", "2026-12-31"),
        (COMING, "I'd like the 3rd", "2026-12-03"),
        (COMING, "the thirtieth", "2026-11-30"),
        (COMING, "2027-02-14", "2027-02-14"),
        (COMING, "14/2/2027", "2027-02-14"),
        (COMING, "14.2.", "2027-02-14"),
        (COMING, "the thirtieth of February", "no_such_day"),
        (COMING, "29 February", "2028-02-29"),
        (COMING, "1 January 2020", "in_the_past"),
        (COMING, "yesterday", "in_the_past"),
        (DATE, "yesterday", "2026-11-27"),
        (BIRTH, "the fifth of March nineteen eighty five", "1985-03-05"),
        (BIRTH, "March 5 1985", "1985-03-05"),
        (BIRTH, "I was born on the 12th of May 2001", "2001-05-12"),
        (BIRTH, "twelfth of May two thousand and one", "2001-05-12"),
        (BIRTH, "twelfth of May twenty oh one", "2001-05-12"),
        (BIRTH, "12/5/85", "1985-05-12"),
        (BIRTH, "tomorrow", "in_the_future"),
        (BIRTH, "5 March 2090", "in_the_future"),
        (COMING, "sometime", "nothing"),
        (COMING, "I may come", "nothing"),
        (COMING, "seven", "nothing"),
    ],
)
def test_dates(field: DateField, text: str, day: str) -> None:
    assert value(field, text) == day


def test_the_month_stands_first_where_people_say_it_so() -> None:
    assert value(COMING, "3/4/2027", "en-US") == "2027-03-04"
    assert value(COMING, "3/4/2027", "en-GB") == "2027-04-03"
    assert not sure(COMING, "3/4/2027")
    assert sure(COMING, "the fifth of March")
    assert not sure(COMING, "next Friday")


TIME = TimeField(type="time", name="time")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("7:30 pm", "19:30"),
        ("7.30 p.m.", "19:30"),
        ("seven thirty in the evening", "19:30"),
        ("half past seven", "07:30"),
        ("half past seven in the evening", "19:30"),
        ("quarter to nine", "08:45"),
        ("a quarter past nine in the morning", "09:15"),
        ("ten past eight", "08:10"),
        ("twenty to eight pm", "19:40"),
        ("twenty five past eight", "08:25"),
        ("seven o'clock", "07:00"),
        ("nineteen thirty", "19:30"),
        ("19:45", "19:45"),
        ("1930", "19:30"),
        ("nine oh five", "09:05"),
        ("at seven", "07:00"),
        ("at 7 p.m.", "19:00"),
        ("twelve thirty a.m.", "00:30"),
        ("noon", "12:00"),
        ("at midnight", "00:00"),
        ("let's say eight thirty, please", "08:30"),
        ("25:00", "not_valid"),
        ("7:75", "not_valid"),
        ("soon", "nothing"),
    ],
)
def test_times(text: str, time: str) -> None:
    assert value(TIME, text) == time


def test_which_half_of_the_day_is_told_or_asked() -> None:
    assert not sure(TIME, "seven")
    assert sure(TIME, "seven pm")
    assert sure(TIME, "19:30")
    assert value(TimeField(type="time", name="time", half="afternoon"), "half past seven") == "19:30"


PEOPLE = NumberField(type="number", name="people", minimum=1, maximum=12)


@pytest.mark.parametrize(
    ("field", "text", "number"),
    [
        (PEOPLE, "four", 4),
        (PEOPLE, "We are four people.", 4),
        (PEOPLE, "a table for 6", 6),
        (PEOPLE, "twelve", 12),
        (PEOPLE, "zero", "too_small"),
        (PEOPLE, "thirteen", "too_great"),
        (PEOPLE, "two point five", "not_valid"),
        (PEOPLE, "lots", "nothing"),
        (NumberField(type="number", name="n"), "two hundred and five", 205),
        (NumberField(type="number", name="n"), "one thousand two hundred thirty four", 1234),
        (NumberField(type="number", name="n"), "twenty-one", 21),
        (NumberField(type="number", name="n"), "minus three", -3),
        (NumberField(type="number", name="n"), "a hundred", 100),
        (NumberField(type="number", name="n", integer=False), "three point one four", 3.14),
        (NumberField(type="number", name="n", integer=False), "2.5", 2.5),
    ],
)
def test_numbers(field: NumberField, text: str, number: Any) -> None:
    assert value(field, text) == number


CARD = CardNumberField(type="card_number", name="card")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4242 4242 4242 4242", "4242424242424242"),
        ("four two four two four two four two four two four two four two four two", "4242424242424242"),
        ("forty two forty two forty two forty two forty two forty two forty two forty two", "4242424242424242"),
        ("My card number is 3782 822463 10005.", "378282246310005"),
        ("4242 4242 4242 4243", "checksum"),
        ("4242 4242", "too_short"),
        ("no", "nothing"),
    ],
)
def test_card_numbers(text: str, number: str) -> None:
    assert value(CARD, text) == number


def test_only_the_end_of_a_card_number_is_read_back() -> None:
    found = read(CARD, "4242 4242 4242 4242", "en", TODAY)
    assert isinstance(found, Value)
    assert found.said == "4 2 4 2"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("one two three four", "1234"),
        ("1234", "1234"),
        ("It's oh oh seven double three", "too_long"),
        ("double oh double one", "0011"),
        ("twelve thirty four", "1234"),
        ("one two three", "too_short"),
        ("I have no idea", "nothing"),
    ],
)
def test_digits(text: str, digits: str) -> None:
    assert value(DigitsField(type="digits", name="pin", length=4), text) == digits


@pytest.mark.parametrize(
    ("text", "answer"), [("Yes please.", True), ("No, thanks", False), ("perhaps", "nothing"), ("That's right", True)]
)
def test_yes_and_no(text: str, answer: Any) -> None:
    assert value(YesNoField(type="yes_no", name="ok"), text) == answer


WINE = ChoiceField(
    type="choice", name="wine", options={"red": ("claret", "the dark one"), "white": (), "sparkling wine": ("bubbly",)}
)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Red, please.", "red"),
        ("I'd take the dark one", "red"),
        ("Bubbly!", "sparkling wine"),
        ("sparkling wine", "sparkling wine"),
        ("spark ling wine", "sparkling wine"),
        ("red or white", "incomplete"),
        ("beer", "not_offered"),
        ("well I have not made up my mind about it", "nothing"),
    ],
)
def test_choices(text: str, option: str) -> None:
    assert value(WINE, text) == option


PLATE = CustomField(type="custom", name="order", pattern=r"[A-Z]{2}\d{4}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("AB1234", "AB1234"),
        ("A B one two three four", "AB1234"),
        ("alpha bravo 1 2 double 3", "AB1233"),
        ("a as in alpha b as in bravo twelve thirty four", "AB1234"),
        ("A B 1 2 3", "not_valid"),
    ],
)
def test_custom_patterns(text: str, code: str) -> None:
    assert value(PLATE, text) == code


def test_custom_schemas() -> None:
    field = CustomField(type="custom", name="age", schema={"type": "integer", "minimum": 18})
    assert value(field, "I am forty two") == 42
    assert value(field, "twelve") == "not_valid"
    text = CustomField(type="custom", name="why", schema={"type": "string", "minLength": 8})
    assert value(text, "My tooth hurts.") == "My tooth hurts"


GERMAN_PHONE = PhoneField(type="phone", name="p", country_code="49")


@pytest.mark.parametrize(
    ("field", "text", "wanted"),
    [
        (NAME, "Mein Name ist Jürgen Müller.", "Jürgen Müller"),
        (NAME, "Ich heiße Anna, A N N A", "Anna"),
        (NAME, "Müller, M wie Martha, Ü wie Übermut, L, L, E, R", "Müller"),
        (EMAIL, "jürgen punkt müller at gmx punkt de", "juergen.mueller@gmx.de"),
        (EMAIL, "info at t minus online punkt de", "info@t-online.de"),
        (GERMAN_PHONE, "null drei null, eins zwei drei vier fünf sechs sieben", "+49301234567"),
        (GERMAN_PHONE, "030 einundzwanzig dreiundvierzig fünfundsechzig sieben", "+49302143657"),
        (ADDRESS, "Hauptstraße fünf, Berlin", "Hauptstraße 5 Berlin"),
        (COMING, "morgen", "2026-11-29"),
        (COMING, "übermorgen", "2026-11-30"),
        (COMING, "am fünften März", "2027-03-05"),
        (COMING, "am 5.3.", "2027-03-05"),
        (COMING, "am kommenden Freitag", "2026-12-04"),
        (COMING, "in zwei Wochen", "2026-12-12"),
        (COMING, "am einundzwanzigsten Dezember", "2026-12-21"),
        (BIRTH, "am 5. März neunzehnhundertfünfundachtzig", "1985-03-05"),
        (BIRTH, "zwölfter Mai zweitausendeins", "2001-05-12"),
        (TIME, "um halb acht abends", "19:30"),
        (TIME, "neunzehn Uhr dreißig", "19:30"),
        (TIME, "viertel vor neun", "08:45"),
        (TIME, "zehn nach acht", "08:10"),
        (TIME, "um 20 Uhr", "20:00"),
        (PEOPLE, "Wir sind zu viert, also vier Personen", 4),
        (NumberField(type="number", name="n"), "zweihundertfünfunddreißig", 235),
        (NumberField(type="number", name="n", integer=False), "drei Komma fünf", 3.5),
        (YesNoField(type="yes_no", name="ok"), "Ja, genau", True),
        (YesNoField(type="yes_no", name="ok"), "Das stimmt nicht", False),
        (DigitsField(type="digits", name="pin", length=4), "eins zwo doppel drei", "1233"),
    ],
)  # fmt: skip
def test_german(field: Any, text: str, wanted: Any) -> None:
    assert value(field, text, "de-DE") == wanted


def test_luhn() -> None:
    assert luhn("4242424242424242")
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert not luhn("")


def test_keys() -> None:
    assert read_keys(DigitsField(type="digits", name="pin", length=4), "1234", "en") == Value("1234", "1 2 3 4")
    assert read_keys(DigitsField(type="digits", name="pin", length=4), "12", "en") == Unread("too_short")
    assert read_keys(WINE, "2", "en") == Value("white", "white")
    assert read_keys(YesNoField(type="yes_no", name="ok"), "1", "en") == Value(True, "yes")
    assert read_keys(PEOPLE, "4", "en") == Value(4, "4")
    assert read_keys(CARD, "4242424242424242", "en") == Value("4242424242424242", "4 2 4 2")
    assert read_keys(NAME, "4", "en") == Unread("not_valid")


# Whatever is said, what comes out is good, or nothing.

SOUNDS = """jane doe at dot com example one two three double oh seventy five march friday tomorrow next half past
quarter to seven pm the of no yes wait a b c as in bravo plus dash @ . : 7:30 5/3 2027 4242 hundred thousand and
point minus red white noon 99999999999 é 東京 o'clock -"""
WORDS = SOUNDS.split()


@pytest.mark.parametrize("language", ["en-GB", "en-US", "de-DE", "ja-JP"])
def test_what_is_read_is_always_good(language: str) -> None:
    random = Random(language)
    fields = [NAME, EMAIL, PHONE, ADDRESS, DATE, COMING, BIRTH, TIME, PEOPLE, CARD, WINE, PLATE]
    found = 0
    for _ in range(400):
        text = " ".join(random.choices(WORDS, k=random.randrange(1, 9)))
        for field in fields:
            read_value = read(field, text, language, TODAY)
            if isinstance(read_value, Value):
                found += 1
                assert _is_good(field, read_value.value), (field.type, text, read_value)
                assert read_value.said
    assert found > 200


def _is_good(field: Any, got: Any) -> bool:
    match field:
        case EmailField():
            return bool(re.fullmatch(r"[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,24}", got)) and ".." not in got
        case PhoneField():
            return bool(re.fullmatch(r"\+\d{8,15}", got))
        case DateField():
            day = date.fromisoformat(got)
            return (field.when != "future" or day >= TODAY) and (field.when != "past" or day <= TODAY)
        case TimeField():
            return bool(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", got))
        case NumberField():
            return isinstance(got, int) and 1 <= got <= 12
        case CardNumberField():
            return luhn(got) and 13 <= len(got) <= 19
        case ChoiceField():
            return got in field.options
        case CustomField():
            return bool(re.fullmatch(field.pattern or "", got))
        case _:
            return bool(got.strip())
