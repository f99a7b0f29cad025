"""The dialogue as a pure function of the chat: replayed from its first item, it answers what comes next.

Nothing is remembered between requests. So the dialogue is in the right place after an interruption
(the caller's words count, however little of the answer was heard), in another process that took the
call over, and when the oldest items are gone: then the agent's own words say where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.speakers import Speaker, may_answer
from agentd_scripted.dialogue import Response, ToolUse
from agentd_scripted.listening import Heard, matching_result, understand
from agentd_scripted.script import Script
from agentd_scripted.slots import Value
from agentd_scripted.wording import argument, captured, fill, result_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the dialogue is. `misses`: sentences not understood in a row. `before`: where a call that awaits its
    result was made from, and to where the dialogue falls back when there never is one. `consent`: somebody is asked
    whether that call may be made.
    """

    state: str
    slots: Mapping[str, Value] = field(default_factory=dict)
    misses: int = 0
    said: str = ""
    calls: int = 0
    before: Position | None = None
    consent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says and does in one step. `rule`: why, for logs and tests."""

    text: str = ""
    call: ToolCall | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    position: Position
    answer: Answer


class Places:
    """Where the dialogue is with each of several people. What was asked of one is answered by nobody else: another's
    words are heard in a dialogue of their own, which begins where that of whoever is new begins."""

    def __init__(self, opening: Step) -> None:
        self._opening = opening
        self._steps: list[tuple[Speaker | None, Step]] = []
        self._calls = 0
        self.speaker: Speaker | None = None  # who spoke last

    def of(self, speaker: Speaker | None) -> Position:
        """Where this person's words are heard."""
        own = [step for whom, step in self._steps if whom == speaker]
        asked = [*own, *(step for whom, step in self._steps if may_answer(speaker, whom)), self._opening]
        return replace(asked[0].position, calls=self._calls)

    def put(self, speaker: Speaker | None, step: Step) -> None:
        """The dialogue with this person has come to there: what it asks now is asked of them."""
        self.speaker, self._calls = speaker, step.position.calls
        self._steps = [(whom, each) for whom, each in self._steps if whom != speaker]
        self._steps.append((speaker, step))


class Engine:
    """One script, replayed for any number of conversations. Holds no conversation's state."""

    def __init__(self, script: Script, variables: Mapping[str, Any] | None = None) -> None:
        self._script = script
        self._variables = dict(variables or {})

    def with_variables(self, variables: Mapping[str, Any]) -> Engine:
        return Engine(self._script, variables)

    def reply(self, items: Sequence[ChatItem]) -> Step:
        """The answer to the chat's last item, and the position after it."""
        step = self._opening(items)
        places = Places(step)
        collecting = ""  # by which tool agentd asks the caller itself: their answers are not the dialogue's
        for item in items:
            if isinstance(item, ToolResult) and is_collecting(item.content):
                collecting = item.name
            elif collecting and not (isinstance(item, ToolResult) and item.name == collecting):
                continue
            elif isinstance(item, Message) and item.role == "user":
                step = self._hear(places.of(item.speaker), item.words)
                places.put(item.speaker, step)
            elif isinstance(item, ToolResult):
                collecting = ""
                step = self._learn(step, item)
                places.put(places.speaker, step)
        return step

    def _opening(self, items: Sequence[ChatItem]) -> Step:
        """The first state; or, where the beginning was cut off, the one in which the agent's first words were said."""
        begin = Position(state=self._script.dialogue.start)
        start = self._enter(begin, begin, [], "start")
        first = next((item for item in items if not (isinstance(item, Message) and item.role == "system")), None)
        if not isinstance(first, Message) or first.role != "assistant":
            return start
        for name, state in self._script.dialogue.states.items():
            slots = captured(state.say, first.text) if state.say else None
            if slots is not None:
                return replace_position(start, Position(state=name, slots=self._typed(name, slots), said=first.text))
        return replace_position(start, replace(start.position, said=first.text))

    def _typed(self, state: str, slots: Mapping[str, str]) -> dict[str, Value]:
        """Slots read back from speech; what was a number becomes one again."""
        return {name: int(text) if text.isdecimal() and text[0] != "0" else text for name, text in slots.items()}

    def _hear(self, position: Position, sentence: str) -> Step:
        if position.consent:
            return self._hear_meanwhile(position, sentence)
        here = position.before or position  # a tool that was never answered was never called
        here = replace(here, calls=position.calls, before=None)
        heard = understand(self._script, here.state, sentence)
        return self._follow(here, heard) if heard else self._miss(here)

    def _hear_meanwhile(self, position: Position, sentence: str) -> Step:
        """While agentd asks whether the tool of this state may be called: what the state expects, a no perhaps, or what
        was expected before. Anything else is for agentd to take for an answer, and to ask again."""
        waits = replace(position, before=None, consent=False)
        before = replace(position.before or waits, calls=position.calls, before=None)
        for here in (waits, before):
            heard = understand(self._script, here.state, sentence)
            if heard is not None and not heard.response.response.repeat:
                return self._follow(here, heard)
        return Step(position, Answer(rule="consent"))

    def _follow(self, here: Position, heard: Heard) -> Step:
        response = heard.response.response
        if response.repeat:
            return Step(replace(here, misses=0), Answer(text=here.said or self._prompt(here), rule="repeat"))
        slots: dict[str, Value] = {name: value for name, value in here.slots.items() if name not in response.forget}
        slots |= heard.slots
        slots |= {name: self._fill(v, slots) if isinstance(v, str) else v for name, v in response.set.items()}
        there = replace(here, slots=slots, misses=0)
        return self._go(there, response, heard.rule)

    def _go(self, here: Position, response: Response, rule: str, extra: Mapping[str, Any] | None = None) -> Step:
        """Says the response's words and goes where it leads; without `goto` the state's question is asked again."""
        said = [self._fill(response.say, here.slots, extra)] if response.say else []
        if response.goto:
            return self._enter(replace(here, state=response.goto), here, said, rule)
        if self._passed(here) and (onward := self._script.state(here.state).goto):
            return self._enter(replace(here, state=onward), here, said, rule)
        return self._spoken(here, [*said, self._prompt(here)], rule)

    def _miss(self, here: Position) -> Step:
        state, dialogue = self._script.state(here.state), self._script.dialogue
        reprompts = state.reprompts or dialogue.reprompts
        onward = state.on_no_match or dialogue.on_no_match
        if here.misses >= len(reprompts) and onward and onward != here.state:
            return self._enter(replace(here, state=onward, misses=0), here, [], "no_match")
        text = reprompts[min(here.misses, len(reprompts) - 1)]
        spoken = self._fill(text, here.slots, {"prompt": self._prompt(here)})
        return Step(replace(here, misses=here.misses + 1), Answer(text=spoken, rule="reprompt"))

    def _enter(self, here: Position, origin: Position, said: list[str], rule: str) -> Step:
        """Goes through states until one expects an answer, calls a tool, or leads nowhere.

        `origin`: where the caller was heard, to which an unanswered tool call falls back.
        """
        for _ in range(len(self._script.dialogue.states) + 1):
            state = self._script.state(here.state)
            if not self._passed(here):
                said = [*said, self._prompt(here)]
                if state.tool:
                    return self._call(here, origin, state.tool, said, rule)
                if state.expect:
                    break
            if state.goto is None:
                break
            here = replace(here, state=state.goto)
        return self._spoken(here, said, rule)

    def _call(self, here: Position, origin: Position, tool: ToolUse, said: list[str], rule: str) -> Step:
        values = self._values(here.slots)
        arguments = {name: argument(text, values) for name, text in tool.arguments.items()}
        call = ToolCall(
            id=f"call_{here.calls + 1}", name=tool.name, arguments=json.dumps(arguments, ensure_ascii=False)
        )
        text = _joined(said)
        fallback = replace(origin, before=None, misses=0)
        there = replace(here, calls=here.calls + 1, said=text or here.said, before=fallback)
        return Step(there, Answer(text=text, call=call, rule=rule))

    def _learn(self, step: Step, result: ToolResult) -> Step:
        """Follows a tool's result; one that nobody waits for changes nothing."""
        here = step.position
        tool = self._script.state(here.state).tool
        if here.before is None or tool is None or tool.name != result.name:
            return step
        heard = matching_result(self._script.results[here.state], result.content)
        if heard is None and awaits_consent(result.content):
            return Step(replace(here, consent=True), Answer(rule="consent"))
        here = replace(here, before=None, consent=False)
        extra = result_values(result.content)
        if result.is_error:
            return self._after_tool(here, tool.error_say, tool.error_goto, extra, "tool_error")
        if heard:
            there = replace(here, slots={**_without(here.slots, heard.response.response.forget), **heard.slots})
            response = heard.response.response
            return self._after_tool(there, response.say, response.goto, extra, "tool_result")
        return self._after_tool(here, tool.say, tool.goto, extra, "tool_result")

    def _after_tool(
        self, here: Position, say: str | None, goto: str | None, extra: Mapping[str, Any], rule: str
    ) -> Step:
        said = [self._fill(say, here.slots, extra)] if say else []
        return self._enter(replace(here, state=goto), here, said, rule) if goto else self._spoken(here, said, rule)

    def _passed(self, here: Position) -> bool:
        wanted = self._script.state(here.state).unless
        return bool(wanted) and all(here.slots.get(name) not in (None, "") for name in wanted)

    def _prompt(self, here: Position) -> str:
        return self._fill(self._script.state(here.state).say or "", here.slots)

    def _spoken(self, here: Position, said: list[str], rule: str) -> Step:
        text = _joined(said)
        return Step(replace(here, said=text or here.said), Answer(text=text, rule=rule))

    def _fill(self, text: str, slots: Mapping[str, Value], extra: Mapping[str, Any] | None = None) -> str:
        return fill(text, {**self._values(slots), **(extra or {})})

    def _values(self, slots: Mapping[str, Value]) -> dict[str, Any]:
        return {**self._variables, **slots}


def is_collecting(content: str) -> bool:
    """Whether a tool's result says that a task has begun, whose result is still to come."""
    try:
        result = json.loads(content)
    except ValueError:
        return False
    return isinstance(result, dict) and result.get("status") == "collecting"


def awaits_consent(content: str) -> bool:
    """Whether a tool's result says that somebody is asked first whether it may be called. If they agree, its own
    result comes of itself."""
    return content.startswith(("Not called yet: ", "Not called yet. "))


def replace_position(step: Step, position: Position) -> Step:
    return Step(position, step.answer)


def _joined(said: Sequence[str]) -> str:
    return " ".join(part for part in said if part)


def _without(slots: Mapping[str, Value], forget: Sequence[str]) -> dict[str, Value]:
    return {name: value for name, value in slots.items() if name not in forget}
