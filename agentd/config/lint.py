"""What must hold between the parts of one agent: templates and variables, names of tools, Python code."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from agentd.config import templates
from agentd.config.busy import POSITION
from agentd.config.busy_rules import audio_problems, busy_texts
from agentd.config.definition import Greeting, LanguageOverride, Limits, ToolDefinition
from agentd.config.folder import FileRefused, Folder
from agentd.config.handoff_lint import handoff_problems, handoff_tools
from agentd.config.hook_lint import hook_problems
from agentd.config.provider_choice import ProviderChoice
from agentd.config.realtime_lint import realtime_problems
from agentd.config.rules import looks_like_secret
from agentd.config.scenario_lint import scenario_problems
from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.config.task_lint import task_problems
from agentd.config.tool_names import ToolNames, tool_names
from agentd.config.tools import ProviderTool, PythonTool
from agentd.errors import Problem
from agentd.providers.fields import IncludedFile
from agentd.providers.language_id import primary
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings
from agentd.providers.turn_detector import TurnDetectorSettings

MAX_TOOLS = 128  # OpenAI's limit, the lowest of the common ones
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def lint(root: MappingNode, values: Mapping[str, Any], folder: Folder, tools_allow: Sequence[str]) -> Iterator[Problem]:
    """Problems of an agent whose fields were read as far as they could be (`values`, by field)."""
    tools = values.get("tools")
    tools = tools if isinstance(tools, tuple) else ()
    yield from _prompts(root)
    yield from _templates(root, values, folder)
    names = tool_names(node_at(root, "tools"), folder)
    yield from _tool_names(root, tools, names.known)
    yield from _read_backs(root, values, tools)
    yield from _tool_choice(root, values, names)
    yield from _provider_tools(root, values, tools)
    yield from _python_tools(root, tools, folder, tools_allow)
    known_tools = list(dict.fromkeys(name for _, name in names.known))
    yield from handoff_problems(root, values, known_tools, template_problems)
    yield from task_problems(root, values, None if names.more else known_tools, template_problems)
    yield from hook_problems(
        root,
        values,
        None if names.more else [*known_tools, *handoff_tools(root)],
        template_problems,
        lambda mark, pointer, ref: _python_ref(mark, pointer, ref, folder, tools_allow),
    )
    yield from scenario_problems(root, values, None if names.more else [*known_tools, *handoff_tools(root)])
    yield from _languages(root, values)
    yield from _shared_languages(root, values)
    yield from realtime_problems(root, values)
    yield from audio_problems(root, folder)
    yield from _secrets(root, "")


def template_problems(
    mark: Mark, pointer: str, text: str, first_line: int, variables: Collection[str]
) -> Iterator[Problem]:
    """Faults of a template whose first line stands at `first_line` of the mark's file."""
    for fault in templates.faults(text, variables):
        line = first_line + fault.line - 1
        at = mark if line == mark.line else Mark(mark.file, line, 1)
        yield at.problem(pointer, fault.code, fault.message, fault.hint)


def node_at(root: Node, *path: str | int) -> Node | None:
    """The node at a path of keys and indices."""
    found: Node | None = root
    for step in path:
        if isinstance(found, MappingNode) and isinstance(step, str):
            found = found.get(step)
        elif isinstance(found, ListNode) and isinstance(step, int) and step < len(found.items):
            found = found.items[step]
        else:
            return None
    return found


def _prompts(root: MappingNode) -> Iterator[Problem]:
    if root.get("instructions") and root.get("instructions_file"):
        entry = root.by_key["instructions_file"]
        message = '"instructions" and "instructions_file" exclude each other'
        yield entry.mark.problem("/instructions_file", "conflict", message)


def _templates(root: MappingNode, values: Mapping[str, Any], folder: Folder) -> Iterator[Problem]:
    variables = values.get("variables", {})
    if not isinstance(variables, Mapping):
        return
    included = values.get("instructions_file")
    if isinstance(included, IncludedFile):
        mark = Mark(folder.shown(included.path), 1, 1)
        yield from template_problems(mark, "/instructions_file", included.text, 1, variables)
    for path, text in _texts(values):
        node = node_at(root, *path)
        if isinstance(node, Scalar):
            first = node.mark.line + (1 if node.block else 0)
            pointer = ""
            for step in path:
                pointer = pointer_to(pointer, step)
            known = {*variables, POSITION} if path[-2:] == ("queue", "say") else variables
            yield from template_problems(node.mark, pointer, text, first, known)


def _tool_choice(root: MappingNode, values: Mapping[str, Any], found: ToolNames) -> Iterator[Problem]:
    """A tool that it names is one of the agent's, as far as their names are known here."""
    choice, node = values.get("tool_choice"), root.get("tool_choice")
    if not isinstance(choice, str) or choice in ("auto", "none") or not isinstance(node, Scalar):
        return
    names = list(dict.fromkeys(name for _, name in found.known))
    if found.more or (choice == "required" and names) or choice in names:
        return
    near = get_close_matches(choice, [*names, "auto", "required", "none"], 1)
    hint = f'did you mean "{near[0]}"?' if near else f"auto, required, none or one of {', '.join(names) or 'none'}"
    message = '"required" needs a tool' if choice == "required" else f'there is no tool "{choice}"'
    yield node.mark.problem("/tool_choice", "unknown-tool", message, hint if choice != "required" else "")


def _provider_tools(root: MappingNode, values: Mapping[str, Any], tools: Sequence[ToolDefinition]) -> Iterator[Problem]:
    """Whoever may be asked, fallbacks too, has them."""
    wanted = {tool.name for tool in tools if isinstance(tool, ProviderTool)}
    llm, realtime = values.get("llm"), values.get("realtime")
    asked = [llm, *llm.fallback] if isinstance(llm, ProviderChoice) else []
    asked += [realtime] if isinstance(realtime, ProviderChoice) else []
    written = root.get("tools")
    for number, item in enumerate(written.items if isinstance(written, ListNode) else ()):
        kind, name = (item.get("type"), item.get("name")) if isinstance(item, MappingNode) else (None, None)
        if not isinstance(kind, Scalar) or kind.text != "provider" or not isinstance(name, Scalar):
            continue
        for model in asked if name.text in wanted else ():
            known = sorted(getattr(model.settings, "provider_tools", ()))
            if name.text not in known:
                message = f'the model of "{model.provider}" has no tool "{name.text}" of its own'
                near = get_close_matches(name.text, known, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"it has: {', '.join(known) or 'none'}"
                yield name.mark.problem(f"/tools/{number}/name", "unknown-tool", message, hint)


def _read_backs(root: MappingNode, values: Mapping[str, Any], tools: Sequence[ToolDefinition]) -> Iterator[Problem]:
    """Templates over the arguments, of which only those of some kinds of tools are known here."""
    variables = values.get("variables", {})
    variables = variables if isinstance(variables, Mapping) else {}
    for number, tool in enumerate(tools):
        node = node_at(root, "tools", number, "confirm", "read_back")
        if isinstance(tool, ProviderTool) or not isinstance(node, Scalar):
            continue
        if tool.confirm is None or tool.confirm.read_back is None:
            continue
        if node.text != tool.confirm.read_back:  # a tool before it could not be read, which was said
            continue
        parameters = getattr(tool, "parameters", None)
        known = {*variables, *(parameters or {}).get("properties", {})}
        first = node.mark.line + (1 if node.block else 0)
        for problem in template_problems(
            node.mark, f"/tools/{number}/confirm/read_back", tool.confirm.read_back, first, known
        ):
            if parameters is not None or problem.code != "undefined-variable":
                yield problem


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of the agent that is a template."""
    yield from busy_texts(values.get("when_busy"))
    if isinstance(values.get("instructions"), str):
        yield ("instructions",), values["instructions"]
    yield from _greeting_texts((), values.get("greeting"))
    limits = values.get("limits")
    if isinstance(limits, Limits) and limits.idle_prompt:
        yield ("limits", "idle_prompt", "say"), limits.idle_prompt.say
    if isinstance(limits, Limits) and limits.warning:
        yield ("limits", "warning"), limits.warning
    languages = values.get("languages")
    for tag, override in languages.items() if isinstance(languages, Mapping) else ():
        if isinstance(override, LanguageOverride):
            yield from _greeting_texts(("languages", tag), override.greeting)
            if override.instructions:
                yield ("languages", tag, "instructions"), override.instructions


def _greeting_texts(path: tuple[str, ...], greeting: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(greeting, Greeting):
        if greeting.say:
            yield (*path, "greeting", "say"), greeting.say
        if greeting.generate:
            yield (*path, "greeting", "generate"), greeting.generate


def _tool_names(
    root: MappingNode, tools: Sequence[ToolDefinition], named: Sequence[tuple[Mark, str]]
) -> Iterator[Problem]:
    """Names must differ, as the model calls a tool by its name. Items that could not be read are not in `tools`."""
    places = {name: mark for mark, name in reversed(named)}
    seen: set[str] = set()
    for mark, name in named:
        if name in seen:
            first = places[name]
            hint = f"the first is in line {first.line}" if first.file == mark.file else f"the first is in {first.file}"
            yield mark.problem("/tools", "tool-name-clash", f'a second tool is named "{name}"', hint)
        seen.add(name)
    if len(tools) > MAX_TOOLS:
        message = f"more than {MAX_TOOLS} tools: models take no more"
        yield root.mark_of("tools").problem("/tools", "too-many-tools", message)


def _python_tools(
    root: MappingNode, tools: Sequence[ToolDefinition], folder: Folder, allow: Sequence[str]
) -> Iterator[Problem]:
    refs = {tool.ref for tool in tools if isinstance(tool, PythonTool)}
    written = node_at(root, "tools")
    for number, item in enumerate(written.items if isinstance(written, ListNode) else ()):
        ref = node_at(item, "ref")
        if isinstance(ref, Scalar) and ref.text in refs:
            yield from _python_ref(ref.mark, f"/tools/{number}/ref", ref.text, folder, allow)


def _python_ref(mark: Mark, pointer: str, ref: str, folder: Folder, allow: Sequence[str]) -> Iterator[Problem]:
    module, _, path = ref.partition(":")
    function = path.partition(".")[0]
    root = module.partition(".")[0]
    if not any(fnmatchcase(module, pattern) for pattern in allow):
        message = f'"{module}" is not under a root that tools_allow permits'
        yield mark.problem(pointer, "tool-not-allowed", message, f"permitted: {', '.join(allow) or 'none'}")
    elif folder.has_package(root):
        yield from _function(mark, pointer, module, function, folder)
    elif root in sys.stdlib_module_names or not _is_installed(root):
        message = f'there is no Python module "{module}" in the agents\' directory or among the installed packages'
        yield mark.problem(pointer, "tool-not-found", message)


def _function(mark: Mark, pointer: str, module: str, function: str, folder: Folder) -> Iterator[Problem]:
    file = folder.module_file(module)
    if file is None:
        near = folder.near_module(module)
        hint = f'did you mean "{near}"?' if near else ""
        yield mark.problem(pointer, "tool-not-found", f'there is no Python module "{module}"', hint)
        return
    try:
        names = _top_level_names(ast.parse(folder.read(file)))
    except FileRefused as refused:
        yield mark.problem(pointer, refused.code, refused.message, refused.hint)
        return
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        text = getattr(error, "msg", None) or str(error)
        yield Mark(folder.shown(file), line, max(column, 1)).problem(pointer, "python-syntax", text)
        return
    if function not in names and "*" not in names:
        close = get_close_matches(function, sorted(names), 1)
        hint = f'did you mean "{close[0]}"?' if close else ""
        yield mark.problem(pointer, "tool-not-found", f'"{file}" has no function "{function}"', hint)


def _top_level_names(tree: ast.Module) -> set[str]:
    """What a module may define, read from its text: it is never run here."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _is_installed(root: str) -> bool:
    """Whether a top-level package can be imported; finding it runs none of its code."""
    return importlib.machinery.PathFinder.find_spec(root) is not None


def _languages(root: MappingNode, values: Mapping[str, Any]) -> Iterator[Problem]:
    written = node_at(root, "languages")
    for entry in written.entries if isinstance(written, MappingNode) else ():
        if not _LANGUAGE_TAG.fullmatch(entry.key):
            message = f'"{entry.key}" is no language tag'
            yield entry.mark.problem(pointer_to("/languages", entry.key), "bad-format", message, "like de-DE")
        elif entry.key == values.get("language"):
            message = f'"{entry.key}" is the agent\'s own language'
            pointer = pointer_to("/languages", entry.key)
            yield entry.mark.problem(pointer, "conflict", message, "its settings stand in the agent itself")


def _shared_languages(root: MappingNode, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Languages that the agent's recognition or synthesis does not know, so that callers who speak them get no answer;
    or that its turn detector does not, which then guesses."""
    languages = values.get("languages", {})
    for tag in (values.get("language", "en"), *(languages if isinstance(languages, Mapping) else ())):
        override = languages.get(tag)
        for kind, does in (("stt", "recognise"), ("tts", "speak"), ("turn_detector", "judge turns in")):
            choice = getattr(override, kind, None) or values.get(kind)
            if not isinstance(tag, str) or not isinstance(choice, ProviderChoice):
                continue
            if any(_knows(each, tag) for each in (choice, *choice.fallback)):
                continue
            entry = written.by_key.get(tag) if isinstance(written := root.get("languages"), MappingNode) else None
            mark = entry.mark if entry else root.mark_of("language")
            pointer = pointer_to("/languages", tag) if entry else "/language"
            message = f'"{choice.provider}" does not {does} {tag}'
            hint = f'give the language another provider: "{kind}"'
            if kind == "turn_detector":
                hint = "without a detector, silence and words end a turn"
            yield mark.problem(pointer, "language-not-shared", message, hint, warning=True)


def _knows(choice: ProviderChoice, tag: str) -> bool:
    settings = choice.settings
    tells = isinstance(settings, STTSettings | TTSSettings | TurnDetectorSettings)
    known = settings.languages_known() if tells else None
    return known is None or primary(tag) in known


def _secrets(node: Node, pointer: str) -> Iterator[Problem]:
    """Text anywhere that has the form of a key; fields that are secrets were warned of already."""
    if isinstance(node, MappingNode):
        for entry in node.entries:
            yield from _secrets(entry.value, pointer_to(pointer, entry.key))
    elif isinstance(node, ListNode):
        for number, item in enumerate(node.items):
            yield from _secrets(item, pointer_to(pointer, number))
    elif looks_like_secret(node.text):
        message = "this looks like a secret"
        yield node.mark.problem(pointer, "literal-secret", message, "put it into the environment", warning=True)
