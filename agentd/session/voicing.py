"""Written words -> what a synthesiser is given for them, and its times back to the written words. Pure.

Pronunciations and markup make the two differ, and scripts without spaces have words that no synthesiser times. What is
heard, shown and remembered is always the written word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from xml.sax.saxutils import escape

from agentd.providers.tts import PLAIN, Markup, TimedWord
from agentd.session.alignment import pieces
from agentd.session.markup import Tag, parse


@dataclass(frozen=True, slots=True)
class Unit:
    """Written words (with the space after them) that are spoken as one, how many letters are spoken for them, and the
    pause that is asked for before them."""

    written: str
    letters: int
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Voiced:
    """`units`, joined, are `written`. `spoken`: for the synthesiser."""

    written: str
    spoken: str
    units: tuple[Unit, ...]


def voiced(marked: str, markup: Markup = PLAIN, pronunciations: Mapping[str, str] | None = None) -> Voiced:
    """What this synthesiser is given for a marked text."""
    words, tags = parse(marked)
    said = {match.start(): match for match in _pattern(tuple(pronunciations or ())).finditer(words)}
    spoken, units = "", []
    for begin, end in _spans(words, said):
        pause_s = sum(tag.pause_s for tag in tags if markup.breaks and _among(tag, begin, end))
        letters, at = 0, begin
        while at < end:
            spoken += "".join(_written(tag, markup) for tag in tags if tag.at == at)
            match = said.get(at)
            text = (pronunciations or {})[match.group()] if match else words[at]
            letters += len("".join(text.split()))
            spoken += escape(text) if markup.ssml else text
            at = match.end() if match else at + 1
        units.append(Unit(words[begin:end], letters, pause_s))
    spoken += "".join(_written(tag, markup) for tag in tags if tag.at >= len(words)).rstrip()
    return Voiced(words, f"<speak>{spoken}</speak>" if markup.ssml else spoken, tuple(units))


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words; longer entries first."""
    alternatives = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)" if words else r"(?!)")


def _spans(words: str, said: Mapping[int, re.Match[str]]) -> Iterator[tuple[int, int]]:
    """The written words, joined where one pronunciation is for several."""
    begin = at = 0
    for piece in pieces(words):
        at += len(piece)
        if not any(match.start() < at < match.end() for match in said.values()):
            yield begin, at
            begin = at
    if begin < len(words):
        yield begin, len(words)


def _among(tag: Tag, begin: int, end: int) -> bool:
    return begin <= tag.at < end


def _written(tag: Tag, markup: Markup) -> str:
    match tag.kind:
        case "break" if markup.breaks:
            return f'<break time="{tag.pause_s:g}s"/> '
        case "emphasis" if markup.emphasis:
            return "<emphasis>"
        case "emphasis_end" if markup.emphasis:
            return "</emphasis>"
        case "cue" if tag.cue in markup.cues:
            return f"[{tag.cue}] "
    return ""


class Times:
    """The times of one segment's written words, from those of what is spoken for them, as they come."""

    def __init__(self, text: Voiced, *, estimate: bool = False) -> None:
        self._text = text
        self._estimate = estimate or text.spoken != text.written
        self._units = list(text.units)
        self._in_tag = ""  # the bracket that ends it
        self._missing = 0  # letters of the first unit that have not come
        self._start_s: float | None = None  # of the first unit
        self._end_s = 0.0
        self._told = False

    def push(self, words: Iterable[TimedWord]) -> list[TimedWord]:
        """The written words that are complete with these."""
        found: list[TimedWord] = []
        for word in words:
            self._told = True
            letters = self._letters(word.text)
            for number in range(letters):
                at_s = word.start_s + (word.end_s - word.start_s) * number / letters
                next_s = word.start_s + (word.end_s - word.start_s) * (number + 1) / letters
                found += self._take(at_s, next_s)
        return found

    def flush(self, sound_s: float) -> list[TimedWord]:
        """The rest, when the sound is complete; all of it by estimate where the synthesiser gave no times although the
        spoken differs from the written, or `estimate`."""
        if self._told or not self._estimate:
            left = [self._rest(unit) for unit in self._units] if self._told else []
            self._units.clear()
            return left
        pauses_s = min(sum(unit.pause_s for unit in self._units), sound_s)
        letters = sum(unit.letters for unit in self._units) or 1
        at_s, found = 0.0, []
        for unit in self._units:
            begin_s = at_s + unit.pause_s
            at_s = begin_s + (sound_s - pauses_s) * unit.letters / letters
            found.append(TimedWord(text=unit.written, start_s=min(begin_s, sound_s), end_s=min(at_s, sound_s)))
        self._units.clear()
        return found

    def _letters(self, text: str) -> int:
        """Those that are spoken: some synthesisers time the letters of markup too."""
        count = 0
        for letter in text:
            if self._in_tag:
                self._in_tag = "" if letter == self._in_tag else self._in_tag
            elif letter in "<[" and self._text.spoken != self._text.written:
                self._in_tag = ">" if letter == "<" else "]"
            elif not letter.isspace():
                count += 1
        return count

    def _take(self, at_s: float, end_s: float) -> list[TimedWord]:
        """One spoken letter."""
        if not self._units:
            return []
        if self._start_s is None:
            self._start_s, self._missing = at_s, self._units[0].letters
        self._missing -= 1
        self._end_s = end_s
        if self._missing > 0:
            return []
        found = [TimedWord(text=self._units.pop(0).written, start_s=self._start_s, end_s=end_s)]
        while self._units and not self._units[0].letters:  # a dash: it is written, and takes no time
            found.append(self._rest(self._units.pop(0)))
        self._start_s = None
        return found

    def _rest(self, unit: Unit) -> TimedWord:
        start_s = self._start_s if self._start_s is not None else self._end_s
        self._start_s = None
        return TimedWord(text=unit.written, start_s=start_s, end_s=self._end_s)
