"""What the model is asked of a conversation: its instructions, the history, and the tools that it may call."""

from __future__ import annotations

from agentd.config.definition import AgentDefinition
from agentd.config.tools import ProviderTool
from agentd.providers.llm import ChatRequest, Message, NamedTool, ProviderSideTool, ToolChoice, ToolSchema
from agentd.providers.speakers import labelled
from agentd.session.cancel_call import schemas as cancelling
from agentd.session.context import fitted
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER, Voice
from agentd.session.permission import objection

SPEAK = "The conversation is in the language of the tag {} now: answer in it."
"""What the model is told where the agent has several languages."""


def offered(conversation: Conversation, voice: Voice) -> tuple[ToolSchema, ...]:
    """The tools that may be called for whoever speaks."""
    caller, options = conversation.people.participant(voice), conversation.tools.options
    hidden = {name for name, may in conversation.ways_out().items() if not may}
    own = (
        each
        for each in conversation.tools.schemas
        if each.name not in hidden and objection(options(each.name).allow_callers, caller) is None
    )
    return (*own, *cancelling(conversation.calls))


def chat_request(
    conversation: Conversation,
    *,
    instruction: str | None = None,
    tool_choice: ToolChoice = "auto",
    next_turn: str | None = None,
    voice: Voice = THE_CALLER,
) -> ChatRequest:
    """What the model is asked now. `instruction`: one more for this answer only. `voice`: whose turn is answered;
    `next_turn`: as if it had ended with this text."""
    prompt = system_prompt(conversation)
    head = (Message(role="system", text=prompt),) if prompt else ()
    tail = (Message(role="system", text=conversation.render(instruction)),) if instruction else ()
    following: tuple[Message, ...] = ()
    if next_turn is not None:
        speaker = conversation.people.speaker(voice)
        following = (Message(role="user", text=labelled(speaker, next_turn), speaker=speaker),)
    budget_tokens = conversation.definition.limits.history_tokens
    items = fitted(conversation.history, following, budget_tokens, conversation.record)
    return ChatRequest(
        items=(*head, *items, *tail),
        tools=conversation.collecting.offered(offered(conversation, voice)),
        tool_choice=tool_choice,
        provider_tools=provider_tools(conversation.definition),
        session_id=conversation.setup.id,
        language=conversation.language,
        variables=dict(conversation.variables),
    )


def first_choice(conversation: Conversation, voice: Voice) -> ToolChoice:
    """Which tools the model is to call first in its answer to a turn of this voice."""
    choice = conversation.definition.tool_choice
    if not conversation.definition.limits.max_tool_steps or choice == "none":
        return "none"
    if choice == "required":
        return "required"
    return NamedTool(choice) if any(each.name == choice for each in offered(conversation, voice)) else "auto"


def system_prompt(conversation: Conversation) -> str:
    """The agent's instructions as they read now."""
    parts = [conversation.adjustments.instructions(conversation.render(conversation.definition.prompt))]
    if conversation.definition.languages:
        parts += [conversation.render(conversation.in_language.instructions or ""), SPEAK.format(conversation.language)]
    parts += [conversation.instructions_append, conversation.people.instructions, conversation.collecting.instructions]
    return "\n\n".join(part for part in parts if part)


def provider_tools(definition: AgentDefinition) -> tuple[ProviderSideTool, ...]:
    """Those that the model's provider runs by itself."""
    return tuple(
        ProviderSideTool(name=tool.name, settings=tool.settings)
        for tool in definition.tools
        if isinstance(tool, ProviderTool)
    )
