"""Real models in virtual time: what they answer is kept on disk by what they were asked, so that a rule of turn-taking
is tried on the same words again and again without waiting for them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from agentd_local.hibari_tts import pcm, without_silence

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.providers.stt import STTCapabilities, STTStream, Transcript
from agentd.providers.tts import SpeechChunk
from agentd.providers.turn_detector import TurnSoFar
from agentd.registry import installed
from tests.speech import utterance

PLACE = Path(".cache/turn_taking")
JUDGED_S = 0.06  # Smart Turn's opinion on one core
VOICED_S = 0.15  # hibari's first sentence


class Answers:
    """One provider's, one JSON line each."""

    def __init__(self, name: str) -> None:
        PLACE.mkdir(parents=True, exist_ok=True)
        self._path = PLACE / f"{name}.jsonl"
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._known: dict[str, Any] = dict(json.loads(line) for line in lines)

    def of(self, question: bytes, ask: Callable[[], Any]) -> Any:
        key = hashlib.sha256(question).hexdigest()[:24]
        if key not in self._known:
            self._known[key] = ask()
            with self._path.open("a") as file:
                file.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]


class KeptModels:
    """The providers of an agent file. `words_s`: what the recogniser takes. Models are loaded when they are first
    asked something new, and answer on a loop of their own, so that virtual time stands still meanwhile."""

    def __init__(self, words_s: float) -> None:
        self._words_s = words_s
        self.recognised = 0  # utterances, also those that were thrown away
        self._loop = asyncio.new_event_loop()
        self._made: dict[str, Any] = {}
        self._answers: dict[str, Answers] = {}
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def providers(self, agent: AgentDefinition) -> dict[str, Any]:
        """What `tests.fakes.call.calling` takes. Voice activity and interruption detectors are quick: they are real."""
        assert agent.stt is not None
        judge = agent.turn_detector
        return {
            "vad": self.made(agent.vad),
            "stt": _KeptRecogniser(self, agent.stt, self._words_s),
            "tts": _KeptVoice(),
            "turn_detector": _KeptJudge(self, judge) if judge else None,
            "interruption_detector": self.made(agent.interruption_detector) if agent.interruption_detector else None,
        }

    def made(self, choice: ProviderChoice) -> Any:
        if choice.digest not in self._made:
            component = installed().find(choice.kind, choice.provider)
            self._made[choice.digest] = self.wait(installed().factory(component)(choice.settings))
        return self._made[choice.digest]

    def wait(self, answer: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(cast("Coroutine[Any, Any, Any]", answer), self._loop).result()

    def answers(self, choice: ProviderChoice) -> Answers:
        name = f"{choice.provider}-{choice.digest[:8]}"
        if name not in self._answers:
            self._answers[name] = Answers(name)
        return self._answers[name]


class _KeptRecogniser:
    def __init__(self, models: KeptModels, choice: ProviderChoice, words_s: float) -> None:
        self._models, self._choice, self._words_s = models, choice, words_s
        self.texts: dict[int, str] = {}
        self._under_way = 0

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(
            streaming=False,
            punctuates=self._choice.provider == "whisper",
            early=self._choice.provider == "whisper" and not self._under_way,
        )

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        def ask() -> str:
            stt = self._models.made(self._choice)
            text: str = self._models.wait(stt.recognize(audio, language=language)).text
            return text

        text = self._models.answers(self._choice).of(audio.data, ask)
        self._models.recognised += 1
        self._under_way += 1
        try:
            await asyncio.sleep(self._words_s)
        finally:
            self._under_way -= 1
        return Transcript(text=text, language=language)

    async def stream(self, *, language: str | None) -> STTStream:
        raise NotImplementedError

    async def aclose(self) -> None:
        """The model is the process's."""


class _KeptJudge:
    def __init__(self, models: KeptModels, choice: ProviderChoice) -> None:
        self._models, self._choice = models, choice

    async def judge(self, turn: TurnSoFar) -> float:
        def ask() -> float:
            return float(self._models.wait(self._models.made(self._choice).judge(turn)))

        answer = self._models.answers(self._choice).of(turn.audio.data, ask)
        await asyncio.sleep(JUDGED_S)
        return float(answer)

    async def aclose(self) -> None:
        """The model is the process's."""


class _KeptVoice:
    """The agent's: hibari's, sentence by sentence."""

    sample_rate_hz = OUTPUT_HZ
    aligned = False

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        index = 0
        async for text in segments:
            if not index:
                await asyncio.sleep(VOICED_S)
            samples = utterance(text, rate_hz=OUTPUT_HZ).array() / 32768
            yield SpeechChunk(segment=index, frame=pcm(without_silence(samples)), last=True)
            index += 1

    async def aclose(self) -> None:
        """Nothing to close."""
