"""agentd's own tools, as an agent file says them: one dataclass a tool, told apart by `name`.

What each does is in the file of its name in `agentd/tools/builtins/`, and `agentd.tools.builtins` knows them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.config.tools import BuiltinTool
from agentd.providers.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCallTool(BuiltinTool):
    """Says goodbye and ends the call."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["end_call"] = setting("Which one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguageTool(BuiltinTool):
    """Changes to another of the agent's languages."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["set_language"] = setting("Which one.")


BuiltinDefinition = EndCallTool | SetLanguageTool
