"""The builtins `remember` and `recall`: what is known of a caller from one call to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import RecallTool, RememberTool
from agentd.config.definition import AgentDefinition
from agentd.errors import ToolError
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.memory import NAME_CHARACTERS, TEXT_CHARACTERS, Memory
from agentd.tools.spec import ToolContext

REMEMBERS = (
    "Keeps something about this caller for their next calls, such as a preference or what was agreed. An empty text "
    "forgets it. Keep no secrets."
)
RECALLS = "Tells what was kept about this caller in earlier calls."


def remember(tool: RememberTool, definition: AgentDefinition, memory: Memory) -> Builtin:
    """Keeps a note of the caller."""
    parameters = {
        "properties": {
            "name": {"type": "string", "maxLength": NAME_CHARACTERS, "description": "What it is about, in a word."},
            "text": {"type": "string", "maxLength": TEXT_CHARACTERS},
        },
        "required": ["name", "text"],
    }

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        whose = _caller(tool.by, context)
        await memory.keep(definition.name, whose, arguments["name"], arguments["text"], keep_s=float(tool.keep))
        return Answer(text="Kept." if arguments["text"].strip() else "Forgotten.")

    return Builtin(tool, name=tool.name, description=REMEMBERS, parameters=parameters, answer=answer)


def recall(tool: RecallTool, definition: AgentDefinition, memory: Memory) -> Builtin:
    """Tells the notes of the caller."""

    async def answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
        notes = await memory.notes(definition.name, _caller(tool.by, context))
        told = "\n".join(f"{name}: {text}" for name, text in notes.items())
        return Answer(text=told or "Nothing was kept about this caller.")

    return Builtin(tool, name=tool.name, description=RECALLS, parameters={}, answer=answer)


def _caller(by: str, context: ToolContext) -> str:
    """Raises ToolError where the caller cannot be told from others: their notes would be somebody else's."""
    caller = context.caller
    if caller.other_voice:
        raise ToolError("somebody else speaks at this microphone")
    known = caller.identity if by == "identity" else caller.attributes.get(by, "")
    if not known:
        raise ToolError(f"the caller has no {by}, by which they would be known again")
    return known
