"""The sentence by which a caller is asked whether a tool may be called with these arguments. Pure.

It is made of the arguments themselves, never by a model: what the caller agrees to is what is called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentd.config.consent import ConsentBy
from agentd.session.phrases import phrase

LONGEST = 600
"""Characters that are read back: nobody follows more, and what was not read cannot be agreed to."""

_MARKUP = str.maketrans({"\0": " ", "<": " ", ">": " ", "[": "(", "]": ")"})
"""What a synthesiser may take as an instruction instead of as a word: an argument must sound as it is."""


def canonical(arguments: Mapping[str, Any]) -> str:
    """The same text for equal arguments, whatever the order in which the model wrote them."""
    return json.dumps(arguments, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sentence(tool: str, arguments: Mapping[str, Any], parameters: Mapping[str, Any], language: str) -> str:
    """ "Please confirm: book table, guests 4, day Friday." `parameters`: the tool's schema, whose titles are used."""
    known = parameters.get("properties", {})
    known = known if isinstance(known, Mapping) else {}
    order = [name for name in known if name in arguments] + [name for name in arguments if name not in known]
    parts = [spoken_name(tool)]
    parts += [f"{_title(name, known.get(name))}: {spoken(arguments[name], language)}" for name in order]
    return phrase("consent", language).format(what=", ".join(parts))


def asked(text: str, by: ConsentBy, language: str, *, templated: bool) -> str:
    """With how to answer, where the author's own words (`templated`) cannot say it."""
    if by == "dtmf":
        return f"{text} {phrase('consent_keys', language)}"
    return text if templated else f"{text} {phrase('consent_spoken', language)}"


def spoken(value: Any, language: str) -> str:
    match value:
        case bool():
            return phrase("yes" if value else "no", language)
        case None:
            return "-"
        case str():
            return str(speakable(value))
        case list():
            return ", ".join(spoken(each, language) for each in value)
        case dict():
            return ", ".join(f"{spoken_name(name)} {spoken(each, language)}" for name, each in value.items())
        case _:
            return str(value)


def spoken_name(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split()).translate(_MARKUP)


def speakable(value: Any) -> Any:
    """The same value with text that sounds as it reads, for an author's template."""
    match value:
        case str():
            return " ".join(value.split()).translate(_MARKUP)
        case list():
            return [speakable(each) for each in value]
        case dict():
            return {name: speakable(each) for name, each in value.items()}
        case _:
            return value


def _title(name: str, schema: Any) -> str:
    title = schema.get("title") if isinstance(schema, Mapping) else None
    return title if isinstance(title, str) and title.strip() else spoken_name(name)
