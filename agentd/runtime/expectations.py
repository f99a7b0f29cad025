"""What an agent's test wants of a turn, against what was said and done in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentd.config.scenarios import Expectation, ExpectedCall
from agentd.session.records import Record

SHOWN = 300  # characters of what was said, in a report


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What happened in a turn. `calls`: of tools, by name and with the arguments that the model gave."""

    said: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    ended: str = ""  # the reason of the call's end
    handed_to: str = ""
    errors: tuple[str, ...] = ()


def observed(records: Sequence[Record]) -> Observed:
    def of(kind: str) -> list[Mapping[str, Any]]:
        return [record.data for record in records if record.kind == kind]

    return Observed(
        said=" ".join(text for data in of("turn.agent") if (text := str(data["text"]).strip())),
        calls=tuple((str(data["name"]), _arguments(data["arguments"])) for data in of("tool.called")),
        ended=next((str(data["reason"]) for data in of("session.ended")), ""),
        handed_to=next((str(data["to"]) for data in reversed(of("handoff"))), ""),
        errors=tuple(f"{data['where']}: {data['message']}" for data in of("error")),
    )


def unmet(expected: Expectation, found: Observed) -> Iterator[tuple[str, str]]:
    """Each with the setting that wants it, such as "contains[1]"; "" for what no setting wants."""
    yield from (("", f"the call met an error: {error}") for error in found.errors)
    yield from _words(expected, found)
    yield from _calls(expected, found)
    if expected.ends is True and not found.ended:
        yield "ends", "the agent has not ended the call"
    if expected.ends is False and found.ended:
        yield "ends", f"the call has ended: {found.ended}"
    if expected.hands_off_to is not None and found.handed_to != expected.hands_off_to:
        to = f'it was handed to "{found.handed_to}"' if found.handed_to else "it was handed to nobody"
        yield "hands_off_to", f'the call was to go to "{expected.hands_off_to}": {to}'


def _words(expected: Expectation, found: Observed) -> Iterator[tuple[str, str]]:
    said = found.said.casefold()
    for number, words in enumerate(expected.contains):
        if words.casefold() not in said:
            yield f"contains[{number}]", f'"{words}" was not said, but: {_shown(found.said)}'
    for number, words in enumerate(expected.lacks):
        if words.casefold() in said:
            yield f"lacks[{number}]", f'"{words}" was said: {_shown(found.said)}'
    if expected.matches is not None and not re.search(expected.matches, found.said):
        yield "matches", f"what was said does not match /{expected.matches}/: {_shown(found.said)}"


def _calls(expected: Expectation, found: Observed) -> Iterator[tuple[str, str]]:
    left = list(found.calls)
    for number, wanted in enumerate(expected.calls):
        hit = next((call for call in left if _fits(wanted, call)), None)
        if hit is None:
            made = ", ".join(f"{name}({_json(arguments)})" for name, arguments in found.calls) or "no call"
            yield f"calls[{number}]", f"{wanted.name}({_json(wanted.arguments)}) was not called, but: {made}"
        else:
            left.remove(hit)
    if expected.calls_nothing and found.calls:
        yield "calls_nothing", f"{found.calls[0][0]}({_json(found.calls[0][1])}) was called"


def _fits(wanted: ExpectedCall, call: tuple[str, Any]) -> bool:
    name, arguments = call
    return name == wanted.name and _holds(wanted.arguments, arguments)


def _holds(wanted: Any, given: Any) -> bool:
    """Objects may have more members than are wanted; all else is equal."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            key in given and _holds(value, given[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        same_length = isinstance(given, list) and len(given) == len(wanted)
        return same_length and all(map(_holds, wanted, given))
    return bool(wanted == given)


def _arguments(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text.strip() else {}
    except ValueError:
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=list)


def _shown(text: str) -> str:
    if not text:
        return "nothing"
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'
