"""Chunks of a streamed chat completion -> whole deltas. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentd.providers.llm import LLMDelta, TextDelta, ToolCall, Usage

if TYPE_CHECKING:
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall


@dataclass(slots=True)
class _Fragments:
    id: str = ""
    name: str = ""
    arguments: str = ""


class Assembly:
    """One answer in the making. Tool calls are given whole, once the answer's end says that they are complete."""

    def __init__(self) -> None:
        self.useful = False  # whether the last chunk brought text, a piece of a tool call, or the end
        self.finished = False
        self._calls: list[_Fragments] = []
        self._by_index: dict[int, _Fragments] = {}

    def push(self, chunk: ChatCompletionChunk) -> list[LLMDelta]:
        deltas: list[LLMDelta] = []
        self.useful = False
        for choice in chunk.choices or []:
            delta = choice.delta
            if delta is not None and delta.content:
                deltas.append(TextDelta(delta.content))
                self.useful = True
            for fragment in (delta.tool_calls if delta is not None else None) or []:
                self._take(fragment)
                self.useful = True
            if choice.finish_reason and not self.finished:
                self.finished = self.useful = True
                deltas += self._whole_calls()
        if chunk.usage is not None:
            deltas.append(_usage(chunk.usage))
        return deltas

    def _take(self, fragment: ChoiceDeltaToolCall) -> None:
        """Fragments of one call share an index; some servers send every call as index 0 with an id of its own."""
        index = fragment.index if fragment.index is not None else len(self._calls)
        call = self._by_index.get(index)
        if call is None or (fragment.id and call.id and fragment.id != call.id):
            call = self._by_index[index] = _Fragments()
            self._calls.append(call)
        call.id = fragment.id or call.id
        if fragment.function is not None:
            call.name += fragment.function.name or ""
            call.arguments += fragment.function.arguments or ""

    def _whole_calls(self) -> list[ToolCall]:
        return [
            ToolCall(id=call.id or f"call_{number}", name=call.name, arguments=call.arguments or "{}")
            for number, call in enumerate(self._calls)
        ]


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
    )
