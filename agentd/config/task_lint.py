"""What must hold of tasks beyond their fields: names that are there, ways to begin them, templates, languages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.config.tasks import DIGITS_TASK
from agentd.errors import Problem

TemplateProblems = Callable[[Mark, str, str, int, Collection[str]], Iterator[Problem]]

RULE_LANGUAGES = ("en", "de")
"""Whose words `agentd.session.reading` knows; a test holds the two together."""


def task_problems(
    root: MappingNode, values: Mapping[str, Any], tool_names: Collection[str] | None, templates: TemplateProblems
) -> Iterator[Problem]:
    """`values`: the agent's, by field, as far as they could be read; `tool_names`: what its tools are called, None
    where nobody can tell all of them."""
    written = root.get("tasks")
    tasks = [item for item in written.items if isinstance(item, MappingNode)] if isinstance(written, ListNode) else []
    names = [name.text for task in tasks if isinstance(name := task.get("name"), Scalar)]
    yield from _hooks(root, names)
    variables = values.get("variables", {})
    known = {*(variables if isinstance(variables, Mapping) else ()), *_fields(tasks)}
    yield from _names(tasks, tool_names or ())
    begun_by_hooks = {task.text for _, task in _hook_tasks(root)}
    started = False
    for number, task in enumerate(tasks):
        pointer = pointer_to("/tasks", number)
        yield from _reachable(task, pointer, begun_by_hooks)
        yield from _languages(task, pointer, values)
        yield from _tools(task, pointer, tool_names)
        yield from _texts(task, pointer, known, templates)
        at_start = task.get("at_start")
        if isinstance(at_start, Scalar) and at_start.value is True:
            if started:
                message = 'a second task has "at_start": one can begin with the call'
                yield task.mark_of("at_start").problem(f"{pointer}/at_start", "conflict", message)
            started = True


def _fields(tasks: list[MappingNode]) -> Iterator[str]:
    for task in tasks:
        fields = task.get("fields")
        for field in fields.items if isinstance(fields, ListNode) else ():
            name = field.get("name") if isinstance(field, MappingNode) else None
            if isinstance(name, Scalar):
                yield name.text


def _names(tasks: list[MappingNode], tool_names: Collection[str]) -> Iterator[Problem]:
    seen: dict[str, Mark] = {}
    for number, task in enumerate(tasks):
        name = task.get("name")
        if not isinstance(name, Scalar):
            continue
        here = f"/tasks/{number}/name"
        if name.text in seen:
            hint = f"the first is in line {seen[name.text].line}"
            yield name.mark.problem(here, "name-clash", f'a second task is named "{name.text}"', hint)
        elif f"collect_{name.text}" in tool_names:
            also = " (it begins a task of its own)" if name.text == DIGITS_TASK else ""
            message = f'the tool "collect_{name.text}" has the name by which the task is begun{also}'
            yield name.mark.problem(here, "tool-name-clash", message, "name the task otherwise")
        seen.setdefault(name.text, name.mark)


def _reachable(task: MappingNode, pointer: str, begun_by_hooks: Collection[str]) -> Iterator[Problem]:
    name, at_start = task.get("name"), task.get("at_start")
    by_start = isinstance(at_start, Scalar) and at_start.value is True
    if isinstance(name, Scalar) and not (task.get("description") or by_start or name.text in begun_by_hooks):
        hint = 'write a "description" for the model, "at_start: true", or a hook with "task"'
        message = f'nothing begins the task "{name.text}"'
        yield name.mark.problem(f"{pointer}/name", "unreachable", message, hint, warning=True)


def _languages(task: MappingNode, pointer: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    understanding = task.get("understanding")
    if not isinstance(understanding, Scalar) or understanding.text != "rules":
        return
    languages = values.get("languages", {})
    tags = [values.get("language", "en"), *(languages if isinstance(languages, Mapping) else ())]
    unknown = [tag for tag in tags if isinstance(tag, str) and tag.split("-")[0].lower() not in RULE_LANGUAGES]
    if unknown:
        message = f"the rules do not know the language {', '.join(unknown)}, but {', '.join(RULE_LANGUAGES)}"
        hint = "write understanding: auto: then the model reads the answers"
        yield understanding.mark.problem(f"{pointer}/understanding", "no-language", message, hint)


def _tools(task: MappingNode, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    kept = task.get("tools")
    for number, item in enumerate(kept.items if isinstance(kept, ListNode) else ()):
        yield from _tool(item, f"{pointer}/tools/{number}", tool_names)
    done, fields = task.get("done"), task.get("fields")
    if isinstance(done, MappingNode):
        yield from _tool_action(done.get("tool"), f"{pointer}/done/tool", tool_names)
    for number, field in enumerate(fields.items if isinstance(fields, ListNode) else ()):
        if isinstance(field, MappingNode):
            yield from _tool_action(field.get("tool"), f"{pointer}/fields/{number}/tool", tool_names)


def _tool_action(node: Node | None, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    if isinstance(node, MappingNode):
        yield from _tool(node.get("name"), f"{pointer}/name", tool_names)


def _tool(node: Node | None, pointer: str, tool_names: Collection[str] | None) -> Iterator[Problem]:
    if isinstance(node, Scalar) and tool_names is not None and node.text not in tool_names:
        hint = _near(node.text, tool_names, "tools")
        yield node.mark.problem(pointer, "unknown-tool", f'there is no tool "{node.text}"', hint)


def _texts(task: MappingNode, pointer: str, known: Collection[str], templates: TemplateProblems) -> Iterator[Problem]:
    done, fields = task.get("done"), task.get("fields")
    places: list[tuple[Node | None, str]] = [(task.get("instructions"), "instructions")]
    if isinstance(done, MappingNode):
        places.append((done.get("say"), "done/say"))
    for number, field in enumerate(fields.items if isinstance(fields, ListNode) else ()):
        if isinstance(field, MappingNode):
            places += [(field.get(key), f"fields/{number}/{key}") for key in ("ask", "retry", "say")]
    for node, place in places:
        if isinstance(node, Scalar) and not node.is_null:
            first = node.mark.line + (1 if node.block else 0)
            yield from templates(node.mark, f"{pointer}/{place}", node.text, first, known)


def _hook_tasks(root: MappingNode) -> Iterator[tuple[int, Scalar]]:
    hooks = root.get("hooks")
    for number, hook in enumerate(hooks.items if isinstance(hooks, ListNode) else ()):
        actions = hook.get("do") if isinstance(hook, MappingNode) else None
        task = actions.get("task") if isinstance(actions, MappingNode) else None
        if isinstance(task, Scalar) and not task.is_null:
            yield number, task


def _hooks(root: MappingNode, names: Collection[str]) -> Iterator[Problem]:
    for number, task in _hook_tasks(root):
        if task.text not in names:
            hint = _near(task.text, names, "tasks")
            yield task.mark.problem(f"/hooks/{number}/do/task", "unknown-task", f'there is no task "{task.text}"', hint)


def _near(name: str, known: Collection[str], what: str) -> str:
    near = get_close_matches(name, list(known), 1)
    return f'did you mean "{near[0]}"?' if near else f"the {what} are: {', '.join(known) or 'none'}"
