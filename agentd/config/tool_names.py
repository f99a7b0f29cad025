"""By which names the model will know an agent's tools, as far as its file and the code's text tell: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from agentd.config.folder import FileRefused, Folder
from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar


@dataclass(frozen=True, slots=True)
class ToolNames:
    """`known`: each with its place, in order. `more`: there are others, of a server or of an object's methods."""

    known: Sequence[tuple[Mark, str]]
    more: bool


def tool_names(written: Node | None, folder: Folder) -> ToolNames:
    """`written`: the agent's `tools`."""
    known: list[tuple[Mark, str]] = []
    more = False
    for item in written.items if isinstance(written, ListNode) else ():
        if not isinstance(item, MappingNode):
            continue
        name, ref, kind = item.get("name"), item.get("ref"), item.get("type")
        more |= isinstance(kind, Scalar) and kind.text == "mcp"
        if isinstance(name, Scalar) and not name.is_null:
            known.append((name.mark, name.text))
        elif isinstance(ref, Scalar) and ":" in ref.text:
            module, _, path = ref.text.partition(":")
            if "." in path or _is_function(folder, module, path):
                known.append((ref.mark, path.rpartition(".")[2]))
            else:
                more = True
    return ToolNames(known, more)


def _is_function(folder: Folder, module: str, name: str) -> bool:
    """As the module's text has it; also where there is no text that could be read."""
    file = folder.module_file(module)
    if file is None:
        return True
    try:
        tree = ast.parse(folder.read(file))
    except (FileRefused, SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    made = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in made for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    return name not in {target.id for target in targets if isinstance(target, ast.Name)}
