"""How long to wait in silence before the caller's turn counts as ended. Pure.

Silence alone is a poor sign: people pause in the middle of a number and after "and". So the words, what the agent had
asked, the caller's own pauses and, if there is one, a turn detector's opinion say how long the silence must be. There
are three answers: `min_delay` where nothing speaks against the end, `max_delay` where more must come, and
`unsure_delay` between them where only one sign speaks against it, or a weak one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal

from agentd.config.turns import Endpointing, EndpointingRule
from agentd.session.phrasebook import DictatedNumber, Phrasebook, Phrases
from agentd.session.words import bare_words

PAUSE_WEIGHT = 0.9
"""Of the earlier pauses in the exponential mean of `mode: dynamic`; livekit-agents 1.8.9's alpha."""

COMPLETE = 0.5
"""Probability from which a turn detector's answer means "complete": Smart Turn's own threshold."""

SURE = 0.95
"""Probability from which it outweighs a weak sign in the words: finished sentences mostly reach it."""

LONGEST_PHRASE = 5

UNSURE_S = 1.4
"""`unsure_delay` where the file says none: longer than nine of ten pauses between the groups of a dictated number, and
than most of those in which a speaker looks for a word."""

SPELLED = 3
"""Digits in one figure from which it was dictated: "941"; fewer are an amount, or an hour."""

_NO_DICTATION = re.compile(r"(?:\b\d{1,2}[:h]\d{2}|(?<!\d )(?<![\d.,-])\b(?:19|20)\d{2})\W*$")
"""An hour, or a year that no other figure stands before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`seconds` of silence; `rule`: why; `value`: the configuration behind it."""

    seconds: float
    rule: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The turn so far. `asked`: the agent's last words. `probability`: a turn detector's, that the turn is complete.
    `pause_s`: the mean of the caller's pauses within turns, if any were heard. `punctuated`: the recogniser sets full
    stops, and these words are final."""

    text: str
    asked: str = ""
    probability: float | None = None
    pause_s: float | None = None
    punctuated: bool = False


def delay(heard: Heard, endpointing: Endpointing, book: Phrasebook) -> Wait:
    """The silence after which this turn is over: from `min_delay` to `max_delay`."""
    words = bare_words(heard.text)
    matching = next(_matching(heard.asked, endpointing, book), None)
    if matching is not None and (wait := _dictated(words, *matching, endpointing, book)) is not None:
        return wait
    sign = _sign(heard, words, endpointing, book, known=matching is not None)
    if sign in ("unfinished", "digits_missing"):
        return _longest(endpointing, sign)
    if sign == "digits_open":
        return _unsure(heard, endpointing, sign)
    if heard.probability is not None and heard.probability < COMPLETE:
        alone = _ends_in_a_stop(heard.text) and sign != "open_ended"
        return _unsure(heard, endpointing, "turn_detector_alone") if alone else _longest(endpointing, "turn_detector")
    if sign == "open_ended" and matching is None and (heard.probability is None or heard.probability < SURE):
        return _unsure(heard, endpointing, sign)
    if matching is not None and matching[1].min_delay is not None:
        index, rule = matching
        value = f"turn.endpointing.rules[{index}].min_delay={rule.min_delay}"
        return Wait(seconds=max(endpointing.min_delay, matching[1].min_delay), rule="asked", value=value)
    return _plain(heard, endpointing)


Sign = Literal["", "unfinished", "digits_missing", "digits_open", "open_ended"]


def _sign(heard: Heard, words: tuple[str, ...], endpointing: Endpointing, book: Phrasebook, *, known: bool) -> Sign:
    """What in the words speaks against the end. `known`: a rule of the file says what was asked."""
    if not endpointing.transcript:
        return ""
    if is_unfinished(heard.text, book):
        return "unfinished"
    if not known and digits_missing(heard, words, book):
        return "digits_missing"
    if not known and is_dictated(heard, words, book):
        return "digits_open"
    return "open_ended" if is_open(heard, words, book) else ""


def by_provider(endpointing: Endpointing, *, ended: bool) -> Wait:
    """Where the recogniser says when a turn is over: at once then, and at the latest after `max_delay`."""
    if ended:
        return Wait(seconds=endpointing.min_delay, rule="provider_end_of_turn", value="turn.detection=stt")
    value = f"turn.endpointing.max_delay={endpointing.max_delay}"
    return Wait(seconds=endpointing.max_delay, rule="max_delay", value=value)


def next_pause(mean_s: float | None, pause_s: float, endpointing: Endpointing) -> float:
    """The mean of the caller's pauses after one more, kept between the two delays."""
    before = endpointing.min_delay if mean_s is None else mean_s
    mean = PAUSE_WEIGHT * before + (1 - PAUSE_WEIGHT) * pause_s
    return min(max(mean, endpointing.min_delay), endpointing.max_delay)


def is_unfinished(text: str, book: Phrasebook) -> bool:
    """The words ask for more: they trail off, or end in "and", "my number is", "let me see". Questions do not, but for
    what not even a question ends in: recognisers hear one in the voice that is held up."""
    words = bare_words(text)
    if not words:
        return False
    if _is_question(text):
        return _ends_in(words, book.never_last)
    if text.rstrip().endswith(("...", "…", ",", "-", "–", "—")):
        return bool(book.dangling)
    if len(words) > 1 and book.is_digits(words[-1]) and book.is_digits(words[-2]):
        return False  # "un" is an article and a number
    return _ends_in(words, book.dangling, book.finished)


def is_open(heard: Heard, words: tuple[str, ...], book: Phrasebook) -> bool:
    """The words may go on: they end in one that mostly does, or without the full stop that their recogniser sets."""
    if not words or _is_question(heard.text):
        return False
    if heard.punctuated and not _ends_in_a_stop(heard.text):
        return True
    return _ends_in(words, book.open_ended, book.finished)


def is_dictated(heard: Heard, words: tuple[str, ...], book: Phrasebook) -> bool:
    """The words end in digits that were spoken one by one, and nobody knows how many there are: "0 7 7", "oh two",
    "941"; not in an amount, an hour or a year ("twenty five", "for 4", "seven thirty", "10:30", "in 1984")."""
    if _NO_DICTATION.search(heard.text) or any(book.asked(heard.asked, kind) for kind in ("time", "date")):
        return False
    digits = tuple(reversed(list(takewhile(lambda w: book.is_digits(w) or w in book.repeats, reversed(words)))))
    number = _number(heard, book)
    if number is not None and number.complete is not None and book.count_digits(words) >= number.complete:
        return False
    pairs = pairwise((*digits, ""))
    spoken = sum(not (word in book.tens and after in book.units) for word, after in pairs)  # "twenty five" is one
    if spoken == 2 and digits[-1] in book.tens:
        return False
    if spoken != 1 or not digits[-1].isdecimal():
        return spoken > 1
    alone = len(words) == 1 and heard.punctuated and not _ends_in_a_stop(heard.text)
    return len(digits[-1]) >= (SPELLED - 1 if alone else SPELLED)


def _ends_in(words: tuple[str, ...], phrases: Phrases, but: Phrases = frozenset()) -> bool:
    """The longest phrase of either kind that the words end in is of `phrases`."""
    for length in range(min(LONGEST_PHRASE, len(words)), 0, -1):
        tail = words[-length:]
        if tail in but:
            return False
        if tail in phrases:
            return True
    return False


def _is_question(text: str) -> bool:
    return text.rstrip().endswith(("?", "？"))


def _ends_in_a_stop(text: str) -> bool:
    return text.rstrip().rstrip("\"'”’»)").endswith((".", "!", "?", "。", "！", "？"))


def digits_missing(heard: Heard, words: tuple[str, ...], book: Phrasebook) -> bool:
    """A number is being dictated that has fewer digits than its kind has."""
    number = _number(heard, book) if _is_dictating(words, book) else None
    return number is not None and book.count_digits(words) < number.digits


def _number(heard: Heard, book: Phrasebook) -> DictatedNumber | None:
    """The kind of number that the agent asked for, or that the caller announced: of several the one that is called by
    more words, "order number is" before "number is"."""
    named = [(match, n) for n in book.numbers if (match := n.asks.search(heard.asked) or n.says.search(heard.text))]
    return max(named, key=lambda each: len(each[0].group()), default=(None, None))[1]


def _is_dictating(words: tuple[str, ...], book: Phrasebook) -> bool:
    """The words end in digits; "one" alone at the end of others is none."""
    if not words or not book.is_digits(words[-1]):
        return False
    before = words[-2] if len(words) > 1 else ""
    return len(words) == 1 or words[-1].isdecimal() or book.is_digits(before) or before in book.repeats


def _matching(asked: str, endpointing: Endpointing, book: Phrasebook) -> Iterator[tuple[int, EndpointingRule]]:
    for index, rule in enumerate(endpointing.rules):
        if asked and book.asked(asked, rule.when_agent):
            yield index, rule


def _dictated(
    words: tuple[str, ...], index: int, rule: EndpointingRule, endpointing: Endpointing, book: Phrasebook
) -> Wait | None:
    """Where a rule says how many digits there are: the last one ends the turn, and before it there is time."""
    count = book.count_digits(words)
    if rule.digits is None or not count:
        return None
    value = f"turn.endpointing.rules[{index}].digits={rule.digits}"
    if count >= rule.digits:
        return Wait(seconds=endpointing.min_delay, rule="slot_filled", value=value)
    if not _is_dictating(words, book):
        return None
    return Wait(seconds=max(endpointing.min_delay, endpointing.max_delay), rule="digits_missing", value=value)


def _longest(endpointing: Endpointing, rule: str) -> Wait:
    value = f"turn.endpointing.max_delay={endpointing.max_delay}"
    return Wait(seconds=max(endpointing.min_delay, endpointing.max_delay), rule=rule, value=value)


def _unsure(heard: Heard, endpointing: Endpointing, rule: str) -> Wait:
    """Between the two delays, and never less than what this caller takes anyway."""
    given = UNSURE_S if endpointing.unsure_delay is None else endpointing.unsure_delay
    seconds = max(_plain(heard, endpointing).seconds, min(given, endpointing.max_delay))
    return Wait(seconds=seconds, rule=rule, value=f"turn.endpointing.unsure_delay={given}")


def _plain(heard: Heard, endpointing: Endpointing) -> Wait:
    if endpointing.mode == "dynamic" and heard.pause_s is not None and not _is_question(heard.text):
        seconds = max(endpointing.min_delay, heard.pause_s)
        return Wait(seconds=seconds, rule="dynamic", value="turn.endpointing.mode=dynamic")
    value = f"turn.endpointing.min_delay={endpointing.min_delay}"
    return Wait(seconds=endpointing.min_delay, rule="silence", value=value)
