"""A recogniser that hears nothing and answers at once: what is measured is everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agentd.aio import Channel
from agentd.audio import AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.stt import SpeechEvent, STTCapabilities, Transcript
from agentd_scripted.config import ScriptedSTTSettings

PROVIDER = "scripted"


class Texts:
    """The settings' texts, one an utterance."""

    def __init__(self, settings: ScriptedSTTSettings) -> None:
        self._texts = settings.texts
        self._number = 0

    def next(self) -> str:
        text = self._texts[self._number % len(self._texts)]
        self._number += 1
        return text.replace("{number}", str(self._number))


class ScriptedSTT:
    def __init__(self, settings: ScriptedSTTSettings) -> None:
        self._settings = settings
        self._texts = Texts(settings)

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(streaming=self._settings.streaming)

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        if self._settings.streaming:
            raise ProviderRefused(PROVIDER, "streams; set streaming: false for whole utterances")
        if self._settings.delay:
            await asyncio.sleep(self._settings.delay)
        return Transcript(text=self._texts.next(), language=language)

    async def stream(self, *, language: str | None) -> ScriptedSTTStream:
        if not self._settings.streaming:
            raise ProviderRefused(PROVIDER, "recognises whole utterances; set streaming: true")
        return ScriptedSTTStream(self._settings, language)

    async def aclose(self) -> None:
        """Nothing is held."""


class ScriptedSTTStream:
    """Gives a final text at every flush."""

    def __init__(self, settings: ScriptedSTTSettings, language: str | None) -> None:
        self._settings = settings
        self._language = language
        self._texts = Texts(settings)
        self._events: Channel[SpeechEvent] = Channel(64)
        self._heard_s = 0.0

    async def push(self, frame: AudioFrame) -> None:
        self._heard_s += frame.duration_s

    async def flush(self) -> None:
        transcript = Transcript(text=self._texts.next(), language=self._language)
        await self._events.send(SpeechEvent(kind="final", transcript=transcript, audio_end_s=self._heard_s))

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        async for event in self._events:
            if self._settings.delay:
                await asyncio.sleep(self._settings.delay)
            yield event

    async def aclose(self) -> None:
        self._events.close()


async def create_stt(settings: ScriptedSTTSettings) -> ScriptedSTT:
    return ScriptedSTT(settings)
