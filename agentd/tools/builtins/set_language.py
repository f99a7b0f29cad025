"""The builtin `set_language`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.config.builtins import SetLanguageTool
from agentd.config.definition import AgentDefinition
from agentd.tools.builtins.tool import Answer, Builtin
from agentd.tools.spec import SetLanguage, ToolContext

_DESCRIPTION = (
    "Changes the language of the conversation. Use it when the caller asks for another language. "
    "What you say after it is spoken in the new language."
)


def set_language(tool: SetLanguageTool, definition: AgentDefinition) -> Builtin:
    """Goes on in another of the languages that the agent declares."""
    languages = list(definition.declared_languages)
    tags = {"type": "string", "enum": languages, "description": "The language's BCP 47 tag."}
    parameters = {"properties": {"language": tags}, "required": ["language"]}
    return Builtin(
        tool, name=tool.name, description=_DESCRIPTION, parameters=parameters, answer=_answer, repeatable=True
    )


async def _answer(arguments: Mapping[str, Any], context: ToolContext) -> Answer:
    language = str(arguments["language"])
    text = f"The conversation goes on in {language}: speak it from now on."
    return Answer(text=text, actions=(SetLanguage(language=language),))
