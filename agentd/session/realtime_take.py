"""What a model says in one go: sentences whose sound is one, and how far into them the caller has heard. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

GAP = " "  # between two sentences


@dataclass(frozen=True, slots=True)
class Part:
    """Of a sentence (the reply's segment of this number): `words` that begin to sound now. `done`: it is over."""

    segment: int
    words: str = ""
    done: bool = False


@dataclass(slots=True)
class _Sentence:
    segment: int
    begin: int
    end: int  # in the take's text
    over: bool = False


@dataclass(slots=True)
class Take:
    """`number`: its place in the playout; `entry`: what it is in the history."""

    number: int
    entry: str = ""
    text: str = ""
    _sentences: list[_Sentence] = field(default_factory=list)
    _heard: int = 0  # letters of `text`

    def add(self, segment: int, sentence: str) -> str:
        """Appends a sentence; what that adds to the text."""
        more = (GAP if self.text else "") + sentence
        self.text += more
        self._sentences.append(_Sentence(segment, len(self.text) - len(sentence), len(self.text)))
        return more

    def hear(self, words: str) -> Iterator[Part]:
        """These words of the text, which follow those before, begin to sound."""
        begin, self._heard = self._heard, self._heard + len(words)
        for sentence in self._sentences:
            if sentence.over or sentence.begin >= self._heard:
                continue
            new = self.text[max(begin, sentence.begin) : min(self._heard, sentence.end)]
            if new:
                yield Part(sentence.segment, new)
            if sentence.end + len(GAP) < self._heard:  # the next one sounds
                sentence.over = True
                yield Part(sentence.segment, self.text[sentence.begin : sentence.end], done=True)

    def end(self, text: str) -> Iterator[Part]:
        """It is over, and this is what was heard of it: the sentences that were not over, up to there."""
        for sentence in self._sentences:
            heard = self.text[sentence.begin : min(len(text), sentence.end)].strip()
            if not sentence.over and heard:
                sentence.over = True
                yield Part(sentence.segment, heard, done=True)

    def is_whole(self, part: Part) -> bool:
        """Whether all of the sentence was heard."""
        sentence = next(each for each in self._sentences if each.segment == part.segment)
        return len(part.words) >= sentence.end - sentence.begin
