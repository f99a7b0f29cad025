"""What a caller noticed of one call: when the agent sounded, what captions and states said. Values; nothing is live.

Times are seconds since the call was joined.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.turn_taking.phrases import STORIES

if TYPE_CHECKING:
    from agentd.loadtest.caller import Caller
    from agentd.loadtest.heard import Heard
    from bench.turn_taking.offline import OfflineCaller

AUDIBLE_DBFS = -45.0
JOINED_S = 0.06  # shorter silence within sound is none: the closure of a p, a lost packet
PIECE_S = 0.01


@dataclass(frozen=True, slots=True)
class Said:
    """A caption's text so far."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`doing`: when the caller's words, cough or noise began and truly ended; noise around words is not counted."""

    sound: tuple[tuple[float, float], ...] = ()  # of the agent: audible stretches
    states: tuple[tuple[float, str], ...] = ()
    agent_said: tuple[Said, ...] = ()
    caller_heard_as: tuple[Said, ...] = ()  # what the agent understood
    asked: tuple[float, float] | None = None  # the question for a reply
    replied: float | None = None  # the first sound of that reply
    doing: tuple[float, float] | None = None
    until: float = 0.0  # the caller listened so long
    stalled_s: float = 0.0  # the longest time in which nothing came, not even silence

    def audible_s(self, since: float, until: float) -> float:
        return sum(max(0.0, min(end, until) - max(start, since)) for start, end in self.sound)

    def sound_after(self, at: float) -> float | None:
        """When the agent is first heard at or after `at`."""
        return next((max(start, at) for start, end in self.sound if end > at), None)

    def pause_after(self, at: float, longer_s: float) -> tuple[float, float] | None:
        """The first silence of the agent that lasts so long after `at`: when it began (not before `at`) and ended
        (infinite when nothing more was heard). None where the agent never sounded."""
        if not self.sound:
            return None
        ends = [end for _, end in self.sound]
        starts = [start for start, _ in self.sound[1:]] + [math.inf]
        for silent, again in zip(ends, starts, strict=True):
            silent = max(silent, at)
            if again > at and min(again, self.until) - silent >= longer_s:
                return silent, again
        return None

    def before(self, at: float) -> Timeline:
        """As if the caller had left then."""
        return replace(
            self,
            sound=tuple((start, min(end, at)) for start, end in self.sound if start < at),
            states=tuple(seen for seen in self.states if seen[0] < at),
            agent_said=tuple(said for said in self.agent_said if said.at < at),
            caller_heard_as=tuple(said for said in self.caller_heard_as if said.at < at),
            until=min(self.until, at),
        )

    def stories(self, since: float, until: float = math.inf) -> list[int]:
        """Which of the agent's answers its captions spoke in the span, in order, each once."""
        told = (story_of(said.text) for said in self.agent_said if since <= said.at <= until)
        return list(dict.fromkeys(number for number in told if number is not None))


def story_of(text: str) -> int | None:
    """The number of the answer that a piece of it is from; None for less than three words, and for anything else."""
    words = _plain(text).split()
    if len(words) < 3:
        return None
    opening = " ".join(words[:6])
    return next((number for number, story in enumerate(_PLAIN_STORIES) if opening in story), None)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


_PLAIN_STORIES = tuple(_plain(story) for story in STORIES)


def stretches(heard: Heard, zero: float) -> tuple[tuple[float, float], ...]:
    """The audible spans of what was heard."""
    found: list[tuple[float, float]] = []
    for at, dbfs in zip(heard.at, heard.dbfs, strict=True):
        if dbfs <= AUDIBLE_DBFS:
            continue
        start, end = at - zero - PIECE_S, at - zero
        if found and start - found[-1][1] < JOINED_S:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def stall_s(heard: Heard) -> float:
    """The longest time between two pieces of sound or silence: 10 ms when all is well."""
    return max((later - at for at, later in pairwise(heard.at)), default=0.0)


def noticed(
    caller: Caller | OfflineCaller,
    zero: float,
    until: float,
    *,
    asked: tuple[float, float] | None,
    replied: float | None,
    doing: tuple[float, float] | None,
) -> Timeline:
    """The caller's notes as a timeline; all times given are of the caller's clock."""
    captions = [caption for caption in caller.captions if caption.chunk]
    return Timeline(
        sound=stretches(caller.heard, zero),
        states=tuple((seen.at - zero, seen.state) for seen in caller.states),
        agent_said=tuple(Said(c.at - zero, c.text) for c in captions if c.sender != caller.identity),
        caller_heard_as=tuple(Said(c.at - zero, c.text) for c in captions if c.sender == caller.identity),
        asked=_since(asked, zero),
        replied=None if replied is None else replied - zero,
        doing=_since(doing, zero),
        until=until - zero,
        stalled_s=stall_s(caller.heard),
    )


def _since(span: tuple[float, float] | None, zero: float) -> tuple[float, float] | None:
    return None if span is None else (span[0] - zero, span[1] - zero)
