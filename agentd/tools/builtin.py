"""agentd's own tools."""

from __future__ import annotations

from collections.abc import Sequence

from agentd.config.tools import BuiltinTool
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.spec import EndCall, SetLanguage, ToolContext, ToolOutcome
from agentd.tools.text import for_speech

_DESCRIPTION = (
    "Ends the call. Use it when the caller has said goodbye or wants to stop, and nothing is left to do. "
    "Whatever you have said before is spoken to its end first."
)
_PARAMETERS = {
    "type": "object",
    "properties": {"say": {"type": "string", "description": "A short goodbye, spoken before the call ends."}},
    "additionalProperties": False,
}


class EndCallTool:
    """The builtin `end_call`."""

    def __init__(self, tool: BuiltinTool) -> None:
        self.options = tool
        self._arguments = ArgumentsSchema(tool.name, _PARAMETERS)
        self.schema = ToolSchema(name=tool.name, description=tool.description or _DESCRIPTION, parameters=_PARAMETERS)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolArgumentsInvalid."""
        say = for_speech(str(self._arguments.parse(call.arguments).get("say", "")))
        result = ToolResult(call_id=call.id, name=call.name, content="The call ends.")
        return ToolOutcome(result=result, actions=(EndCall(say=say or None),), reply=False)


_LANGUAGE_DESCRIPTION = (
    "Changes the language of the conversation. Use it when the caller asks for another language. "
    "What you say after it is spoken in the new language."
)


class SetLanguageTool:
    """The builtin `set_language`, among the languages that the agent declares."""

    def __init__(self, tool: BuiltinTool, languages: Sequence[str]) -> None:
        tags = {"type": "string", "enum": list(languages), "description": "The language's BCP 47 tag."}
        parameters = {
            "type": "object",
            "properties": {"language": tags},
            "required": ["language"],
            "additionalProperties": False,
        }
        self.options = tool
        self._arguments = ArgumentsSchema(tool.name, parameters)
        description = tool.description or _LANGUAGE_DESCRIPTION
        self.schema = ToolSchema(name=tool.name, description=description, parameters=parameters)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolArgumentsInvalid."""
        language = str(self._arguments.parse(call.arguments)["language"])
        text = f"The conversation goes on in {language}: speak it from now on."
        result = ToolResult(call_id=call.id, name=call.name, content=text)
        return ToolOutcome(result=result, actions=(SetLanguage(language=language),))
