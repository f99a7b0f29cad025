"""A dialogue made ready: templates parsed, examples indexed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentd_scripted.dialogue import Dialogue, Response, State
from agentd_scripted.likeness import Router
from agentd_scripted.templates import Template, parse


@dataclass(frozen=True, slots=True)
class Prepared:
    """A response with its templates, and how the router names it."""

    label: str
    response: Response
    templates: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """`expect`: of each state. `results`: of each state's tool. `router`: over all examples."""

    dialogue: Dialogue
    expect: Mapping[str, tuple[Prepared, ...]]
    results: Mapping[str, tuple[Prepared, ...]]
    intents: tuple[Prepared, ...]
    router: Router

    def state(self, name: str) -> State:
        return self.dialogue.states[name]


def compile_script(dialogue: Dialogue) -> Script:
    intents = tuple(_prepared(f"intents.{name}", response) for name, response in dialogue.intents.items())
    expect = {name: _all_prepared(f"{name}.expect", state.expect) for name, state in dialogue.states.items()}
    results = {
        name: _all_prepared(f"{name}.results", state.tool.results)
        for name, state in dialogue.states.items()
        if state.tool
    }
    router = Router(_sentences([*intents, *(response for own in expect.values() for response in own)]))
    return Script(dialogue, expect, results, intents, router)


def _all_prepared(label: str, responses: Sequence[Response]) -> tuple[Prepared, ...]:
    return tuple(_prepared(f"{label}.{number}", response) for number, response in enumerate(responses))


def _prepared(label: str, response: Response) -> Prepared:
    return Prepared(label, response, tuple(parse(source) for source in response.match))


def _sentences(responses: Sequence[Prepared]) -> Iterator[tuple[str, str]]:
    for prepared in responses:
        for sentence in prepared.response.examples:
            yield prepared.label, sentence
        for template in prepared.templates:
            for phrase in template.phrases():
                yield prepared.label, phrase
