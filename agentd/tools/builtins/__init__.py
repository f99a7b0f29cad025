"""agentd's own tools, a file each. A new one: settings in `agentd.config.builtins`, a file here, a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentd.config.builtins import BuiltinDefinition, EndCallTool, SetLanguageTool
from agentd.config.definition import AgentDefinition
from agentd.tools.builtins.end_call import end_call
from agentd.tools.builtins.set_language import set_language
from agentd.tools.builtins.tool import Builtin

_MAKERS: Mapping[type[BuiltinDefinition], Callable[[Any, AgentDefinition], Builtin]] = {
    EndCallTool: end_call,
    SetLanguageTool: set_language,
}


def builtin(tool: BuiltinDefinition, definition: AgentDefinition) -> Builtin:
    """The tool of these settings, for that agent. Raises ToolError for one that cannot be had there."""
    return _MAKERS[type(tool)](tool, definition)
