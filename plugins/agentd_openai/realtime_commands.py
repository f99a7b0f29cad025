"""agentd's commands to a realtime model as OpenAI's client events. Pure."""

from __future__ import annotations

from typing import Any

from agentd.audio import OUTPUT_HZ
from agentd.providers.llm import ChatItem, Message, NamedTool, ToolCall, ToolResult
from agentd.providers.realtime import (
    AddItem,
    CancelResponse,
    Command,
    CommitSound,
    Configuration,
    Configure,
    RemoveItem,
    Respond,
    TruncateItem,
)
from agentd_openai.config import OpenAIRealtimeSettings

NAME = "agentd_response"
"""The key of a response's metadata that holds our name for it."""

PCM = {"type": "audio/pcm", "rate": OUTPUT_HZ}


def client_event(command: Command, settings: OpenAIRealtimeSettings, responses: dict[str, str]) -> dict[str, Any]:
    """`responses`: OpenAI's ids by our names, as far as they are known."""
    match command:
        case Configure(configuration):
            return {"type": "session.update", "session": session(settings, configuration)}
        case AddItem():
            item = {"id": command.id, **item_of(command.item)}
            return {"type": "conversation.item.create", "previous_item_id": command.after or "root", "item": item}
        case RemoveItem(id=item_id):
            return {"type": "conversation.item.delete", "item_id": item_id}
        case TruncateItem():
            return {
                "type": "conversation.item.truncate",
                "item_id": command.id,
                "content_index": 0,
                "audio_end_ms": int(command.heard_s * 1000),  # more than there is would be refused
            }
        case CommitSound():
            return {"type": "input_audio_buffer.commit"}
        case Respond():
            return {"type": "response.create", "response": _response(command)}
        case CancelResponse(response=name):
            known = {"response_id": responses[name]} if name in responses else {}
            return {"type": "response.cancel", **known}


def _response(command: Respond) -> dict[str, Any]:
    choice = command.tool_choice
    named = {"type": "function", "name": choice.name} if isinstance(choice, NamedTool) else choice
    response: dict[str, Any] = {"metadata": {NAME: command.response}, "tool_choice": named}
    if command.instructions is not None:
        response["instructions"] = command.instructions
    if command.apart:
        response |= {"conversation": "none", "input": []}
    return response


def session(settings: OpenAIRealtimeSettings, configuration: Configuration) -> dict[str, Any]:
    """The session object of `session.update`. All of it each time: what is left out would stay as it was."""
    hears: dict[str, Any] = {
        "format": PCM,
        "transcription": _transcription(settings, configuration.language),
        "turn_detection": _turn_detection(settings) if configuration.detects_turns else None,
    }
    if settings.noise_reduction is not None:
        hears["noise_reduction"] = {"type": settings.noise_reduction}
    sounds: dict[str, Any] = {"input": hears}
    if configuration.speaks:
        sounds["output"] = {"format": PCM, "voice": settings.voice, "speed": settings.speed}
    found: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio" if configuration.speaks else "text"],
        "instructions": configuration.instructions,
        "audio": sounds,
        "tools": [
            {"type": "function", "name": t.name, "description": t.description, "parameters": dict(t.parameters)}
            for t in configuration.tools
        ],
        "tool_choice": "auto",
    }
    if settings.max_output_tokens is not None:
        found["max_output_tokens"] = settings.max_output_tokens
    return {**found, **settings.extra_session}


def _transcription(settings: OpenAIRealtimeSettings, language: str | None) -> dict[str, Any]:
    spoken = settings.language or language
    transcription = {"model": settings.transcription_model}
    if spoken and spoken != "multi":
        transcription["language"] = spoken.partition("-")[0].lower()
    if settings.transcription_prompt is not None:
        transcription["prompt"] = settings.transcription_prompt
    return transcription


def _turn_detection(settings: OpenAIRealtimeSettings) -> dict[str, Any]:
    """It only tells: whether the agent answers or is cut is the session's to decide."""
    decides = {"create_response": False, "interrupt_response": False}
    if settings.vad == "semantic":
        return {"type": "semantic_vad", "eagerness": settings.eagerness, **decides}
    return {
        "type": "server_vad",
        "threshold": settings.threshold,
        "silence_duration_ms": round(settings.silence * 1000),
        **decides,
    }


def item_of(item: ChatItem) -> dict[str, Any]:
    match item:
        case ToolCall():
            return {"type": "function_call", "call_id": item.id, "name": item.name, "arguments": item.arguments}
        case ToolResult():
            return {"type": "function_call_output", "call_id": item.call_id, "output": item.content}
        case Message(role=role, text=text):
            kind = "output_text" if role == "assistant" else "input_text"
            return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
