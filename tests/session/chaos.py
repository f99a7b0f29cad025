"""Providers and a caller who misbehave at random, from a seed; and what must hold whatever they do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass, field
from random import Random

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from agentd.providers.llm import ChatItem, ChatRequest, LLMDelta, Message, TextDelta, ToolCall, ToolResult
from agentd.providers.stt import Transcript
from agentd.providers.tts import SpeechChunk
from agentd.session.history import ToolRound
from agentd.session.late_calls import LOST_CALL
from agentd.session.restore import restore
from agentd.tools.spec import ToolContext, ToolOutcome
from tests.fakes.call import Call
from tests.fakes.providers import CHARS_PER_S, FakeStreamingSTT, FakeSTT, FakeSTTStream

LONGEST_WORD_S = 12 / CHARS_PER_S


@dataclass
class Chaos:
    """What every misbehaving part shares. `faults` False: all are well."""

    rng: Random
    faults: bool = True
    sentences: list[str] = field(default_factory=list)  # the sample value n + 1 stands for sentence n
    broken_pairs: list[tuple[ChatItem, ...]] = field(default_factory=list)

    def wrong(self, chance: float = 0.4) -> bool:
        return self.faults and self.rng.random() < chance

    def sentence(self) -> str:
        number = len(self.sentences)
        text = f"S{number:04} is what this is, namely sentence S{number:04}."
        self.sentences.append(text)
        return text

    def sample_of(self, text: str) -> int:
        """Also of the rest of a sentence; texts that are not the model's get a number of their own."""
        for index, sentence in enumerate(self.sentences):
            if sentence.endswith(text.strip()):
                return index + 1
        self.sentences.append(text.strip())
        return len(self.sentences)

    # The model.

    def script(self, request: ChatRequest) -> Iterator[LLMDelta | float | ProviderError]:
        if not calls_have_results(request.items):
            self.broken_pairs.append(request.items)
        if not self.wrong():
            yield from self._words(self.rng.randint(1, 3))
            return
        match self.rng.choice(["slow", "deaf", "stall", "error", "cut", "empty", "tools", "tools", "say_and_tools"]):
            case "slow":
                yield self.rng.uniform(1, 9)
                yield from self._words(1)
            case "deaf":  # keep-alives only, for ever
                while True:
                    yield TextDelta("")
                    yield 0.5
            case "stall":
                yield from self._words(2)
                yield 1_000.0
            case "error":
                yield self.rng.choice([ProviderUnavailable("fake", "reset"), ProviderRefused("fake", "no")])
            case "cut":
                yield from self._words(1)
                yield TextDelta("And then the line")
                yield ProviderUnavailable("fake", "reset")
            case "tools":
                yield from self._calls(request)
            case "say_and_tools":
                yield from self._words(1)
                yield from self._calls(request)

    def _words(self, sentences: int) -> Iterator[LLMDelta | float]:
        for _ in range(sentences):
            for word in self.sentence().split(" "):
                yield TextDelta(word + " ")
                yield 0.01

    def _calls(self, request: ChatRequest) -> Iterator[LLMDelta]:
        if request.tool_choice != "none":
            for _ in range(self.rng.randint(1, 2)):
                name = self.rng.choice(["lasting", "cancelled"])
                yield ToolCall(id=f"call-{self.rng.getrandbits(40)}", name=name, arguments="{}")

    async def tool(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        await asyncio.sleep(self.rng.choice([0, 0.2, 6]) if self.faults else 0.1)
        failed = self.wrong()
        result = ToolResult(call_id=call.id, name=call.name, content="result", is_error=failed)
        return ToolOutcome(result=result, outcome="error" if failed else "ok")


@dataclass
class ChaosTTS:
    chaos: Chaos
    sample_rate_hz: int = OUTPUT_HZ

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        numbers = itertools.count()
        async for text in segments:
            number = next(numbers)
            sound = AudioFrame(
                self.chaos.sample_of(text).to_bytes(2, "little") * round(len(text) / CHARS_PER_S * OUTPUT_HZ), OUTPUT_HZ
            )
            half = AudioFrame(sound.data[: len(sound.data) // 4 * 2], OUTPUT_HZ)
            fault = self.chaos.rng.choice(["slow", "never", "error", "cut", "short"]) if self.chaos.wrong(0.15) else ""
            await asyncio.sleep(self.chaos.rng.uniform(1, 8) if fault == "slow" else 0.05)
            match fault:
                case "never":
                    await asyncio.sleep(1_000)
                case "error":
                    raise ProviderUnavailable("fake", "reset", retry_after_s=0.2)
                case "cut":
                    yield SpeechChunk(segment=number, frame=half)
                    raise ProviderUnavailable("fake", "reset", retry_after_s=0.2)
                case "short":  # ends as if all were well
                    yield SpeechChunk(segment=number, frame=half)
                    return
            yield SpeechChunk(segment=number, frame=sound, last=True)

    async def aclose(self) -> None:
        pass


@dataclass
class ChaosSTT(FakeSTT):
    chaos: Chaos = field(default_factory=lambda: Chaos(Random(0)))

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        if self.chaos.wrong():
            match self.chaos.rng.choice(["slow", "never", "error", "empty"]):
                case "slow":
                    await asyncio.sleep(self.chaos.rng.uniform(1, 8))
                case "never":
                    await asyncio.sleep(1_000)
                case "error":
                    raise ProviderRefused("fake", "no")
                case "empty":
                    return Transcript(text="")
        return await super().recognize(audio, language=language)


@dataclass
class ChaosStreamingSTT(FakeStreamingSTT):
    chaos: Chaos = field(default_factory=lambda: Chaos(Random(0)))

    async def stream(self, *, language: str | None) -> FakeSTTStream:
        if self.chaos.wrong(0.2):
            raise ProviderUnavailable("fake", "no connection", retry_after_s=0.3)
        return _ChaosStream(self)


class _ChaosStream(FakeSTTStream):
    def __init__(self, stt: ChaosStreamingSTT) -> None:
        super().__init__(stt)
        self._chaos = stt.chaos

    async def flush(self) -> None:
        if self._chaos.wrong():
            match self._chaos.rng.choice(["late", "half open", "never final", "empty"]):
                case "late":
                    await asyncio.sleep(self._chaos.rng.uniform(0.5, 2.5))
                case "half open":
                    await asyncio.sleep(1_000)
                case "never final":
                    self._values.clear()
                    return
                case "empty":
                    self._values.clear()
        await super().flush()


# What must hold.


def calls_have_results(items: tuple[ChatItem, ...]) -> bool:
    """Every block of calls is followed at once by a result for each of them, and no result stands elsewhere."""
    waiting: set[str] = set()
    answering = False
    for item in items:
        if isinstance(item, ToolCall):
            if answering and waiting:
                return False
            waiting.add(item.id)
            answering = False
        elif isinstance(item, ToolResult):
            if item.call_id not in waiting:
                return False
            waiting.discard(item.call_id)
            answering = True
        elif waiting:
            return False
    return not waiting


def told(items: tuple[ChatItem, ...]) -> list[object]:
    """The conversation with the two ways of saying that a call has no result made one."""
    running = next(i for i in ToolRound([ToolCall(id="", name="", arguments="")]).items() if isinstance(i, ToolResult))
    same: list[object] = []
    for item in items:
        if isinstance(item, ToolResult):
            unknown = item.content in (running.content, LOST_CALL)
            same.append((item.call_id, "no result yet" if unknown else item.content))
        elif isinstance(item, Message):
            same.append((item.role, item.text))
        else:
            same.append(item)
    return same


def check_history_against_journal(call: Call, earlier: tuple[object, ...] = ()) -> None:
    records = [*earlier, *call.records]
    live = call.session._conversation.history.items()
    assert told(restore(records).items) == told(live)  # type: ignore[arg-type]


def check_captions(call: Call, incarnation: int = 1) -> None:
    """What was shown is what is remembered, word for word."""
    for heard in call.of("segment.heard"):
        caption = call.room.captions[f"S1-{incarnation}-{heard['reply']}-{heard['segment']}"]
        assert caption.text.strip() == heard["text"]
        assert caption.closed


def check_played(call: Call, chaos: Chaos) -> None:
    """No word is remembered that did not begin to sound; where synthesis failed for good, words pass as captions."""
    played: dict[int, float] = {}
    for begin, end, value in call.room.audio_out.played:
        played[value] = played.get(value, 0.0) + end - begin
    seq_of_failure = [r.seq for r in call.records if r.kind == "error" and r.data["where"].startswith("tts")]
    first_seq = {r.data["reply"]: r.seq for r in call.records if r.kind == "reply.started"}
    last_seq = {r.data["reply"]: r.seq for r in call.records if r.kind == "turn.agent"}
    for heard in call.of("segment.heard"):
        reply = heard["reply"]
        if any(first_seq[reply] < seq < last_seq[reply] for seq in seq_of_failure):
            continue
        sounded = played.get(chaos.sample_of(heard["text"]), 0.0) if not heard["interrupted"] else None
        if sounded is None:
            whole = next((s for s in chaos.sentences if s.startswith(heard["text"])), heard["text"])
            sounded = played.get(chaos.sentences.index(whole) + 1, 0.0) if whole in chaos.sentences else 1e9
        assert sounded >= len(heard["text"]) / CHARS_PER_S - LONGEST_WORD_S, heard
