"""What must hold of hooks beyond their fields: known events, conditions that can hold, templates, tools, code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agentd.config.conditions import COMPARISONS
from agentd.config.event_names import BEFORE_REPLY, HOOK_FIELDS, names_for
from agentd.config.source import Entry, ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.errors import Problem

TemplateProblems = Callable[[Mark, str, str, int, Collection[str]], Iterator[Problem]]
RefProblems = Callable[[Mark, str, str], Iterator[Problem]]


def hook_problems(
    root: MappingNode,
    values: Mapping[str, Any],
    tool_names: Collection[str] | None,
    templates: TemplateProblems,
    ref: RefProblems,
) -> Iterator[Problem]:
    """`values`: the agent's, by field, as far as they could be read; `tool_names`: what its tools are called, None
    where not all names can be known from the file."""
    written = root.get("hooks")
    variables = values.get("variables", {})
    known = {*(variables if isinstance(variables, Mapping) else ()), "event"}
    for number, hook in enumerate(written.items if isinstance(written, ListNode) else ()):
        if not isinstance(hook, MappingNode):
            continue
        pointer = pointer_to("/hooks", number)
        names = yield from _event(hook.get("on"), f"{pointer}/on")
        yield from _conditions(hook.get("if"), names, f"{pointer}/if")
        actions = hook.get("do")
        if isinstance(actions, MappingNode):
            yield from _actions(actions, f"{pointer}/do", known, tool_names, templates, ref)
            if BEFORE_REPLY in names:
                yield from _only_python(actions, f"{pointer}/do")


def _event(node: Node | None, pointer: str) -> Generator[Problem, None, tuple[str, ...]]:
    """Answers the names that it stands for."""
    if not isinstance(node, Scalar) or node.is_null:
        return ()
    names = names_for(node.text)
    if not names:
        near = get_close_matches(node.text, HOOK_FIELDS, 1)
        hint = f'did you mean "{near[0]}"?' if near else "docs/events.md lists them"
        yield node.mark.problem(pointer, "unknown-event", f'there is no event "{node.text}"', hint)
    return names


def _conditions(node: Node | None, names: tuple[str, ...], pointer: str) -> Iterator[Problem]:
    fields = list(dict.fromkeys(field for name in names for field in HOOK_FIELDS[name]))
    for entry in node.entries if isinstance(node, MappingNode) else ():
        here = pointer_to(pointer, entry.key)
        if names and entry.key.partition(".")[0] not in fields:
            near = get_close_matches(entry.key, fields, 1)
            hint = f'did you mean "{near[0]}"?' if near else f"it has: {', '.join(fields)}"
            yield entry.mark.problem(here, "unknown-field", f'the event has no field "{entry.key}"', hint)
        yield from _comparison(entry, here)


def _comparison(entry: Entry, pointer: str) -> Iterator[Problem]:
    hint = "write a value, {in: [...]}, {min: 1} or {max: 1}"
    if isinstance(entry.value, ListNode):
        yield entry.value.mark.problem(pointer, "wrong-type", f'"{entry.key}" is compared with a list', hint)
    for each in entry.value.entries if isinstance(entry.value, MappingNode) else ():
        here = pointer_to(pointer, each.key)
        if each.key not in COMPARISONS:
            near = get_close_matches(each.key, COMPARISONS, 1)
            better = f'did you mean "{near[0]}"?' if near else hint
            yield each.mark.problem(here, "unknown-key", f'there is no comparison "{each.key}"', better)
        elif each.key == "in" and not isinstance(each.value, ListNode):
            yield each.value.mark.problem(here, "wrong-type", '"in" must be a list')
        elif each.key != "in" and not _is_number(each.value):
            yield each.value.mark.problem(here, "wrong-type", f'"{each.key}" must be a number')


def _is_number(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _actions(
    actions: MappingNode,
    pointer: str,
    known: Collection[str],
    tool_names: Collection[str] | None,
    templates: TemplateProblems,
    ref: RefProblems,
) -> Iterator[Problem]:
    end, tool, python = actions.get("end"), actions.get("tool"), actions.get("python")
    handoff, told = actions.get("handoff"), actions.get("instructions")
    for node, place in (
        (actions.get("say"), "say"),
        (actions.get("generate"), "generate"),
        (end.get("say") if isinstance(end, MappingNode) else None, "end/say"),
        (handoff.get("say") if isinstance(handoff, MappingNode) else None, "handoff/say"),
        (told.get("append") if isinstance(told, MappingNode) else None, "instructions/append"),
        (told.get("replace") if isinstance(told, MappingNode) else None, "instructions/replace"),
    ):
        if isinstance(node, Scalar) and not node.is_null:
            first = node.mark.line + (1 if node.block else 0)
            yield from templates(node.mark, f"{pointer}/{place}", node.text, first, known)
    yield from _tools_named(actions.get("tools"), f"{pointer}/tools", tool_names)
    if isinstance(python, Scalar) and ":" in python.text:
        yield from ref(python.mark, f"{pointer}/python", python.text)
    name = tool.get("name") if isinstance(tool, MappingNode) else None
    if isinstance(name, Scalar) and tool_names is not None and name.text not in tool_names:
        near = get_close_matches(name.text, list(tool_names), 1)
        hint = f'did you mean "{near[0]}"?' if near else f"the tools are: {', '.join(tool_names) or 'none'}"
        yield name.mark.problem(f"{pointer}/tool/name", "unknown-tool", f'there is no tool "{name.text}"', hint)


def _tools_named(node: Node | None, pointer: str, known: Collection[str] | None) -> Iterator[Problem]:
    """Names that no tool of the file has; a tool's code may add some in a call: a warning."""
    for key in ("enable", "disable") if known is not None else ():
        names = node.get(key) if isinstance(node, MappingNode) else None
        for number, name in enumerate(names.items if isinstance(names, ListNode) else ()):
            if isinstance(name, Scalar) and name.text not in (known or ()):
                near = get_close_matches(name.text, list(known or ()), 1)
                hint = f'did you mean "{near[0]}"?' if near else f"the tools are: {', '.join(known or ()) or 'none'}"
                message = f'there is no tool "{name.text}" in this file'
                yield name.mark.problem(
                    pointer_to(f"{pointer}/{key}", number), "unknown-tool", message, hint, warning=True
                )


def _only_python(actions: MappingNode, pointer: str) -> Iterator[Problem]:
    """What the reply waits for answers with a change of the turn, which only a function can."""
    for entry in actions.entries:
        if entry.key != "python":
            message = f'"{entry.key}" cannot be done before a reply: only a Python function can'
            yield entry.mark.problem(pointer_to(pointer, entry.key), "not-allowed", message)
