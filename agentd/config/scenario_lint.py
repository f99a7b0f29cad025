"""What must hold of an agent's tests beyond their fields: names told apart, known tools, expressions that are some."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.errors import Problem


def scenario_problems(
    root: MappingNode, values: Mapping[str, Any], tool_names: Collection[str] | None
) -> Iterator[Problem]:
    """`tool_names`: what the agent's tools are called, None where not all names can be known from the file."""
    tests = root.get("tests")
    if not isinstance(tests, MappingNode):
        return
    if values.get("realtime") is not None:
        message = '"tests" has no place beside "realtime": its conversations are of text'
        yield root.mark_of("tests").problem("/tests", "conflict", message)
    yield from _given(tests, "/tests", tool_names)
    names: dict[str, int] = {}
    for number, scenario in _items(tests.get("scenarios")):
        pointer = f"/tests/scenarios/{number}"
        yield from _given(scenario, pointer, tool_names)
        yield from _name(scenario, pointer, names)
        for turn_number, turn in _items(scenario.get("turns")):
            yield from _turn(turn, f"{pointer}/turns/{turn_number}", tool_names)


def _items(node: Node | None) -> Iterator[tuple[int, MappingNode]]:
    for number, item in enumerate(node.items if isinstance(node, ListNode) else ()):
        if isinstance(item, MappingNode):
            yield number, item


def _name(scenario: MappingNode, pointer: str, names: dict[str, int]) -> Iterator[Problem]:
    name = scenario.get("name")
    if not isinstance(name, Scalar):
        return
    if name.text in names:
        message = f'a second scenario is named "{name.text}"'
        yield name.mark.problem(
            f"{pointer}/name", "duplicate-name", message, f"the first is in line {names[name.text]}"
        )
    names.setdefault(name.text, name.mark.line)


def _given(block: MappingNode, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    given = block.get("tools")
    for entry in given.entries if isinstance(given, MappingNode) else ():
        here = pointer_to(f"{pointer}/tools", entry.key)
        yield from _known(entry.key, entry.mark, here, tool_names)
        written = entry.value.by_key if isinstance(entry.value, MappingNode) else {}
        if isinstance(entry.value, MappingNode) and ("result" in written) == ("error" in written):
            yield entry.value.mark.problem(here, "conflict", 'one of "result" and "error" is wanted')


def _turn(turn: MappingNode, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    expected = turn.get("expect")
    if not isinstance(expected, MappingNode):
        return
    pattern = expected.get("matches")
    if isinstance(pattern, Scalar) and not pattern.is_null:
        try:
            re.compile(pattern.text)
        except re.error as error:
            message = f"no regular expression: {error}"
            yield pattern.mark.problem(f"{pointer}/expect/matches", "bad-pattern", message)
    for number, call in _items(expected.get("calls")):
        name = call.get("name")
        if isinstance(name, Scalar):
            yield from _known(name.text, name.mark, f"{pointer}/expect/calls/{number}/name", tool_names)


def _known(name: str, mark: Mark, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    """A tool's code may add others in a call: a warning."""
    if tool_names is None or name in tool_names:
        return
    near = get_close_matches(name, list(tool_names), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"the tools are: {', '.join(tool_names) or 'none'}"
    yield mark.problem(pointer, "unknown-tool", f'there is no tool "{name}" in this file', hint, warning=True)
