"""agentd's own tools, a file each. A new one: settings in `agentd.config.builtins`, a file here, a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentd.config.builtins import (
    BuiltinDefinition,
    CollectDigitsTool,
    EndCallTool,
    LeaveVoicemailTool,
    RecallTool,
    RememberTool,
    SendDtmfTool,
    SetLanguageTool,
    SetVariablesTool,
    TransferTool,
    WaitTool,
)
from agentd.config.definition import AgentDefinition
from agentd.errors import ToolError
from agentd.tools.builtins.collect import task_tools as task_tools
from agentd.tools.builtins.collect_digits import collect_digits
from agentd.tools.builtins.end_call import end_call
from agentd.tools.builtins.leave_voicemail import leave_voicemail
from agentd.tools.builtins.remember import recall, remember
from agentd.tools.builtins.send_dtmf import send_dtmf
from agentd.tools.builtins.set_language import set_language
from agentd.tools.builtins.set_variables import set_variables
from agentd.tools.builtins.tool import Builtin
from agentd.tools.builtins.transfer import transfer
from agentd.tools.builtins.wait import wait
from agentd.tools.memory import Memory

_MAKERS: Mapping[type[BuiltinDefinition], Callable[[Any, AgentDefinition], Builtin]] = {
    EndCallTool: end_call,
    LeaveVoicemailTool: leave_voicemail,
    SetLanguageTool: set_language,
    SetVariablesTool: set_variables,
    TransferTool: transfer,
    WaitTool: wait,
    CollectDigitsTool: collect_digits,
    SendDtmfTool: send_dtmf,
}


def builtin(tool: BuiltinDefinition, definition: AgentDefinition, memory: Memory | None) -> Builtin:
    """The tool of these settings, for that agent. Raises ToolError for one that cannot be had there."""
    if isinstance(tool, RememberTool | RecallTool):
        if memory is None:
            raise ToolError(f"{tool.name}: nothing can be kept here")
        return (
            remember(tool, definition, memory) if isinstance(tool, RememberTool) else recall(tool, definition, memory)
        )
    return _MAKERS[type(tool)](tool, definition)
