"""The items: what a caller does, and how it sounds, drawn from a seed. Pure; equal seeds give equal items.

An item is made of parts in time. Silence at a part's ends is cut off when it is rendered, so pauses are exact.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, cast, get_args

from agentd.loadtest.microphone import Echo
from bench.turn_taking import phrases

Kind = Literal[
    "clean",  # a whole sentence
    "hesitation",  # a sentence with a pause where it cannot be finished
    "number",  # dictated in groups
    "noisy",  # a whole sentence in noise
    "interruption",  # words over the agent's speech that ask for the floor
    "backchannel",  # words over the agent's speech that do not
    "event",  # a cough, a door, a click, typing, a shriek over the agent's speech
    "noise-over",  # noise over the agent's speech
    "noise-alone",  # noise while the agent listens
    "echo",  # the agent's own voice comes back
    "echo-interruption",  # the same, and the caller interrupts
]
KINDS: tuple[Kind, ...] = get_args(Kind)
TURNS: tuple[Kind, ...] = ("clean", "hesitation", "number", "noisy")

Colour = Literal["white", "babble", "music"]
Shape = Literal["cough", "door", "click", "keyboard"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

NOISE_ALONE_S = 12.0
NOISE_OVER_S = 5.0
NOISE_BEFORE_S, NOISE_AFTER_S = 1.0, 8.0  # of a turn in noise: the noise neither begins nor ends with the words
PAUSES_S = (0.6, 1.6)  # within a hesitation
GROUP_PAUSES_S = (0.6, 1.3)  # between groups of digits
INTO_REPLY_S = (2.0, 4.0)  # when the caller does something over the agent's speech
ECHO_DELAYS_S = (0.08, 0.2)
ECHO_GAINS_DB = (-10.0, -16.0, -22.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Of the one synthetic speaker: higher or lower, as of a smaller or larger person, and its pace."""

    pitch: float
    speed: float
    seed: int


@dataclass(frozen=True, slots=True)
class Spoken:
    text: str
    voice: Voice


@dataclass(frozen=True, slots=True)
class Recorded:
    """A person's recording, or what lies between two seconds of it."""

    name: str
    since_s: float = 0.0
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A sound that is no speech."""

    shape: Shape
    seed: int


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Part = Spoken | Recorded | Made | Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """`snr_db`: below the level of speech, which is the same in all items."""

    colour: Colour
    snr_db: float
    seed: int
    seconds: float | None = None  # of noise without words; else it lies around them


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`question` and `into_reply_s`: asked first, so that the agent speaks; then the parts, so far into its reply."""

    id: str
    kind: Kind
    parts: tuple[Part, ...] = ()
    noise: Noise | None = None
    echo: Echo | None = None
    question: Spoken | None = None
    into_reply_s: float = 0.0


_EVENTS: dict[Shape, int] = {"cough": 5, "door": 2, "click": 1, "keyboard": 2}

CALLERS = ((0.8, 1.0), (0.8, 1.15), (0.88, 1.05), (1.12, 0.95), (1.12, 1.1), (1.22, 1.0))
"""Pitch and pace. The agent speaks at pitch 1: nobody sounds like it."""


class _Draw:
    """What chance decides, for one kind of item: adding items of one kind leaves the others as they were."""

    def __init__(self, seed: int, kind: str) -> None:
        self._kind = kind
        self._random = random.Random(f"{seed} {kind}")
        self._callers = self._random.sample(CALLERS, len(CALLERS))
        self._made = 0

    def item(self, *parts: Part, noise: Noise | None = None, echo: Echo | None = None, reply: bool = False) -> Item:
        """`reply`: it happens over one."""
        question = self.said(phrases.QUESTION) if reply else None
        self._made += 1
        return Item(
            id=f"{self._kind}-{self._made:02}",
            kind=cast("Kind", self._kind),
            parts=parts,
            noise=noise,
            echo=echo,
            question=question,
            into_reply_s=self.within(INTO_REPLY_S) if reply else 0.0,
        )

    def voice(self) -> Voice:
        """Of the item that is being made; the callers take turns."""
        pitch, speed = self._callers[self._made % len(self._callers)]
        return Voice(pitch=pitch, speed=speed, seed=self.seed())

    def said(self, text: str) -> Spoken:
        return Spoken(text, self.voice())

    def seed(self) -> int:
        return self._random.randrange(1000)

    def within(self, span: tuple[float, float]) -> float:
        return round(self._random.uniform(*span), 2)

    def spread(self, span: tuple[float, float], count: int) -> list[float]:
        """As many values, evenly over the span, in any order."""
        low, high = span
        values = [round(low + (high - low) * number / max(1, count - 1), 2) for number in range(count)]
        return self._random.sample(values, count)

    def noise(self, colour: Colour, snr_db: float, seconds: float | None = None) -> Noise:
        return Noise(colour=colour, snr_db=snr_db, seed=self.seed(), seconds=seconds)

    def echo(self, number: int) -> Echo:
        return Echo(delay_s=self.within(ECHO_DELAYS_S), gain_db=ECHO_GAINS_DB[number % len(ECHO_GAINS_DB)])


def _held_out(draw: _Draw) -> Iterator[tuple[Kind, tuple[Part, ...]]]:
    """Parts by kind: sentences that no rule was tuned on."""
    for text in phrases.CLEAN_HELD_OUT:
        yield "clean", (draw.said(text),)
    pauses = draw.spread(PAUSES_S, len(phrases.HESITATIONS_HELD_OUT))
    for first, rest in phrases.HESITATIONS_HELD_OUT:
        voice = draw.voice()
        yield "hesitation", (Spoken(first, voice), Pause(pauses.pop()), Spoken(rest, voice))
    for groups in phrases.NUMBERS_HELD_OUT:
        voice = draw.voice()
        yield "number", tuple(_in_groups(draw, [[Spoken(group, voice)] for group in groups]))


def held_out(seed: int = 0) -> list[Item]:
    """Turns in other words than the corpus's: what was tuned on that one is confirmed with these."""
    draw = _Draw(seed, "held-out")
    return [
        Item(id=f"{kind}-{number:02}h", kind=kind, parts=parts)
        for number, (kind, parts) in enumerate(_held_out(draw), start=1)
    ]


def _clean(draw: _Draw) -> Iterator[Item]:
    for text in phrases.CLEAN:
        yield draw.item(draw.said(text))
    for name in phrases.CLEAN_RECORDED:
        yield draw.item(Recorded(name))


def _hesitations(draw: _Draw) -> Iterator[Item]:
    pauses = draw.spread(PAUSES_S, len(phrases.HESITATIONS) + len(phrases.HESITATIONS_RECORDED))
    for first, rest in phrases.HESITATIONS:
        voice = draw.voice()
        yield draw.item(Spoken(first, voice), Pause(pauses.pop()), Spoken(rest, voice))
    for name, cut_s in phrases.HESITATIONS_RECORDED:
        yield draw.item(Recorded(name, 0.0, cut_s), Pause(pauses.pop()), Recorded(name, cut_s))


def _numbers(draw: _Draw) -> Iterator[Item]:
    for groups in phrases.NUMBERS:
        voice = draw.voice()
        yield draw.item(*_in_groups(draw, [[Spoken(group, voice)] for group in groups]))
    for spelled in phrases.NUMBERS_SPELLED:
        yield draw.item(*_in_groups(draw, [[Recorded(word) for word in group.split()] for group in spelled]))
    for name, cuts in phrases.NUMBERS_RECORDED:
        bounds = zip((0.0, *cuts), (*cuts, None), strict=True)
        yield draw.item(*_in_groups(draw, [[Recorded(name, since, until)] for since, until in bounds]))


def _in_groups(draw: _Draw, groups: Sequence[Sequence[Part]]) -> Iterator[Part]:
    for number, group in enumerate(groups):
        if number:
            yield Pause(draw.within(GROUP_PAUSES_S))
        for index, part in enumerate(group):
            if index:
                yield Pause(0.08)
            yield part


def _noisy(draw: _Draw) -> Iterator[Item]:
    for number, (snr_db, colour) in enumerate(product((20.0, 10.0, 5.0), COLOURS)):
        text = phrases.CLEAN[number % len(phrases.CLEAN)]
        yield draw.item(draw.said(text), noise=draw.noise(colour, snr_db))
    for name, colour in zip(("married", "cold-hearted", "something"), COLOURS, strict=True):
        yield draw.item(Recorded(name), noise=draw.noise(colour, 10.0))


def _interruptions(draw: _Draw) -> Iterator[Item]:
    for text in phrases.INTERRUPTIONS:
        yield draw.item(draw.said(text), reply=True)
    for name in phrases.INTERRUPTIONS_RECORDED:
        yield draw.item(Recorded(name), reply=True)


def _backchannels(draw: _Draw) -> Iterator[Item]:
    for text, times in zip(phrases.BACKCHANNELS, phrases.TIMES_OF_BACKCHANNELS, strict=True):
        for _ in range(times):
            yield draw.item(draw.said(text), reply=True)


def _events(draw: _Draw) -> Iterator[Item]:
    for shape, times in _EVENTS.items():
        for _ in range(times):
            yield draw.item(Made(shape, draw.seed()), reply=True)
    for since_s in (5.0, 8.0):
        yield draw.item(Recorded("tt-monkeys", since_s, since_s + 1.5), reply=True)


def _noise_over(draw: _Draw) -> Iterator[Item]:
    for snr_db, colour in product((10.0, 5.0), COLOURS):
        yield draw.item(noise=draw.noise(colour, snr_db, NOISE_OVER_S), reply=True)


def _noise_alone(draw: _Draw) -> Iterator[Item]:
    for snr_db, colour in product((10.0, 5.0), COLOURS):
        yield draw.item(noise=draw.noise(colour, snr_db, NOISE_ALONE_S))


def _echoes(draw: _Draw) -> Iterator[Item]:
    for number in range(6):
        yield draw.item(echo=draw.echo(number), reply=True)


def _echo_interruptions(draw: _Draw) -> Iterator[Item]:
    for number, text in enumerate(phrases.INTERRUPTIONS[:6]):
        yield draw.item(draw.said(text), echo=draw.echo(number), reply=True)


_MAKERS = {
    "clean": _clean,
    "hesitation": _hesitations,
    "number": _numbers,
    "noisy": _noisy,
    "interruption": _interruptions,
    "backchannel": _backchannels,
    "event": _events,
    "noise-over": _noise_over,
    "noise-alone": _noise_alone,
    "echo": _echoes,
    "echo-interruption": _echo_interruptions,
}


def corpus(seed: int = 0) -> list[Item]:
    """All items, kinds mixed: what changes on the machine during a run hits all of them."""
    items = [item for kind in KINDS for item in _MAKERS[kind](_Draw(seed, kind))]
    return random.Random(f"{seed} order").sample(items, len(items))


def chosen(items: Sequence[Item], wanted: Iterable[str] = (), limit: int | None = None) -> list[Item]:
    """Those of the wanted kinds or ids (all without any), thinned to `limit`. Raises ValueError for unknown names."""
    names = list(wanted)
    known = {*KINDS, *(item.id for item in items)}
    if unknown := sorted(set(names) - known):
        raise ValueError(f"no kind or item {', '.join(unknown)}; kinds: {', '.join(KINDS)}")
    found = [item for item in items if not names or item.kind in names or item.id in names]
    return found if limit is None else _thinned(found, limit)


def _thinned(items: Sequence[Item], limit: int) -> list[Item]:
    """So many, in their order: of each kind in proportion, at least one while there is room, evenly over the kind."""
    names = {kind: sorted(item.id for item in items if item.kind == kind) for kind in KINDS}
    shares = {kind: 0 for kind in KINDS if names[kind]}
    for _ in range(min(limit, len(items))):
        shares[min(shares, key=lambda kind: shares[kind] / len(names[kind]))] += 1
    kept = {
        names[kind][int((number + 0.5) * len(names[kind]) / share)]
        for kind, share in shares.items()
        for number in range(share)
    }
    return [item for item in items if item.id in kept]
