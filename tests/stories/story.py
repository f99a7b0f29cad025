"""Turn-taking stories: what a caller does, and the timeline that must follow, to the millisecond (see README.md)."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.providers import CHARS_PER_S

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """Sound of the caller's: `text` "" is sound without words."""

    at_s: float
    text: str
    lasts_s: float
    language: str | None = None
    who: str = ""  # one of several people


@dataclass(frozen=True, slots=True, kw_only=True)
class Does:
    """`what`: types, leaves, drops, returns, mutes, unmutes, presses, releases, cancels, interrupts, tells, ends ..."""

    at_s: float
    what: str
    text: str = ""
    who: str = ""


Act = Says | Does


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`agent`: YAML of an agent file, less its providers; `others`: agents that the call may be handed to.
    `then`: the timeline as lines of text."""

    name: str
    file: str
    agent: Mapping[str, Any]
    replies: tuple[str, ...]
    recogniser: Mapping[str, Any]
    model_s: float
    voice: Mapping[str, Any]
    tools: Mapping[str, Any]
    detector: Mapping[str, Any]
    judge: tuple[float, ...]
    inbound: bool
    others: Mapping[str, Any]
    acts: tuple[Act, ...]
    until_s: float
    then: tuple[str, ...]

    @property
    def people(self) -> tuple[str, ...]:
        """Whoever does something, in the order of doing; the only caller is ""."""
        return tuple(dict.fromkeys(act.who for act in self.acts if act.who)) or ("",)


_ACT = re.compile(
    r'^(?P<at>[\d.]+) (?:(?P<who>[A-Z]\w*) )?(?P<what>\w+)(?: "(?P<text>[^"]*)")?'
    r"(?: for (?P<lasts>[\d.]+))?(?: in (?P<language>[\w-]+))?$"
)
_SOUNDS = frozenset({"says", "coughs", "hums"})
PATIENT: Mapping[str, Any] = {"turn": {"preemptive": {"llm": False}}}
"""The model is asked only when the turn has ended: what is told of turns is then not told of early answers."""

TAIL_S = 6.0  # of silence after the caller's last act, unless the story says `until`


def stories(path: Path) -> Iterator[Story]:
    """All stories of a file; a `common` section at its head holds for each of them."""
    documents = list(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
    common: Mapping[str, Any] = {}
    for document in documents:
        if "common" in document:
            common = document["common"]
            continue
        for variant in _variants(document):
            agent = _over(_over(PATIENT, common.get("agent", {})), variant.get("agent", {}))
            yield _story({**common, **variant, "agent": agent}, path.name)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return merged


def filled(then: Sequence[str], told: Sequence[str]) -> list[str]:
    """`then` with every `...` replaced by the lines told in its place: any, up to the line that follows it."""
    lines: list[str] = []
    rest = list(told)
    for number, line in enumerate(then):
        if line != "...":
            lines.append(line)
            rest = rest[1:]
            continue
        following = then[number + 1 : number + 2]
        until = next((at for at, each in enumerate(rest) if [each] == list(following)), len(rest))
        lines += rest[:until]
        rest = rest[until:]
    return lines


def _variants(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """`each: {x: [1, 2]}` makes a story of every value, with `<x>` replaced everywhere."""
    each: Mapping[str, list[Any]] = document.get("each", {})
    if not each:
        yield document
        return
    (name, values) = next(iter(each.items()))
    rest = {key: value for key, value in each.items() if key != name}
    for value in values:
        filled = {key: _filled(content, name, value) for key, content in document.items() if key != "each"}
        yield from _variants({**filled, "each": {key: _filled(content, name, value) for key, content in rest.items()}})


def _filled(content: Any, name: str, value: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _filled(each, name, value) for key, each in content.items()}
    if isinstance(content, list):
        return [_filled(each, name, value) for each in content]
    if not isinstance(content, str):
        return content
    return value if content == f"<{name}>" else content.replace(f"<{name}>", str(value))


_FORMULA = re.compile(r"^=(?P<formula>[^:]+): ")


def _computed(line: str) -> str:
    """`=formula: what` with the formula's value, as whole milliseconds."""
    found = _FORMULA.match(line)
    if found is None:
        return line
    tree = ast.parse(found["formula"].strip(), mode="eval")
    return f"{round(_value(tree.body))} {line[found.end() :]}"


def _value(node: ast.expr) -> float:
    """Arithmetic, and the moments that are given in windows of the voice activity detector."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.BinOp(left=left, op=op, right=right):
            return float(_OPERATORS[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _MOMENTS[name](*map(_value, arguments))
    raise ValueError(f"no formula of a story: {ast.unparse(node)}")


WINDOW_MS = 32
MIN_SPEECH_MS = 50


def heard_ms(at_s: float) -> float:
    """When the first window that holds a sound from `at_s` on has come."""
    return (math.ceil(1000 * at_s / WINDOW_MS - 1e-6) + 1) * WINDOW_MS


def onset_ms(at_s: float) -> float:
    """When the voice activity detector is sure of it."""
    return heard_ms(at_s) + (math.ceil(MIN_SPEECH_MS / WINDOW_MS) - 1) * WINDOW_MS


def over_ms(at_s: float, lasts_s: float) -> float:
    """When the last window of a sound has come: where the caller's silence begins."""
    return math.ceil(1000 * (at_s + lasts_s) / WINDOW_MS - 1e-6) * WINDOW_MS


def spoken_ms(characters: float) -> float:
    """How long so many characters are heard, in the playout's steps of 20 ms."""
    return math.ceil(1000 * characters / CHARS_PER_S / 20) * 20


_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_MOMENTS = {
    "heard": heard_ms,
    "onset": onset_ms,
    "over": over_ms,
    "spoken": spoken_ms,
    "min": min,
    "max": max,
}


def _story(told: Mapping[str, Any], file: str) -> Story:
    acts = tuple(sorted((_act(line) for line in told.get("caller", ())), key=lambda act: act.at_s))
    last = max((act.at_s + (act.lasts_s if isinstance(act, Says) else 0.0) for act in acts), default=0.0)
    return Story(
        name=str(told["story"]),
        file=file,
        agent=told.get("agent", {}),
        replies=tuple(told.get("replies", ("Fine.",))),
        recogniser=told.get("recogniser", {}),
        model_s=float(told.get("model_s", 0.1)),
        voice=told.get("voice", {}),
        tools=told.get("tools", {}),
        detector=told.get("detector", {}),
        judge=tuple(told.get("judge", ())),
        inbound=bool(told.get("inbound", False)),
        others=told.get("others", {}),
        acts=acts,
        until_s=_seconds(told.get("until", last + TAIL_S)),
        then=tuple(map(_computed, told.get("then", ()))),
    )


def _seconds(value: Any) -> float:
    text = str(value)
    return _value(ast.parse(text[1:].strip(), mode="eval").body) if text.startswith("=") else float(text)


def _act(line: str) -> Act:
    line = _FORMULA.sub(lambda found: f"{_value(ast.parse(found['formula'].strip(), mode='eval').body):g} ", line)
    found = _ACT.match(line)
    if found is None:
        raise ValueError(f"no act of a caller: {line!r}")
    at_s, what, text, who = float(found["at"]), found["what"], found["text"] or "", found["who"] or ""
    if what in _SOUNDS:
        lasts_s = float(found["lasts"] or 1.0)
        return Says(at_s=at_s, text=text, lasts_s=lasts_s, language=found["language"], who=who)
    return Does(at_s=at_s, what=what, text=text, who=who)
