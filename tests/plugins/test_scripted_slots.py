"""Slots and templates: what people say, as recognisers write it."""

from __future__ import annotations

import pytest
from agentd_scripted.slots import PARSERS, find
from agentd_scripted.templates import TemplateInvalid, parse
from agentd_scripted.words import trimmed, words


def value(kind: str, sentence: str) -> object:
    """The first reading of the whole sentence as a slot that was asked for."""
    said = words(sentence)
    return next((found for end, found in PARSERS[kind](said, 0, True) if end == len(said)), None)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("2", 2), ("two", 2), ("Two.", 2), ("twenty-one", 21), ("twenty one", 21), ("a hundred and five", 105),
        ("1,250", 1250), ("two thousand", 2000), ("a couple of", 2), ("a dozen", 12), ("to", 2), ("too", 2), ("for", 4),
        ("zero", 0), ("fifteen", 15), ("banana", None), ("", None), ("twenty fifty", None),
    ],
)  # fmt: skip
def test_numbers(sentence: str, expected: int | None) -> None:
    assert value("number", sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("oh seven one", "071"), ("071", "071"), ("07 1", "071"), ("zero seven one double two", "07122"),
        ("triple five", "555"), ("0-7-1", "071"), ("O seven, one", "071"), ("seventy one", "71"),
        ("555 1234", "5551234"), ("five", "5"), ("hello", None), ("double", None),
    ],
)  # fmt: skip
def test_digits(sentence: str, expected: str | None) -> None:
    assert value("digits", sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("seven thirty", "7:30"), ("7:30", "7:30"), ("7.30", "7:30"), ("730", "7:30"), ("7:30 p.m.", "7:30 pm"),
        ("7:30pm", "7:30 pm"), ("7.30 P.M.", "7:30 pm"), ("half past seven", "7:30"), ("Half past 7.", "7:30"),
        ("half seven", "7:30"), ("quarter to eight", "7:45"), ("a quarter past six", "6:15"), ("ten past six", "6:10"),
        ("twenty-five to nine", "8:35"), ("twenty minutes to one", "12:40"), ("seven", "7:00"), ("7", "7:00"),
        ("seven o'clock", "7:00"), ("7 o\u2019clock in the evening", "7:00 pm"), ("at seven", "7:00"),
        ("around eight", "8:00"), ("seven in the morning", "7:00 am"), ("19:30", "7:30 pm"), ("1930", "7:30 pm"),
        ("nineteen thirty", "7:30 pm"), ("noon", "12:00 pm"), ("midnight", "12:00 am"), ("0:15", "12:15 am"),
        ("seven oh five", "7:05"), ("seven p m", "7:00 pm"), ("eight at night", "8:00 pm"), ("12 p.m.", "12:00 pm"),
        ("25:30", None), ("7:75", None), ("banana", None), ("half", None),
    ],
)  # fmt: skip
def test_times(sentence: str, expected: str | None) -> None:
    assert value("time", sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("tomorrow", "tomorrow"), ("Tomorrow.", "tomorrow"), ("today", "today"), ("tonight", "today"),
        ("the day after tomorrow", "the day after tomorrow"), ("Friday", "Friday"), ("on Friday", "Friday"),
        ("Fridays", "Friday"), ("next Friday", "next Friday"), ("this Saturday", "Saturday"),
        ("the fifth of March", "5 March"), ("5th of March", "5 March"), ("March 5th", "5 March"),
        ("March the fifth", "5 March"), ("March 5", "5 March"), ("5 March", "5 March"),
        ("the twenty-first", "the 21st"),
        ("the 3rd", "the 3rd"), ("Friday the 5th", "Friday the 5th"), ("Friday, March 5th", "Friday 5 March"),
        ("in three days", "in 3 days"), ("in a week", "in 1 week"), ("2026-03-05", "2026-03-05"),
        ("the thirty second of May", None), ("someday", None), ("five", None), ("march", None),
    ],
)  # fmt: skip
def test_dates(sentence: str, expected: str | None) -> None:
    assert value("date", sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Anna", "Anna"), ("My name is Anna.", "Anna"), ("my name's anna smith", "Anna Smith"), ("It's Anna.", "Anna"),
        ("I'm Anna Maria Smith", "Anna Maria Smith"), ("A-N-N-A", "Anna"), ("under the name of Miller", "Miller"),
        ("call me Joe", "Joe"), ("What?", None), ("repeat that", None), ("for two people", None), ("7", None),
        ("I don't know", None), ("yes", None),
    ],
)  # fmt: skip
def test_names(sentence: str, expected: str | None) -> None:
    assert value("name", sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a table for two tomorrow at seven thirty", {"people": 2, "day": "tomorrow", "time": "7:30"}),
        ("for two people on Friday, half past seven p.m.", {"people": 2, "day": "Friday", "time": "7:30 pm"}),
        ("tomorrow at 8 for 4", {"people": 4, "day": "tomorrow", "time": "8:00"}),
        ("on the 5th of March we are six", {"people": 6, "day": "5 March"}),
        ("I would like one table please", {}),
        ("for one person at noon", {"people": 1, "time": "12:00 pm"}),
        ("I want to go to the party", {}),
        ("five past nine tomorrow", {"day": "tomorrow", "time": "9:05"}),
        ("nothing at all", {}),
    ],
)
def test_slots_are_found_anywhere_in_a_sentence(sentence: str, expected: dict[str, object]) -> None:
    found, _ = find(words(sentence), {"people": "number", "day": "date", "time": "time"})
    assert found == expected


@pytest.mark.parametrize(
    ("template", "sentence", "slots"),
    [
        ("yes [please]", "Yes, please.", {}),
        ("yes [please]", "yes", {}),
        ("(yes|yeah) that is right", "Yeah, that's right!", {}),
        ("i would like *", "I'd like a table", {}),
        ("[a table] for {people:number} [people]", "a table for two people", {"people": 2}),
        ("[a table] for {people:number} [people]", "um, for uh two", {"people": 2}),
        ("for {number}", "for 12", {"number": 12}),
        ("[on] {day:date} [at] {time:time}", "on Friday at half past seven", {"day": "Friday", "time": "7:30"}),
        ("* my number is {phone:digits} *", "well my number is oh seven one", {"phone": "071"}),
        ("write {note:text} down", "write milk and honey down", {"note": "milk and honey"}),
        ("[no|sorry] not {a:name} but {b:name}", "sorry, not Anna but Hannah", {"a": "Anna", "b": "Hannah"}),
        ("(call (me|us)|ring [me]) back", "ring back", {}),
    ],
)
def test_templates_match_whole_sentences(template: str, sentence: str, slots: dict[str, object]) -> None:
    match = parse(template).match_whole(words(sentence))
    assert match is not None
    assert match.slots == slots


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("yes", "no"),
        ("yes", "yes and no"),
        ("for {people:number}", "for nobody"),
        ("(a|b) c", "c"),
        ("i know", "I don't know"),
        ("{name:name}", "what"),
    ],
)
def test_templates_refuse_other_sentences(template: str, sentence: str) -> None:
    assert parse(template).match_whole(words(sentence)) is None


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("[never closed", "is never closed"),
        ("(a|b", "is never closed"),
        ("closed] again", "closes nothing"),
        ("a | b", "out of place"),
        ("{people:nmber}", "no known type"),
        ("{}", "wants a name"),
        ("for {two words:number}", "wants a name"),
        ("", "empty"),
    ],
)
def test_malformed_templates_are_refused_with_the_reason(template: str, complaint: str) -> None:
    with pytest.raises(TemplateInvalid, match=complaint):
        parse(template)


def test_a_long_sentence_and_a_nasty_template_end_soon() -> None:
    said = words("a " * 5000)
    assert len(said) <= 120
    assert parse("* [a] * [a] * [a] * [a] * b").match_whole(said) is None


def test_politeness_is_trimmed_but_never_everything() -> None:
    assert [word.text for word in trimmed(words("Well, okay, two people then, thank you"))] == ["two", "people"]
    assert [word.text for word in trimmed(words("Hello"))] == ["hello"]
