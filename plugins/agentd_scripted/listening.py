"""Which response a sentence means, and the slots that it fills. Pure.

In this order: a template of the state that fits the whole sentence; an intent's; one of the state's
that would fit nearly anything (a name, free text); slots found anywhere; a template inside the
sentence; the nearest example; an intent's template inside it. Each stricter rule goes first, so that
"what?" is no name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentd_scripted.script import Prepared, Script
from agentd_scripted.slots import Value, find
from agentd_scripted.templates import Match
from agentd_scripted.words import Word, trimmed, words

MARGIN = 0.05  # by which the nearest example must lead before that of another response
LEAST_COVERED = 0.5  # share of the sentence that a template inside it must cover, unless it opens it or fills a slot


@dataclass(frozen=True, slots=True)
class Heard:
    response: Prepared
    slots: Mapping[str, Value]
    rule: str  # template, intent, open, find, within or likeness


def understand(script: Script, state: str, sentence: str) -> Heard | None:
    """None when nothing fits."""
    said = words(sentence)
    if not said:
        return None
    own, intents = script.expect[state], script.intents
    rules = (
        _whole("template", own, said, is_open=False),
        _whole("intent", intents, said, is_open=False),
        _whole("open", own, said, is_open=True),
        _found(own, said),
        _within("within", own, said, opening=True),
        _found(intents, said),
        _like(script, state, sentence, said),
        _within("within", intents, said, opening=False),
    )
    return next((heard for rule in rules for heard in rule), None)


def matching_result(responses: Sequence[Prepared], content: str) -> Heard | None:
    """The first response to a tool's answer."""
    said = words(content)
    rules = (
        *(_whole("template", [r], said, is_open=None) for r in responses),
        _within("within", responses, said, opening=True),
    )
    return next((heard for rule in rules for heard in rule), None)


def _whole(rule: str, responses: Sequence[Prepared], said: Sequence[Word], *, is_open: bool | None) -> Iterator[Heard]:
    core = trimmed(said)
    for sentence in (said, core) if len(core) < len(said) else (said,):
        for prepared in responses:
            for template in prepared.templates:
                if is_open is None or template.is_open == is_open:
                    match = template.match_whole(sentence)
                    if match:
                        yield Heard(prepared, {**_spotted(prepared, said, match), **match.slots}, rule)


def _spotted(prepared: Prepared, said: Sequence[Word], match: Match) -> Mapping[str, Value]:
    wanted = {slot: kind for slot, kind in prepared.response.find.items() if slot not in match.slots}
    return find(said, wanted)[0] if wanted else {}


def _found(responses: Sequence[Prepared], said: Sequence[Word]) -> Iterator[Heard]:
    for prepared in responses:
        if prepared.response.find and not prepared.templates:
            slots, _ = find(said, prepared.response.find)
            if slots:
                yield Heard(prepared, slots, "find")


def _within(rule: str, responses: Sequence[Prepared], said: Sequence[Word], *, opening: bool) -> Iterator[Heard]:
    """`opening`: a template that begins the sentence counts, however little of it it covers ("yes, I think so")."""
    for prepared in responses:
        for template in prepared.templates:
            match = None if template.is_open else template.match_within(said)
            opens = opening and match is not None and match.start == 0
            if match and (match.slots or opens or match.words >= LEAST_COVERED * len(said)):
                yield Heard(prepared, {**_spotted(prepared, said, match), **match.slots}, rule)


def _like(script: Script, state: str, sentence: str, said: Sequence[Word]) -> Iterator[Heard]:
    candidates = {prepared.label: prepared for prepared in (*script.expect[state], *script.intents)}
    nearest = script.router.nearest(sentence, candidates)
    if nearest is None or nearest.score < script.dialogue.fuzziness or nearest.score - nearest.runner_up < MARGIN:
        return
    prepared = candidates[nearest.label]
    slots, _ = find(said, prepared.response.find)
    yield Heard(prepared, slots, "likeness")
