"""Which tools an agent has, as its file and the text of its code tell: nothing is run, and no server is asked."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agentd.config.builtins import RecallTool, RememberTool
from agentd.config.definition import AgentDefinition
from agentd.config.folder import FileRefused, Folder
from agentd.config.tools import BuiltinTool, ClientTool, McpTool, ProviderTool, PythonTool, WebhookTool
from agentd.tools.builtins import builtin, task_tools
from agentd.tools.builtins.remember import RECALLS, REMEMBERS
from agentd.tools.docstrings import parse
from agentd.tools.handoff import HandoffTool

ToolType = Literal["python", "webhook", "mcp", "client", "builtin", "provider", "task", "handoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTool:
    """`name`: by which the model calls it; of an MCP server, and of an object whose methods are tools, the name that
    the file gives it. `defined_at`: file:line, or the file alone. `description`: as the model reads it, or what is
    known."""

    name: str
    agent: str
    type: ToolType
    description: str
    defined_at: str


def tools_of(definition: AgentDefinition, folder: Folder | None) -> Iterator[ListedTool]:
    """In the order of the file. `folder`: where the agent's Python code is; None: its docstrings are not looked for."""
    for tool in definition.tools:
        match tool:
            case PythonTool():
                yield _python(tool, definition, folder)
            case WebhookTool() | ClientTool():
                yield _listed(definition, tool.type, tool.name, tool.description)
            case McpTool():
                which = ", ".join(tool.allow) or "all"
                yield _listed(definition, "mcp", tool.name, f"An MCP server's tools: {which}. `agentd mcp` tells more.")
            case ProviderTool():
                yield _listed(definition, "provider", tool.name, "Of the model's provider, on its own side.")
            case RememberTool() | RecallTool():
                own = REMEMBERS if isinstance(tool, RememberTool) else RECALLS
                yield _listed(definition, "builtin", tool.name, tool.description or own)
            case BuiltinTool():
                yield _listed(definition, "builtin", tool.name, builtin(tool, definition, None).schema.description)
    for task in task_tools(definition):
        yield _listed(definition, "task", task.schema.name, task.schema.description)
    for number, handoff in enumerate(definition.handoffs):
        if handoff.when is not None:
            schema = HandoffTool(handoff, number).schema
            yield _listed(definition, "handoff", schema.name, schema.description, f"handoffs[{number}]")


def _listed(definition: AgentDefinition, kind: ToolType, name: str, description: str, setting: str = "") -> ListedTool:
    place = definition.places.get(setting or f"tools.{name}", definition.source)
    return ListedTool(name=name, agent=definition.name, type=kind, description=description, defined_at=place)


def _python(tool: PythonTool, definition: AgentDefinition, folder: Folder | None) -> ListedTool:
    written = tool.ref.partition(":")[2]
    description = tool.description or (_docstring(tool.ref, definition, folder) if folder else "")
    setting = f"tools.{tool.name or written}"
    return _listed(definition, "python", tool.name or written.rpartition(".")[2], description, setting)


def _docstring(ref: str, definition: AgentDefinition, folder: Folder) -> str:
    """ "" where the text cannot be read, has none, or is not what the agent was made of."""
    module, _, path = ref.partition(":")
    file = folder.module_file(module)
    if file is None:
        return ""
    try:
        text = folder.read(file)
        body = ast.parse(text).body
    except (FileRefused, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    known = definition.code.get(module.partition(".")[0], {}).get(file)
    if known is not None and known != hashlib.sha256(text.encode()).hexdigest():
        return ""
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = next((node for node in functions if node.name == path), None)
    if found is None:
        return f"Public methods of {path}." if "." not in path else ""
    return parse(ast.get_docstring(found)).description
