"""How a task goes, step by step, and what holds whatever is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pytest

from agentd.config.hooks import ToolAction
from agentd.config.tasks import (
    CardNumberField,
    DateField,
    DigitsField,
    EmailField,
    FieldDefinition,
    Keys,
    NameField,
    NumberField,
    PhoneField,
    Task,
    YesNoField,
)
from agentd.session import task_machine
from agentd.session.reading.answer import Value
from agentd.session.reading.read import read
from agentd.session.rule_words import TASK_RULES
from agentd.session.task_machine import Step
from agentd.session.task_state import Asking, TaskState, shown

TODAY = date(2026, 11, 28)
NAME = NameField(type="name", name="caller", label="name", ask="Your name?")
PHONE = PhoneField(type="phone", name="phone", ask="Your number?", country_code="44")
DAY = DateField(type="date", name="day", ask="Which day?", when="future")
MAIL = EmailField(type="email", name="mail", label="e-mail", ask="Your e-mail?", confirm="always", optional=True)
CARD = CardNumberField(type="card_number", name="card", ask="The card?")


class Talk:
    """A task, and what is said in it."""

    def __init__(self, *fields: FieldDefinition, language: str = "en-GB", **options: Any) -> None:
        self.asking = Asking(task=Task(name="booking", fields=fields, **options), language=language, today=TODAY)
        self.step: Step = task_machine.begin(self.asking, 1, {})

    def hear(self, text: str) -> Step:
        self.step = task_machine.hear(self.asking, self.state, text)
        return self.step

    def press(self, keys: str) -> Step:
        self.step = task_machine.press(self.asking, self.state, keys)
        return self.step

    @property
    def state(self) -> TaskState:
        return self.step.state

    @property
    def values(self) -> dict[str, Any]:
        return {name: given.value for name, given in self.state.given.items()}


def test_fields_are_asked_for_in_order_until_everything_is_there() -> None:
    talk = Talk(NAME, PHONE, DAY)
    assert talk.step.say == "Your name?"
    assert talk.hear("Jane Doe").say == "Your number?"
    assert talk.hear("oh seven seven double oh nine double oh one two three").say == "Which day?"
    talk.hear("the fifth of March")
    assert talk.state.outcome == "complete"
    assert talk.values == {"caller": "Jane Doe", "phone": "+447700900123", "day": "2027-03-05"}


def test_what_the_caller_has_said_already_is_not_asked_for() -> None:
    talk = Talk(NAME, PHONE, DAY)
    step = task_machine.begin(talk.asking, 2, {"caller": "Jane Doe", "day": "gibberish"})
    assert step.say == "Your number?"
    assert set(step.state.given) == {"caller"}


def test_a_bad_answer_is_asked_again_with_its_reason_and_then_the_task_ends() -> None:
    talk = Talk(PHONE, retries_are := NAME)
    assert retries_are is NAME
    first = talk.hear("five five five")
    assert first.rule == "too_short"
    assert first.say == "There are digits missing. Your number?"
    assert talk.hear("hello").rule == "nothing"
    assert talk.hear("no idea").state.outcome == "exhausted"
    assert talk.state.failed == "phone"
    assert talk.values == {}


@pytest.mark.parametrize("then", ["stop", "end_call", "tool"])
def test_what_is_exhausted_ends_the_task(then: Any) -> None:
    talk = Talk(replace(PHONE, then=then, retries=0, tool=ToolAction(name="tell")))
    assert talk.hear("hm").state.outcome == "exhausted"


def test_what_is_exhausted_may_be_left_out() -> None:
    talk = Talk(replace(PHONE, then="skip", retries=0), NAME)
    assert talk.hear("hm").say == "Your name?"
    talk.hear("Jane Doe")
    assert talk.state.outcome == "complete"
    assert talk.values == {"caller": "Jane Doe"}


def test_the_file_s_own_words_ask_again() -> None:
    talk = Talk(replace(PHONE, retry="Once more, with the area code?"))
    assert talk.hear("five five").say == "Once more, with the area code?"


def test_a_value_that_is_not_sure_is_confirmed() -> None:
    talk = Talk(MAIL)
    assert "jane at example dot com" in talk.hear("jane at example dot com").say
    assert talk.state.outcome == ""
    talk.hear("Yes, that's right.")
    assert talk.state.outcome == "complete"
    assert talk.values == {"mail": "jane@example.com"}


def test_a_value_that_is_denied_is_asked_for_again() -> None:
    talk = Talk(MAIL)
    talk.hear("jane at example dot com")
    denied = talk.hear("No.")
    assert denied.rule == "denied"
    assert denied.say.endswith("Your e-mail?")
    assert talk.values == {}


@pytest.mark.parametrize(
    "text",
    [
        "No, it's joan at example dot com.",
        "No, joan at example dot com",
        "it's jane at, sorry, joan at example dot com",
    ],
)
def test_a_correction_takes_the_place_of_what_was_heard(text: str) -> None:
    talk = Talk(MAIL)
    talk.hear("jane at example dot com")
    assert talk.hear(text).rule == "corrected"
    assert talk.values == {"mail": "joan@example.com"}
    talk.hear("yes")
    assert talk.state.outcome == "complete"


def test_what_is_neither_yes_nor_no_is_asked_again_and_confirms_nothing() -> None:
    talk = Talk(MAIL)
    talk.hear("jane at example dot com")
    again = talk.hear("well, it is raining here")
    assert again.rule == "unclear"
    assert not again.understood
    assert "yes or no" in again.say
    assert talk.state.given["mail"].settled is False


def test_a_yes_to_something_else_is_a_correction() -> None:
    talk = Talk(replace(DAY, confirm="always"))
    talk.hear("the fifth of March")
    assert talk.hear("Yes, tomorrow.").rule == "corrected"
    assert talk.values == {"day": "2026-11-29"}


def test_saying_it_again_confirms_it() -> None:
    talk = Talk(MAIL)
    talk.hear("jane at example dot com")
    talk.hear("jane at example dot com")
    assert talk.state.outcome == "complete"


def test_a_spelled_address_needs_no_confirmation_unless_always() -> None:
    talk = Talk(replace(MAIL, confirm="when_unsure"))
    talk.hear("J A N E at gmail dot com")
    assert talk.state.outcome == "complete"


def test_going_back_asks_for_the_field_before_and_then_goes_on() -> None:
    talk = Talk(NAME, PHONE, DAY)
    talk.hear("Jane Doe")
    talk.hear("07700 900123")
    back = talk.hear("Can we go back?")
    assert back.rule == "went_back"
    assert back.say.endswith("Your number?")
    assert talk.hear("Go back, please.").say.endswith("Your name?")
    assert talk.hear("Joan Doe").say == "Your number?"
    assert talk.hear("07700 900124").say == "Which day?"
    assert talk.values == {"caller": "Joan Doe", "phone": "+447700900124"}


def test_there_is_nothing_before_the_first() -> None:
    talk = Talk(NAME)
    assert talk.hear("go back").rule == "nothing_before"
    assert talk.step.say == "Your name?"


def test_an_earlier_field_is_corrected_by_its_name() -> None:
    talk = Talk(NAME, PHONE, DAY)
    talk.hear("Jane Doe")
    talk.hear("07700 900123")
    corrected = talk.hear("No wait, my name is Joan Doe.")
    assert (corrected.rule, corrected.field, corrected.say) == ("corrected", "caller", "Which day?")
    assert talk.values["caller"] == "Joan Doe"
    assert talk.hear("sorry, change the phone").say.endswith("Your number?")


def test_what_is_optional_may_be_left_out_and_nothing_else() -> None:
    talk = Talk(NAME, MAIL)
    assert talk.hear("I'd rather not say").rule == "needed"
    talk.hear("Jane Doe")
    assert talk.hear("I don't have one.").state.outcome == "complete"
    assert talk.values == {"caller": "Jane Doe"}


def test_a_question_is_repeated_without_counting() -> None:
    talk = Talk(PHONE)
    for _ in range(5):
        assert talk.hear("Pardon?").say == "Your number?"
    assert talk.state.misses == {}


def test_the_caller_may_give_up() -> None:
    assert Talk(NAME, PHONE).hear("Forget it.").state.outcome == "given_up"


def test_all_is_read_back_and_may_be_changed() -> None:
    talk = Talk(NAME, DAY, read_back=True)
    talk.hear("Jane Doe")
    said = talk.hear("the fifth of March").say
    assert "name: Jane Doe; day: Friday, 5 March 2027" in said
    changed = talk.hear("No, the day is the sixth of March")
    assert (changed.rule, changed.field) == ("corrected", "day")
    assert "Saturday, 6 March 2027" in changed.say
    assert talk.hear("No.").say == "What should I change?"
    assert talk.hear("the name").say.endswith("Your name?")
    talk.hear("Joan Doe")
    talk.hear("Yes, that's right")
    assert talk.state.outcome == "complete"
    assert talk.values == {"caller": "Joan Doe", "day": "2027-03-06"}


def test_what_is_corrected_without_its_name_is_what_it_can_be() -> None:
    talk = Talk(NAME, DAY, read_back=True)
    talk.hear("Jane Doe")
    talk.hear("the fifth of March")
    assert talk.hear("no, tomorrow").field == "day"
    assert talk.values["day"] == "2026-11-29"


def test_a_card_number_is_read_back_by_its_end_and_is_not_in_the_journal() -> None:
    talk = Talk(replace(CARD, confirm="always"), NAME)
    said = talk.hear("4242 4242 4242 4242").say
    assert said == "I have the number ending in 4 2 4 2. Is that right?"
    talk.hear("yes")
    assert talk.values == {"card": "4242424242424242"}
    assert "4242424242424242" not in str(talk.state.as_data(talk.asking.task))
    assert shown(talk.asking.task, talk.state) == {"card": "•••• 4242"}
    restored = replace(talk.step, state=TaskState.from_data(talk.state.as_data(talk.asking.task))).state
    assert talk.asking.question(restored) == "The card?"


def test_keys_answer_and_confirm() -> None:
    pin = DigitsField(type="digits", name="pin", length=4, confirm="always", ask="The code?")
    talk = Talk(pin)
    assert talk.press("12").rule == "too_short"
    assert talk.press("1234").say == "I have 1 2 3 4. Is that right?"
    talk.press("2")
    talk.press("4321")
    talk.press("1")
    assert talk.state.outcome == "complete"
    assert talk.values == {"pin": "4321"}


def test_where_only_keys_count_words_are_no_answer() -> None:
    talk = Talk(DigitsField(type="digits", name="pin", length=4), keys=Keys(only=True))
    assert talk.hear("one two three four").rule == "keys_only"
    assert talk.values == {}


def test_yes_and_no_are_answers_where_they_are_asked_for() -> None:
    talk = Talk(YesNoField(type="yes_no", name="member", optional=True), NAME)
    assert talk.hear("No.").say == "Your name?"
    assert talk.values == {"member": False}


def test_silence_is_an_answer_that_was_missed() -> None:
    talk = Talk(PHONE)
    step = task_machine.wait(talk.asking, talk.state)
    assert step.say == "Sorry, I didn't catch that. Your number?"
    assert step.state.misses == {"phone": 1}


def test_the_model_cannot_set_what_is_not_good() -> None:
    talk = Talk(NAME, MAIL)
    step = task_machine.set_value(talk.asking, talk.state, "mail", "jane at example")
    assert step.rule == "incomplete"
    assert step.state.given == {}
    step = task_machine.set_value(talk.asking, talk.state, "mail", "jane@example.com")
    assert step.state.given["mail"].settled is False
    assert step.say == "Your name?"


def test_german() -> None:
    talk = Talk(NameField(type="name", name="kunde"), PhoneField(type="phone", name="telefon"), language="de-DE")
    assert talk.step.say == "Wie ist Ihr Name?"
    assert talk.hear("Ich heiße Jürgen Müller.").say == "Wie ist Ihre Telefonnummer?"
    assert talk.hear("zurück").say == "Gehen wir zurück. Wie ist Ihr Name?"


# Whatever is said, pressed, or wanted by the model.

SAID = (
    "Jane Doe", "07700 900123", "jane at example dot com", "yes", "no", "go back", "the fifth of March", "tomorrow",
    "skip", "hm", "what?", "no, it's Joan Doe", "five five five", "4242 4242 4242 4242", "no, my name is Bob", "four",
    "repeat that", "the phone", "", "yes but no", "never mind about it", "change the e-mail", "4111", "maybe",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_only_good_values_are_in_and_it_ends(seed: int) -> None:
    random = Random(seed)
    fields = random.sample(
        [
            NAME,
            PHONE,
            DAY,
            MAIL,
            CARD,
            NumberField(type="number", name="people", maximum=9),
            YesNoField(type="yes_no", name="ok"),
        ],
        k=random.randrange(1, 6),
    )
    fields = [
        replace(each, confirm=random.choice(["never", "when_unsure", "always"]), then=random.choice(["stop", "skip"]))
        for each in fields
    ]
    talk = Talk(*fields, read_back=random.random() < 0.5)
    for _ in range(200):
        if talk.state.outcome:
            break
        before = talk.state
        talk.step = _anything(talk, random)
        _check(talk, before)
    else:  # nothing but noise ends it
        for _ in range(1 + sum(each.retries + 1 for each in fields) * 2 + 10):
            talk.step = task_machine.wait(talk.asking, talk.state) if not talk.state.outcome else talk.step
        assert talk.state.outcome
    if talk.state.outcome == "complete":
        for each in fields:
            given = talk.state.given.get(each.name)
            assert (given is not None and given.settled) or each.name in talk.state.skipped
            assert given is not None or each.optional or each.then == "skip"


def _anything(talk: Talk, random: Random) -> Step:
    asking, state = talk.asking, talk.state
    name = random.choice(asking.task.fields).name
    return random.choice(
        [
            lambda: task_machine.hear(asking, state, random.choice(SAID)),
            lambda: task_machine.hear(asking, state, random.choice(SAID)),
            lambda: task_machine.hear(asking, state, random.choice(SAID)),
            lambda: task_machine.press(asking, state, random.choice(["1", "2", "1234", "4242424242424242", "*"])),
            lambda: task_machine.wait(asking, state),
            lambda: task_machine.set_value(asking, state, name, random.choice(SAID)),
            lambda: task_machine.confirm(asking, state, right=random.random() < 0.5),
            lambda: task_machine.go_back(asking, state, random.choice([None, name])),
            lambda: task_machine.skip(asking, state),
        ]
    )()


def _check(talk: Talk, before: TaskState) -> None:
    state, task = talk.state, talk.asking.task
    for name, given in state.given.items():
        if given.value != getattr(before.given.get(name), "value", None):
            assert not given.settled or task.field(name).confirm != "always"
            assert isinstance(read(task.field(name), _again(given.value), "en-GB", TODAY), Value), (name, given)
    assert bool(talk.step.say) or bool(state.outcome)
    assert talk.step.rule in TASK_RULES
    restored = TaskState.from_data(state.as_data(task))
    secret = {each.name for each in task.fields if isinstance(each, CardNumberField)}
    assert {n: g for n, g in state.given.items() if n not in secret} == dict(restored.given)


def _again(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
