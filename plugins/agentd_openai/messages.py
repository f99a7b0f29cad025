"""agentd's conversation as chat completion messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentd.providers.llm import ChatItem, ChatRequest, Message, NamedTool, ToolCall, ToolChoice, ToolResult, ToolSchema
from agentd_openai.config import OPENAI_URL, OpenAILLMSettings


def chat_arguments(settings: OpenAILLMSettings, request: ChatRequest) -> dict[str, Any]:
    """The keyword arguments of `chat.completions.create`, but for those of streaming."""
    arguments: dict[str, Any] = {"model": settings.model, "messages": messages(request.items)}
    if request.tools:
        arguments["tools"] = [tool(schema) for schema in request.tools]
        arguments["tool_choice"] = _choice(request.tool_choice)
        if settings.parallel_tool_calls is not None:
            arguments["parallel_tool_calls"] = settings.parallel_tool_calls
    for provided in request.provider_tools:
        if provided.name == "web_search":
            arguments["web_search_options"] = dict(provided.settings)
    if settings.max_tokens is not None:
        arguments[_max_tokens_name(settings.base_url)] = settings.max_tokens
    if settings.temperature is not None:
        arguments["temperature"] = settings.temperature
    if settings.reasoning_effort is not None:
        arguments["reasoning_effort"] = settings.reasoning_effort
    if settings.extra_body:
        arguments["extra_body"] = dict(settings.extra_body)
    return arguments


def _choice(choice: ToolChoice) -> Any:
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, NamedTool) else choice


def _max_tokens_name(base_url: str) -> str:
    """OpenAI's reasoning models refuse the old name; many compatible servers know only that."""
    return "max_completion_tokens" if base_url.rstrip("/") == OPENAI_URL else "max_tokens"


def messages(items: Iterable[ChatItem]) -> list[dict[str, Any]]:
    """Tool calls that stand side by side, with the assistant's words before them, become one message."""
    out: list[dict[str, Any]] = []
    for item in items:
        match item:
            case Message():
                out.append({"role": item.role, "content": item.text})
            case ToolCall():
                _assistant(out).setdefault("tool_calls", []).append(_call(item))
            case ToolResult():
                out.append({"role": "tool", "tool_call_id": item.call_id, "content": item.content})
    return out


def _assistant(out: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that the next tool call belongs to."""
    if not out or out[-1]["role"] != "assistant":
        out.append({"role": "assistant", "content": None})
    return out[-1]


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def tool(schema: ToolSchema) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": schema.name,
        "description": schema.description,
        "parameters": dict(schema.parameters),
    }
    if schema.strict:
        function["strict"] = True
    return {"type": "function", "function": function}
