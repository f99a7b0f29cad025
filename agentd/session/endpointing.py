"""How long to wait in silence before the caller's turn counts as ended. Pure.

Silence alone is a poor sign: people pause in the middle of a number and after "and". So the words, what the agent had
asked, the caller's own pauses and, if there is one, a turn detector's opinion say how long the silence must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentd.config.turns import Endpointing, EndpointingRule
from agentd.session.phrasebook import Phrasebook
from agentd.session.words import bare_words

PAUSE_WEIGHT = 0.9
"""Of the earlier pauses in the exponential mean of `mode: dynamic`; livekit-agents 1.8.9's alpha."""

COMPLETE = 0.5
"""Probability from which a turn detector's answer means "complete": Smart Turn's own threshold."""

LONGEST_PHRASE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`seconds` of silence; `rule`: why; `value`: the configuration behind it."""

    seconds: float
    rule: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The turn so far. `asked`: the agent's last words. `probability`: a turn detector's, that the turn is complete.
    `pause_s`: the mean of the caller's pauses within turns, if any were heard."""

    text: str
    asked: str = ""
    probability: float | None = None
    pause_s: float | None = None


def delay(heard: Heard, endpointing: Endpointing, book: Phrasebook) -> Wait:
    """The silence after which this turn is over: from `min_delay` to `max_delay`."""
    words = bare_words(heard.text)
    matching = next(_matching(heard.asked, endpointing, book), None)
    if matching is not None and (wait := _dictated(words, *matching, endpointing, book)) is not None:
        return wait
    longest = Wait(
        seconds=max(endpointing.min_delay, endpointing.max_delay),
        rule="unfinished",
        value=f"turn.endpointing.max_delay={endpointing.max_delay}",
    )
    if endpointing.transcript:
        if is_unfinished(heard.text, book):
            return longest
        if matching is None and digits_missing(heard, words, book):
            return _because(longest, "digits_missing")
    if heard.probability is not None and heard.probability < COMPLETE:
        return _because(longest, "turn_detector")
    if matching is not None and matching[1].min_delay is not None:
        index, rule = matching
        value = f"turn.endpointing.rules[{index}].min_delay={rule.min_delay}"
        return Wait(seconds=max(endpointing.min_delay, matching[1].min_delay), rule="asked", value=value)
    return _plain(heard, endpointing)


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
    """The words ask for more: they trail off, or end in "and", "my number is", "let me see". Questions do not."""
    end = text.rstrip()[-1:]
    words = bare_words(text)
    if not words or end in ("?", "？"):
        return False
    if text.rstrip().endswith(("...", "…", ",", "-", "–", "—")):
        return bool(book.dangling)
    if len(words) > 1 and book.is_digits(words[-1]) and book.is_digits(words[-2]):
        return False  # "un" is an article and a number
    for length in range(min(LONGEST_PHRASE, len(words)), 0, -1):
        tail = words[-length:]
        if tail in book.finished:
            return False
        if tail in book.dangling:
            return True
    return False


def digits_missing(heard: Heard, words: tuple[str, ...], book: Phrasebook) -> bool:
    """A number is being dictated that has fewer digits than its kind has."""
    if not _is_dictating(words, book):
        return False
    expected = [n.digits for n in book.numbers if n.asks.search(heard.asked) or n.says.search(heard.text)]
    return bool(expected) and book.count_digits(words) < expected[0]


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


def _plain(heard: Heard, endpointing: Endpointing) -> Wait:
    if endpointing.mode == "dynamic" and heard.pause_s is not None and not heard.text.rstrip().endswith(("?", "？")):
        seconds = max(endpointing.min_delay, heard.pause_s)
        return Wait(seconds=seconds, rule="dynamic", value="turn.endpointing.mode=dynamic")
    value = f"turn.endpointing.min_delay={endpointing.min_delay}"
    return Wait(seconds=endpointing.min_delay, rule="silence", value=value)


def _because(wait: Wait, rule: str) -> Wait:
    return Wait(seconds=wait.seconds, rule=rule, value=wait.value)
