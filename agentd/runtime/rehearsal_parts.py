"""What stands around a conversation that is only tried: a room of text, ears and a voice without sound, a model that
takes real time, and tools whose results are given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame
from agentd.config.scenarios import GivenResult
from agentd.config.tools import ToolOptions
from agentd.providers.llm import LLM, ChatRequest, LLMDelta, ToolCall, ToolResult, ToolSchema
from agentd.providers.stt import STTCapabilities, Transcript
from agentd.providers.tts import SpeechChunk
from agentd.runtime.pair_room import PairRoom
from agentd.tools.spec import (
    Caller,
    Event,
    HookOutcome,
    LateAnswer,
    RunnableTool,
    ToolContext,
    ToolOutcome,
    ToolRunner,
)
from agentd.virtual_time import real_time


class NoSound:
    """The agent's voice: sound that takes no time and goes nowhere."""

    sample_rate_hz = OUTPUT_HZ
    queued_s = 0.0

    async def write(self, frame: AudioFrame) -> None:
        """Nobody hears it."""

    def clear(self) -> None:
        """Nothing is queued."""


class _NoCaption:
    async def write(self, delta: str) -> None:
        """What is said is read from the journal."""

    async def close(self) -> None:
        """The same."""


class TextRoom(PairRoom):
    """One caller, who types."""

    def __init__(self) -> None:
        super().__init__("test", Caller(identity="caller", name="caller"), frames=1)
        self.audio_out = NoSound()

    async def open_caption(self, segment_id: str) -> _NoCaption:
        return _NoCaption()

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        """The caller knows what they typed."""


class Deaf:
    """Voice activity detection and speech recognition where there is no sound."""

    window_samples = 512
    capabilities = STTCapabilities(streaming=False)

    def stream(self, *, language: str | None = None) -> Any:
        return self

    async def push(self, frame: AudioFrame) -> list[float]:
        return [0.0] * (len(frame.data) // 2 // self.window_samples)

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        return Transcript(text="")

    async def aclose(self) -> None:
        """Nothing is held."""


class Voiceless:
    """Synthesis: every segment has passed as soon as it is known."""

    sample_rate_hz = INPUT_HZ
    aligned = False

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        index = 0
        async for _ in segments:
            yield SpeechChunk(segment=index, frame=AudioFrame(b"", INPUT_HZ), last=True)
            index += 1

    async def aclose(self) -> None:
        """Nothing is held."""


class Worldly:
    """A model that answers from the network: the clock goes as clocks do while it thinks."""

    def __init__(self, model: LLM) -> None:
        self._model = model

    async def chat(self, request: ChatRequest) -> AsyncIterator[LLMDelta]:
        with real_time():
            async with aclosing(self._model.chat(request)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    yield delta

    async def aclose(self) -> None:
        await self._model.aclose()


class RehearsedTools:
    """The agent's tools, but those whose results are given."""

    def __init__(self, tools: ToolRunner, given: Mapping[str, GivenResult]) -> None:
        self._tools = tools
        self._given = given

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        return self._tools.schemas

    def options(self, name: str) -> ToolOptions:
        return self._tools.options(name)

    def arguments(self, call: ToolCall) -> Mapping[str, Any]:
        return self._tools.arguments(call)

    def repeatable(self, name: str) -> bool:
        return self._tools.repeatable(name)

    def read(self, call: ToolCall, answer: LateAnswer) -> ToolOutcome:
        return self._tools.read(call, answer)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        return await _run(self._tools, self._given, call, context)

    def adopt(self, told: Mapping[str, Any]) -> RunnableTool:
        return _AdoptedTool(self._tools.adopt(told), self._given)

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        with real_time():
            return await self._tools.run_hook(ref, event, context, timeout_s)

    async def aclose(self) -> None:
        """They are shared by the conversations."""


class _AdoptedTool:
    """A tool that the agent's code has added in the conversation."""

    def __init__(self, tool: RunnableTool, given: Mapping[str, GivenResult]) -> None:
        self._tool = tool
        self._given = given
        self.schema = tool.schema
        self.options = tool.options
        self.repeatable = tool.repeatable

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        return await _run(self._tool, self._given, call, context)


async def _run(
    tool: RunnableTool | ToolRunner, given: Mapping[str, GivenResult], call: ToolCall, context: ToolContext
) -> ToolOutcome:
    if (result := given.get(call.name)) is not None:
        return outcome_of(call, result)
    with real_time():
        return await tool.run(call, context)


def outcome_of(call: ToolCall, given: GivenResult) -> ToolOutcome:
    failed = given.error is not None
    text = given.error if failed else given.result
    content = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    result = ToolResult(call_id=call.id, name=call.name, content=content, is_error=failed)
    return ToolOutcome(result=result, outcome="error" if failed else "ok")
