"""The course of a task: what the caller says, presses or leaves unsaid, and what the model wants, one step at a time.

Pure. A value enters through `read` alone, so that none is taken that is not good, whoever brings it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentd.config.tasks import (
    AddressField,
    CardNumberField,
    CustomField,
    DigitsField,
    FieldDefinition,
    NameField,
    YesNoField,
)
from agentd.session.affirmation import affirmation, says_more
from agentd.session.reading.answer import Read, Reason, Unread, Value
from agentd.session.reading.lexicon import Phrases
from agentd.session.reading.numerals import only_digits
from agentd.session.reading.read import read, read_keys
from agentd.session.reading.tokens import texts, tokens, trimmed, words
from agentd.session.task_state import Asking, Given, Outcome, TaskState
from agentd.session.words import bare_words

_OPEN = (NameField, AddressField, CustomField)  # types that many words fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`say`: what the caller is told and asked now. `rule`: why. `field`: which it was about. `understood` False: the
    words were no answer; the caller may have asked something themselves."""

    state: TaskState
    say: str
    rule: str
    field: str = ""
    understood: bool = True


def begin(asking: Asking, run: int, known: Mapping[str, str], ask: str = "") -> Step:
    """`known`: what the caller had said before, by field; what cannot be read of it is asked for."""
    state = TaskState(task=asking.task.name, run=run, ask=ask)
    for wanted in asking.task.fields:
        found = read(wanted, known[wanted.name], asking.language, asking.today) if wanted.name in known else None
        if isinstance(found, Value):
            state = state.with_given(wanted.name, _given(wanted, found))
    return _onward(asking, state, "begun")


def hear(asking: Asking, state: TaskState, text: str) -> Step:
    """The caller said this."""
    if asking.task.keys.only:
        return _missed(asking, state, "keys_only", understood=True)
    command = _command(asking, state, text)
    if command is not None:
        return command
    stage, wanted = asking.stage(state)
    if stage == "ask" and wanted is not None:
        return _answered(asking, state, wanted, text)
    if stage == "confirm" and wanted is not None:
        return _confirmed(asking, state, wanted, text)
    if stage == "read_back":
        return _read_back(asking, state, text)
    return Step(state=state, say="", rule="over", understood=False)


def press(asking: Asking, state: TaskState, keys: str) -> Step:
    """The caller pressed these. A confirmation takes 1 for yes and 2 for no."""
    stage, wanted = asking.stage(state)
    if stage == "ask" and wanted is not None:
        return _taken(asking, state, wanted, read_keys(wanted, keys, asking.language), "keys")
    if stage in ("confirm", "read_back") and keys in ("1", "2"):
        return confirm(asking, state, right=keys == "1")
    return _missed(asking, state, "not_valid", understood=True)


def wait(asking: Asking, state: TaskState) -> Step:
    """Nothing came for too long."""
    return _missed(asking, state, "nothing", understood=True)


def set_value(asking: Asking, state: TaskState, name: str, text: str) -> Step:
    """The model has found this in the caller's words. Raises KeyError for no field of the task."""
    wanted = asking.task.field(name)
    found = read(wanted, text, asking.language, asking.today)
    if isinstance(found, Unread):
        why = asking.lexicon.why[found.reason]
        return Step(state=state, say=_said(why, asking.question(state)), rule=found.reason, field=name)
    return _onward(asking, state.with_given(name, _given(wanted, found)), "value", name)


def confirm(asking: Asking, state: TaskState, *, right: bool) -> Step:
    """The caller said that what they were asked about is right, or not."""
    stage, wanted = asking.stage(state)
    if stage == "confirm" and wanted is not None:
        return _agreed(asking, state, wanted) if right else _denied(asking, state, wanted)
    if stage == "read_back":
        if right:
            return _onward(asking, replace(state, agreed=True), "confirmed")
        return _missed_reading_back(asking, state, asking.lexicon.say["which"], "denied", understood=True)
    return Step(state=state, say=asking.question(state), rule="nothing_to_confirm")


def go_back(asking: Asking, state: TaskState, name: str | None = None) -> Step:
    """To a field, or to the one before; what was given for it is forgotten. Raises KeyError for no field."""
    order = [each.name for each in asking.task.fields]
    stage, wanted = asking.stage(state)
    if name is None and stage == "confirm" and wanted is not None:
        name = wanted.name
    elif name is None:
        here = order.index(wanted.name) if wanted is not None else len(order)
        before = [each for each in order[:here] if each in state.given or each in state.skipped]
        name = before[-1] if before else None
    else:
        asking.task.field(name)
    if name is None:
        return Step(state=state, say=asking.question(state), rule="nothing_before")
    state = state.without(name).without_misses(name)
    return Step(
        state=state, say=_said(asking.lexicon.say["back"], asking.question(state)), rule="went_back", field=name
    )


def skip(asking: Asking, state: TaskState) -> Step:
    """The caller does not want to say, or has none."""
    stage, wanted = asking.stage(state)
    if wanted is None or stage != "ask":
        return Step(state=state, say=asking.question(state), rule="nothing_to_skip")
    if not wanted.optional:
        return _missed(asking, state, "nothing", understood=True, why=asking.lexicon.say["needed"], rule="needed")
    return _onward(asking, replace(state, skipped=state.skipped | {wanted.name}), "skipped", wanted.name)


def give_up(asking: Asking, state: TaskState) -> Step:
    """The caller wants no more of it."""
    return _over(asking, state, "given_up", "given_up")


# What the caller may say at any time.


def _command(asking: Asking, state: TaskState, text: str) -> Step | None:
    lexicon = asking.lexicon
    said = {bare_words(text), texts(words(trimmed(tokens(text), lexicon)))}

    def is_one(phrases: Phrases) -> bool:
        return bool(said & phrases)

    if is_one(lexicon.back):
        return go_back(asking, state)
    if is_one(lexicon.repeat):
        return Step(state=state, say=asking.question(state), rule="repeated")
    if is_one(lexicon.give_up):
        return give_up(asking, state)
    stage, wanted = asking.stage(state)
    takes_no = isinstance(wanted, YesNoField) and affirmation(text, asking.language) != "unclear"
    if stage == "ask" and is_one(lexicon.skip) and not takes_no:
        return skip(asking, state)
    return None


def _other_field(asking: Asking, state: TaskState, text: str) -> Step | None:
    """ "no, my name is Jane": a correction of something that was given before."""
    said = bare_words(text)
    if not any(said[: len(phrase)] == phrase for phrase in asking.lexicon.corrections):
        return None
    _, here = asking.stage(state)
    for wanted in asking.task.fields:
        if wanted is here or wanted.name not in state.given:
            continue
        rest = _after_label(asking, wanted, text)
        if rest is None:
            continue
        found = read(wanted, rest, asking.language, asking.today)
        if isinstance(found, Value):
            return _onward(asking, state.with_given(wanted.name, _given(wanted, found)), "corrected", wanted.name)
        return go_back(asking, state, wanted.name)
    return None


def _after_label(asking: Asking, wanted: FieldDefinition, text: str) -> str | None:
    """What follows the field's name in the text; None where it is not named."""
    for label in (asking.label(wanted), asking.lexicon.labels[wanted.type]):
        for start in range(len(text)):
            if text[start:].casefold().startswith(label.casefold()) and not text[start - 1 : start].isalnum():
                rest = text[start + len(label) :]
                if not rest[:1].isalnum():
                    return rest
    return None


def _after_correction(asking: Asking, text: str) -> str | None:
    """What follows the last words that take something back: "jane at, no, joan at example dot com"."""
    said = tokens(text)
    best = None
    for at in range(len(said)):
        for phrase in asking.lexicon.corrections:
            end = at + len(phrase)
            if texts(said[at:end]) == phrase and end < len(said):
                best = max(best or 0, end)
    if best is None:
        return None
    return "".join(("" if token.glued else " ") + token.written for token in said[best:]).strip()


# The stages.


def _answered(asking: Asking, state: TaskState, wanted: FieldDefinition, text: str) -> Step:
    other = _other_field(asking, state, text)
    if other is not None:
        return other
    found = _read_corrected(asking, wanted, text)
    if isinstance(wanted, CardNumberField | DigitsField) and isinstance(found, Unread):
        return _in_pieces(asking, state, wanted, text, found)
    return _taken(asking, state, wanted, found, "value")


def _in_pieces(asking: Asking, state: TaskState, wanted: FieldDefinition, text: str, found: Unread) -> Step:
    """A long number is said in groups, with pauses in which turns end."""
    digits, beside = only_digits(tokens(text), asking.lexicon)
    so_far = state.partial + digits
    whole = read(wanted, so_far, asking.language, asking.today)
    if isinstance(whole, Value):
        return _taken(asking, replace(state, partial=""), wanted, whole, "value")
    if whole == Unread("too_short") and digits and beside <= len(digits):
        more = asking.lexicon.say["go_on"]
        return Step(state=replace(state, partial=so_far), say=more, rule="partial", field=wanted.name)
    failed = found if whole == Unread("too_short") or not state.partial else whole
    return _taken(asking, replace(state, partial=""), wanted, failed, "value")


def _read_corrected(asking: Asking, wanted: FieldDefinition, text: str) -> Read:
    """What stands after a correction goes before the whole."""
    tail = None if isinstance(wanted, YesNoField) else _after_correction(asking, text)
    corrected = read(wanted, tail, asking.language, asking.today) if tail else None
    return corrected if isinstance(corrected, Value) else read(wanted, text, asking.language, asking.today)


def _taken(asking: Asking, state: TaskState, wanted: FieldDefinition, found: Read, rule: str) -> Step:
    if isinstance(found, Value):
        return _onward(asking, state.with_given(wanted.name, _given(wanted, found)), rule, wanted.name)
    return _missed(asking, state, found.reason, understood=found.reason != "nothing" or rule == "keys")


def _confirmed(asking: Asking, state: TaskState, wanted: FieldDefinition, text: str) -> Step:
    answer = affirmation(text, asking.language)
    more = says_more(text, asking.language) and not isinstance(wanted, YesNoField)
    if answer == "yes" and not (more and not isinstance(wanted, _OPEN)):
        return _agreed(asking, state, wanted)
    other = _other_field(asking, state, text)
    if other is not None:
        return other
    if more and (answer == "no" or not isinstance(wanted, _OPEN)):
        found = _read_corrected(asking, wanted, text)
        if isinstance(found, Value):
            if found.value == state.given[wanted.name].value and answer != "no":
                return _agreed(asking, state, wanted)  # they say it again
            if found.value != state.given[wanted.name].value:
                return _onward(asking, state.with_given(wanted.name, _given(wanted, found)), "corrected", wanted.name)
    if answer == "yes":
        return _agreed(asking, state, wanted)
    if answer == "no":
        return _denied(asking, state, wanted)
    again = asking.lexicon.say["confirm_again"].format(value=asking.read_out(state, wanted))
    return _missed(asking, state, "nothing", understood=False, why=again, rule="unclear", ask=False)


def _agreed(asking: Asking, state: TaskState, wanted: FieldDefinition) -> Step:
    settled = replace(state.given[wanted.name], settled=True)
    state = replace(state.without_misses(wanted.name), given={**state.given, wanted.name: settled})
    return _onward(asking, state, "confirmed", wanted.name)


def _denied(asking: Asking, state: TaskState, wanted: FieldDefinition) -> Step:
    state = state.without(wanted.name)
    return _missed(asking, state, "nothing", understood=True, why=asking.lexicon.say["denied"], rule="denied")


def _read_back(asking: Asking, state: TaskState, text: str) -> Step:
    answer = affirmation(text, asking.language)
    if answer == "yes":
        return confirm(asking, state, right=True)
    for wanted in asking.task.fields:
        rest = _after_label(asking, wanted, text)
        if rest is None:
            continue
        found = _read_corrected(asking, wanted, rest)
        if isinstance(found, Value):
            return _onward(asking, state.with_given(wanted.name, _given(wanted, found)), "corrected", wanted.name)
        return go_back(asking, state, wanted.name)
    corrected = _without_label(asking, state, text)
    if corrected is not None:
        return corrected
    says = asking.lexicon.say
    if answer == "no":
        return _missed_reading_back(asking, state, says["which"], "denied", understood=True)
    return _missed_reading_back(asking, state, says["read_back_again"], "unclear", understood=False)


def _without_label(asking: Asking, state: TaskState, text: str) -> Step | None:
    """ "no, at eight": the only field that this can be."""
    found: list[tuple[FieldDefinition, Value]] = []
    for wanted in asking.task.fields:
        if isinstance(wanted, (*_OPEN, YesNoField)):
            continue
        value = _read_corrected(asking, wanted, text)
        given = state.given.get(wanted.name)
        if isinstance(value, Value) and (given is None or given.value != value.value):
            found.append((wanted, value))
    if len(found) != 1:
        return None
    wanted, value = found[0]
    return _onward(asking, state.with_given(wanted.name, _given(wanted, value)), "corrected", wanted.name)


# What follows.


def _given(wanted: FieldDefinition, found: Value) -> Given:
    asks = wanted.confirm == "always" or (wanted.confirm == "when_unsure" and not found.sure)
    return Given(found.value, found.said, settled=not asks)


def _onward(asking: Asking, state: TaskState, rule: str, field: str = "") -> Step:
    """To the next question, or to the end."""
    stage, _ = asking.stage(state)
    if stage == "over" and not state.outcome:
        return _over(asking, state, "complete", rule, field)
    return Step(state=state, say=asking.question(state), rule=rule, field=field)


def _missed(
    asking: Asking,
    state: TaskState,
    reason: Reason,
    *,
    understood: bool,
    why: str = "",
    rule: str = "",
    ask: bool = True,
) -> Step:
    """No answer: it is asked again, as often as the field allows. `why`: instead of the reason's own words."""
    stage, wanted = asking.stage(state)
    if wanted is None:
        again = asking.lexicon.say["read_back_again"]
        return _missed_reading_back(asking, state, again, rule or reason, understood=understood)
    state = state.with_miss(wanted.name)
    if state.misses[wanted.name] > wanted.retries:
        if wanted.then == "skip":
            left_out = replace(state.without(wanted.name), skipped=state.skipped | {wanted.name})
            return _onward(asking, left_out, "exhausted", wanted.name)
        over = _over(asking, replace(state, failed=wanted.name), "exhausted", rule or reason, wanted.name)
        return replace(over, understood=understood)
    asked = wanted.retry if stage == "ask" and wanted.retry else None
    question = (asking.render(asked) if asked else asking.question(state)) if ask else ""
    words_of_it = question if asked and not why else _said(why or asking.lexicon.why[reason], question)
    return Step(state=state, say=words_of_it, rule=rule or reason, field=wanted.name, understood=understood)


def _missed_reading_back(asking: Asking, state: TaskState, say: str, rule: str, *, understood: bool) -> Step:
    state = state.with_miss("")
    if state.misses[""] > max(each.retries for each in asking.task.fields):
        return replace(_over(asking, state, "exhausted", rule), understood=understood)
    return Step(state=state, say=say, rule=rule, understood=understood)


def _over(asking: Asking, state: TaskState, outcome: Outcome, rule: str, field: str = "") -> Step:
    return Step(state=replace(state, outcome=outcome), say="", rule=rule, field=field)


def _said(*parts: str) -> str:
    return " ".join(part for part in parts if part)
