"""Templates of sentences: words, [optional], (one|other), {slot:type}, * for any words.

A template is parsed once into nodes and matched by backtracking over the words of a sentence, which
are few. `match_whole` wants all of the sentence; `match_within` finds the template inside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from agentd_scripted.slots import OPEN, PARSERS, Value
from agentd_scripted.words import Word, words

MOST_STEPS = 20_000  # of backtracking on one sentence; then the template does not match
_TOKEN = re.compile(r"\s*(?:([\[\](|)*])|\{([^{}]*)\}|([^\s\[\](|)*{}]+)|(.))", re.DOTALL)
_CLOSING = {"[": "]", "(": ")"}


class TemplateInvalid(ValueError):
    """The template cannot be read; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Anything:
    """Any number of words, none too."""


@dataclass(frozen=True, slots=True)
class Choice:
    branches: tuple[Sequence_, ...]


Node = Literal | Slot | Anything | Choice
Sequence_ = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """`words`: how many of the sentence's words the template covers, from `start`."""

    slots: Mapping[str, Value]
    start: int
    words: int


@dataclass(frozen=True, slots=True)
class Template:
    source: str
    nodes: Sequence_

    @property
    def slots(self) -> dict[str, str]:
        return dict(_slots(self.nodes))

    @property
    def is_open(self) -> bool:
        """Whether it fits nearly anything: it can match without one literal word or closed slot."""
        return _is_open(self.nodes)

    def match_whole(self, sentence: Sequence[Word]) -> Match | None:
        return self._first(sentence, 0, whole=True)

    def match_within(self, sentence: Sequence[Word]) -> Match | None:
        """The first place where it stands inside the sentence, covering at least one word."""
        found = (self._first(sentence, start, whole=False) for start in range(len(sentence)))
        return next((match for match in found if match and match.words), None)

    def phrases(self, most: int = 24) -> list[str]:
        """Sentences that it matches, without slots: examples for the fuzzy router."""
        if self.slots:
            return []
        return [" ".join(phrase.split()) for phrase in islice(_phrases(self.nodes), most) if phrase.strip()]

    def _first(self, sentence: Sequence[Word], start: int, *, whole: bool) -> Match | None:
        steps = iter(range(MOST_STEPS))
        for end, slots in _match(self.nodes, sentence, start, whole, steps):
            if end == len(sentence) or not whole:
                return Match(slots=slots, start=start, words=end - start)
        return None


def parse(source: str) -> Template:
    """Raises TemplateInvalid."""
    tokens = [match for match in _TOKEN.finditer(source.strip()) if match.group().strip()]
    nodes, rest = _sequence(source, tokens, 0, "")
    if rest != len(tokens):
        raise TemplateInvalid(f"{tokens[rest].group().strip()!r} closes nothing in {source!r}")
    if not nodes:
        raise TemplateInvalid("an empty template matches nothing")
    return Template(source, nodes)


def _sequence(source: str, tokens: Sequence[re.Match[str]], at: int, until: str) -> tuple[Sequence_, int]:
    """Nodes up to a sign in `until` or the end, and where that is."""
    nodes: list[Node] = []
    while at < len(tokens):
        sign, slot, word, other = tokens[at].groups()
        if sign and sign in until:
            break
        if sign in _CLOSING:
            node, at = _choice(source, tokens, at)
            nodes.append(node)
            continue
        if other or sign in ("]", ")", "|"):
            if not until and sign in ("]", ")"):
                break
            raise TemplateInvalid(f"{other or sign!r} is out of place in {source!r}")
        if sign == "*":
            nodes.append(Anything())
        elif slot is not None:
            nodes.append(_slot(source, slot))
        else:
            nodes += [Literal(part.text) for part in words(word)]
        at += 1
    return tuple(nodes), at


def _choice(source: str, tokens: Sequence[re.Match[str]], at: int) -> tuple[Choice, int]:
    opening = tokens[at].group(1)
    closing = _CLOSING[opening]
    branches: list[Sequence_] = []
    while True:
        branch, at = _sequence(source, tokens, at + 1, f"|{closing}")
        branches.append(branch)
        if at >= len(tokens):
            raise TemplateInvalid(f"{opening!r} is never closed in {source!r}")
        if tokens[at].group(1) == closing:
            break
    if opening == "[":
        branches.append(())
    return Choice(tuple(branches)), at + 1


def _slot(source: str, text: str) -> Slot:
    name, _, kind = (part.strip() for part in text.partition(":"))
    kind = kind or name
    if not name.isidentifier():
        raise TemplateInvalid(f"{{{text}}} in {source!r} wants a name: {{people:number}}")
    if kind not in PARSERS:
        raise TemplateInvalid(f"{{{text}}} in {source!r} has no known type; types: {', '.join(PARSERS)}")
    return Slot(name, kind)


def _match(
    nodes: Sequence_, sentence: Sequence[Word], at: int, whole: bool, steps: Iterator[int]
) -> Iterator[tuple[int, dict[str, Value]]]:
    """Every (end, slots) that the nodes reach from `at`; nothing more once the steps are used up."""
    if next(steps, None) is None:
        return
    if not nodes:
        yield at, {}
        return
    node, rest = nodes[0], nodes[1:]
    if isinstance(node, Literal):
        if at < len(sentence) and sentence[at].text == node.text:
            yield from _match(rest, sentence, at + 1, whole, steps)
    elif isinstance(node, Anything):
        for end in range(at, len(sentence) + 1):
            yield from _match(rest, sentence, end, whole, steps)
    elif isinstance(node, Slot):
        for end, value in PARSERS[node.kind](sentence, at, whole):
            for last, slots in _match(rest, sentence, end, whole, steps):
                yield last, {node.name: value, **slots}
    else:
        for branch in node.branches:
            yield from _match(branch + rest, sentence, at, whole, steps)


def _slots(nodes: Sequence_) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, Slot):
            yield node.name, node.kind
        elif isinstance(node, Choice):
            for branch in node.branches:
                yield from _slots(branch)


def _is_open(nodes: Sequence_) -> bool:
    return all(
        isinstance(node, Anything)
        or (isinstance(node, Slot) and node.kind in OPEN)
        or (isinstance(node, Choice) and any(_is_open(branch) for branch in node.branches))
        for node in nodes
    )


def _phrases(nodes: Sequence_) -> Iterator[str]:
    parts: list[list[str]] = []
    for node in nodes:
        if isinstance(node, Literal):
            parts.append([node.text])
        elif isinstance(node, Choice):
            parts.append([phrase for branch in node.branches for phrase in islice(_phrases(branch), 8)])
    for chosen in product(*parts):
        yield " ".join(part for part in chosen if part)
