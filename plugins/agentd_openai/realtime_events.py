"""OpenAI's realtime server events as agentd's."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from agentd.providers.llm import ToolCall, Usage
from agentd.providers.realtime import (
    CallMade,
    Command,
    CommandRefused,
    ItemBegun,
    RealtimeEvent,
    ResponseEnded,
    SoundMade,
    SpeechBegan,
    SpeechStopped,
    UtteranceKept,
    UtteranceWords,
    WordsMade,
)
from agentd_openai.realtime_commands import NAME
from agentd_openai.wire import HOPELESS, PROVIDER

REMEMBERED = 500  # commands that an error may still name

# Refusals of what came too late to matter: the answer had ended by itself.
_HARMLESS = frozenset({"response_cancel_not_active"})
_LOST = frozenset({"session_expired"})
_PASSING = frozenset({"conversation_already_has_active_response"})


class Events:
    """One connection's reading side: knows which of our names OpenAI's ids stand for. No I/O."""

    def __init__(self, *, silence_s: float) -> None:
        """`silence_s`: how much silence OpenAI counts to the speech that it tells the end of."""
        self.responses: dict[str, str] = {}  # OpenAI's ids by our names
        self._silence_s = silence_s
        self._names: dict[str, str] = {}  # and the other way round
        self._commands: OrderedDict[str, Command] = OrderedDict()
        self._words: dict[str, str] = {}  # of utterances that are being written down
        self._reset_s: float | None = None  # until a rate limit that is used up is filled again

    def sent(self, event_id: str, command: Command) -> None:
        self._commands[event_id] = command
        if len(self._commands) > REMEMBERED:
            self._commands.popitem(last=False)

    def read(self, event: Mapping[str, Any]) -> list[RealtimeEvent]:
        """Raises ProviderError where the connection is of no more use."""
        kind = str(event.get("type"))
        if kind == "error":
            return self._error(event.get("error") or {})
        if kind.startswith("response."):
            return self._of_response(kind, event)
        return self._of_caller(kind, event)

    def _error(self, error: Mapping[str, Any]) -> list[RealtimeEvent]:
        if error.get("code") in _LOST:
            raise ProviderUnavailable(PROVIDER, str(error.get("message") or "the session has expired"))
        if error.get("code") in _HARMLESS:
            return []
        command = self._commands.pop(str(error.get("event_id")), None)
        return [CommandRefused(command=command, error=self.fault(error))]

    def fault(self, error: Mapping[str, Any]) -> ProviderError:
        code, message = error.get("code"), str(error.get("message") or error.get("code") or "no reason given")
        if code == "rate_limit_exceeded":
            return ProviderUnavailable(PROVIDER, message, retry_after_s=self._reset_s)
        if code in _PASSING:
            return ProviderUnavailable(PROVIDER, message)
        if code in HOPELESS or error.get("type") == "invalid_request_error":
            return ProviderRefused(PROVIDER, message)
        return ProviderUnavailable(PROVIDER, message)

    # The caller.

    def _of_caller(self, kind: str, event: Mapping[str, Any]) -> list[RealtimeEvent]:
        item = str(event.get("item_id"))
        match kind:
            case "input_audio_buffer.speech_started":
                return [SpeechBegan(float(event["audio_start_ms"]) / 1000)]
            case "input_audio_buffer.speech_stopped":
                return [SpeechStopped(max(0.0, float(event["audio_end_ms"]) / 1000 - self._silence_s))]
            case "input_audio_buffer.committed":
                return [UtteranceKept(item)]
            case "conversation.item.input_audio_transcription.delta":
                text = self._words[item] = self._words.get(item, "") + str(event.get("delta") or "")
                return [UtteranceWords(item=item, text=text, final=False)]
            case "conversation.item.input_audio_transcription.completed":
                self._words.pop(item, None)
                return [UtteranceWords(item=item, text=str(event.get("transcript") or ""), final=True)]
            case "conversation.item.input_audio_transcription.failed":
                self._words.pop(item, None)
                return [UtteranceWords(item=item, text=None, final=True)]
            case "rate_limits.updated":
                used_up = [limit for limit in event.get("rate_limits") or () if limit.get("remaining") == 0]
                self._reset_s = max((float(limit.get("reset_seconds") or 0) for limit in used_up), default=None)
        return []

    # The model.

    def _of_response(self, kind: str, event: Mapping[str, Any]) -> list[RealtimeEvent]:
        if kind == "response.created":
            self._begun(event["response"])
            return []
        if kind == "response.done":
            return self._done(event["response"])
        name = self._names.get(str(event.get("response_id")))
        if name is None:  # nobody asked for it
            return []
        item = str(event.get("item_id"))
        match kind:
            case "response.output_item.added":
                return [ItemBegun(response=name, item=str(event["item"]["id"]))]
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                return [WordsMade(response=name, item=item, text=str(event["delta"]))]
            case "response.output_audio.delta":
                frame = AudioFrame(base64.b64decode(event["delta"]), OUTPUT_HZ)
                return [SoundMade(response=name, item=item, frame=frame)]
            case "response.output_item.done":
                return _call(name, event["item"])
        return []

    def _begun(self, response: Mapping[str, Any]) -> None:
        name = (response.get("metadata") or {}).get(NAME)
        if name is not None:
            self._names[str(response["id"])] = str(name)
            self.responses[str(name)] = str(response["id"])

    def _done(self, response: Mapping[str, Any]) -> list[RealtimeEvent]:
        name = self._names.pop(str(response.get("id")), None)
        if name is None:
            return []
        self.responses.pop(name, None)
        details = response.get("status_details") or {}
        failed = response.get("status") == "failed"
        error = self.fault(details.get("error") or {}) if failed else None
        return [ResponseEnded(response=name, usage=_usage(response.get("usage")), error=error)]


def _call(name: str, item: Mapping[str, Any]) -> list[RealtimeEvent]:
    """Calls that were broken off (`incomplete`) are none."""
    if item.get("type") != "function_call" or item.get("status") not in (None, "completed"):
        return []
    call = ToolCall(id=str(item["call_id"]), name=str(item["name"]), arguments=str(item.get("arguments") or "{}"))
    return [CallMade(response=name, item=str(item["id"]), call=call)]


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    details = usage.get("input_token_details") or {}
    return Usage(
        prompt_tokens=int(usage.get("input_tokens") or 0),
        completion_tokens=int(usage.get("output_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
