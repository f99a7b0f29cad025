"""Providers in virtual time: speech is a sample value that stands for a text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderError
from agentd.providers.llm import ChatRequest, LLMDelta, TextDelta, ToolCall
from agentd.providers.stt import SpeechEvent, STTCapabilities, STTStream, Transcript
from agentd.providers.tts import SpeechChunk, TimedWord

CHARS_PER_S = 15.0


class FakeVAD:
    """Every sample that is not 0 is speech."""

    window_samples = 512

    def stream(self) -> FakeVADStream:
        return FakeVADStream()

    async def aclose(self) -> None:
        pass


class FakeVADStream:
    async def push(self, frame: AudioFrame) -> list[float]:
        return [1.0 if any(frame.data) else 0.0]


@dataclass
class FakeSTT:
    """Batch: answers `texts[value]` for the sample values in the utterance, `delay_s` later."""

    texts: dict[int, str] = field(default_factory=dict)
    delay_s: float = 0.14
    failures: list[ProviderError] = field(default_factory=list)
    capabilities: STTCapabilities = field(default_factory=lambda: STTCapabilities(streaming=False))
    languages: dict[str, str] = field(default_factory=dict)  # by text: a recogniser that tells what it heard
    asked: list[str | None] = field(default_factory=list)  # the languages that it was asked for

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        self.asked.append(language)
        await asyncio.sleep(self.delay_s)
        if self.failures:
            raise self.failures.pop(0)
        values = dict.fromkeys(int(v) for v in audio.array() if v)
        return self.transcript(" ".join(self.texts.get(v, "") for v in values).strip())

    def transcript(self, text: str) -> Transcript:
        return Transcript(text=text, language=self.languages.get(text), identified=text in self.languages)

    async def stream(self, *, language: str | None) -> STTStream:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


@dataclass
class FakeStreamingSTT(FakeSTT):
    """Streaming: an interim with each word's worth of sound, a final `delay_s` after flush."""

    capabilities: STTCapabilities = field(
        default_factory=lambda: STTCapabilities(streaming=True, interim_results=True, endpointing=True)
    )
    end_of_turn: bool = False

    async def stream(self, *, language: str | None) -> FakeSTTStream:
        self.asked.append(language)
        return FakeSTTStream(self)


class FakeSTTStream:
    def __init__(self, stt: FakeStreamingSTT) -> None:
        self._stt = stt
        self._events: asyncio.Queue[SpeechEvent] = asyncio.Queue()
        self._values: dict[int, int] = {}

    async def push(self, frame: AudioFrame) -> None:
        value = int.from_bytes(frame.data[:2], "little")
        if value:
            self._values[value] = self._values.get(value, 0) + 1
            if self._values[value] == 10:
                text = self._stt.texts.get(value, "").split(" ")[0]
                self._put("interim", text)

    async def flush(self) -> None:
        await asyncio.sleep(self._stt.delay_s)
        text = " ".join(self._stt.texts.get(v, "") for v in self._values).strip()
        self._values.clear()
        self._put("final", text)
        if self._stt.end_of_turn:
            self._put("end_of_turn", "")

    def _put(self, kind: str, text: str) -> None:
        self._events.put_nowait(SpeechEvent(kind=kind, transcript=self._stt.transcript(text)))  # type: ignore[arg-type]

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        while True:
            yield await self._events.get()

    async def aclose(self) -> None:
        pass


Answer = Iterable[LLMDelta | float | ProviderError]


@dataclass
class FakeLLM:
    """Answers with what `script` makes of the request: deltas, seconds to wait, or an error to raise."""

    script: Callable[[ChatRequest], Answer]
    requests: list[ChatRequest] = field(default_factory=list)
    first_token_s: float = 0.1

    async def chat(self, request: ChatRequest) -> AsyncIterator[LLMDelta]:
        self.requests.append(request)
        await asyncio.sleep(self.first_token_s)
        for step in self.script(request):
            if isinstance(step, ProviderError):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step

    async def aclose(self) -> None:
        pass


def says(*texts: str) -> Callable[[ChatRequest], Answer]:
    """A model that answers these texts in turn, word by word; the last one again and again."""
    left = list(texts)

    def script(request: ChatRequest) -> Answer:
        text = left.pop(0) if len(left) > 1 else left[0]
        return [TextDelta(word + " ") for word in text.split(" ")]

    return script


def calls(name: str, arguments: str = "{}", call_id: str = "call-1") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


@dataclass
class FakeTTS:
    """Sound of `CHARS_PER_S`; the samples of segment n are n + 1."""

    aligned: bool = False
    first_sound_s: float = 0.05
    sample_rate_hz: int = OUTPUT_HZ
    spoken: list[str] = field(default_factory=list)
    failures: dict[str, ProviderError] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)  # the languages that it was asked for

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        self.asked.append(language)
        index = 0
        async for text in segments:
            await asyncio.sleep(self.first_sound_s)
            if text in self.failures:
                raise self.failures.pop(text)
            self.spoken.append(text)
            samples = round(len(text) / CHARS_PER_S * self.sample_rate_hz)
            data = (index + 1).to_bytes(2, "little") * samples
            frame = AudioFrame(data, self.sample_rate_hz)
            yield SpeechChunk(segment=index, frame=frame, words=self._words(text), last=True)
            index += 1

    def _words(self, text: str) -> tuple[TimedWord, ...]:
        if not self.aligned:
            return ()
        words, at = [], 0
        for word in text.split(" "):
            words.append(TimedWord(text=word, start_s=at / CHARS_PER_S, end_s=(at + len(word)) / CHARS_PER_S))
            at += len(word) + 1
        return tuple(words)

    async def aclose(self) -> None:
        pass
