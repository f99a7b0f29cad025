"""A dialogue as data: states, what each expects, and what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import JsonObject, setting
from agentd_scripted.templates import parse

SlotType = Literal["number", "digits", "date", "time", "name", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What to do when the caller says something like this: in one state (`expect`), or in any (`intents`)."""

    match: tuple[str, ...] = setting(
        "Templates of the whole sentence: words, [optional], (one|other), {slot:type}, * for any words. Types: number, "
        "digits, date, time, name, text.",
        default=(),
        interpolate=False,
        examples=(["(yes|yeah|correct) *"], ["[a table] for {people:number} [people]"]),
    )
    examples: tuple[str, ...] = setting(
        "Sentences of the same meaning: what no template matches goes to the nearest of them.",
        default=(),
        interpolate=False,
    )
    find: Mapping[str, SlotType] = setting(
        "Slots to be filled from anywhere in the sentence: {people: number, day: date}.",
        default_factory=dict,
    )
    set: JsonObject = setting(
        "Slots to be given these values; {slot} is filled in.", default_factory=dict, interpolate=False
    )
    forget: tuple[str, ...] = setting("Slots to be emptied.", default=())
    say: str | None = setting("Spoken first; {slot} is filled in.", default=None, interpolate=False)
    goto: str | None = setting("The next state; without it the question is asked again.", default=None)
    repeat: bool = setting("Say again what was said last.", default=False)

    def __post_init__(self) -> None:
        if not (self.match or self.examples or self.find):
            raise ValueError("one of match, examples and find is needed")
        for template in self.match:
            parse(template)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that the model of this dialogue calls when the state is entered."""

    name: str = setting("The tool, as the agent's `tools` name it.", min_length=1)
    arguments: Mapping[str, str] = setting(
        'Argument to text; "{slot}" alone keeps the slot\'s type.', default_factory=dict, interpolate=False
    )
    results: tuple[Response, ...] = setting(
        "The first whose template matches the result's text is followed.", default=()
    )
    say: str | None = setting(
        "Spoken after any other result: {result} is its text, {result.key} a key of its JSON object.",
        default=None,
        interpolate=False,
    )
    goto: str | None = setting("The next state after any other result.", default=None)
    error_say: str = setting("Spoken when the tool fails.", default="I am sorry, that did not work.", interpolate=False)
    error_goto: str | None = setting("The next state when the tool fails.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One point of the dialogue. Entered: skipped, or said, then the tool, then `goto` unless something is expected."""

    say: str | None = setting(
        "Spoken on entering; {slot} and {variable} are filled in.", default=None, interpolate=False
    )
    unless: tuple[str, ...] = setting(
        "Go on to `goto` at once, without a word, when all these slots are filled.", default=()
    )
    expect: tuple[Response, ...] = setting("What the caller may answer.", default=())
    tool: ToolUse | None = setting("A tool to call on entering.", default=None)
    goto: str | None = setting("The next state, where nothing is expected or `unless` holds.", default=None)
    reprompts: tuple[str, ...] = setting(
        "Instead of the dialogue's reprompts; {prompt} is this state's `say`.", default=(), interpolate=False
    )
    on_no_match: str | None = setting("The state to go to when the reprompts are used up.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation as a graph of states. Its position is a pure function of the chat so far."""

    start: str = setting("The first state. Its `say` is spoken only where the agent has no greeting.")
    states: Mapping[str, State] = setting("States by name.", min_length=1)
    intents: Mapping[str, Response] = setting(
        "Understood in every state: help, repeat, human, goodbye ...", default_factory=dict
    )
    reprompts: tuple[str, ...] = setting(
        "Spoken when nothing is understood, one after the other; {prompt} is the state's `say`.",
        default=("Sorry, I did not get that. {prompt}", "I still did not understand. {prompt}"),
        min_length=1,
        interpolate=False,
    )
    on_no_match: str | None = setting("The state to go to when the reprompts are used up.", default=None)
    fuzziness: float = setting(
        "Likeness to an example that is enough; 1 wants equality.", default=0.5, minimum=0.2, maximum=1.0
    )

    def __post_init__(self) -> None:
        unknown = [
            f'{where} names no state: "{name}"' for where, name in _targets(self) if name and name not in self.states
        ]
        if unknown:
            raise ValueError("; ".join(unknown))


def _targets(dialogue: Dialogue) -> Iterator[tuple[str, str | None]]:
    """Every place that names a state, and the state that it names."""
    yield "start", dialogue.start
    yield "on_no_match", dialogue.on_no_match
    for name, intent in dialogue.intents.items():
        yield f"intents.{name}.goto", intent.goto
    for name, state in dialogue.states.items():
        yield f"states.{name}.goto", state.goto
        yield f"states.{name}.on_no_match", state.on_no_match
        for number, response in enumerate(state.expect, start=1):
            yield f"goto of expect {number} of states.{name}", response.goto
        if state.tool:
            yield f"states.{name}.tool.goto", state.tool.goto
            yield f"states.{name}.tool.error_goto", state.tool.error_goto
            for number, response in enumerate(state.tool.results, start=1):
                yield f"goto of result {number} of states.{name}.tool", response.goto
