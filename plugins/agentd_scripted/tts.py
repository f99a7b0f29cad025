"""A voice that costs nothing: a tone as long as the text would be, with the time of every word."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator

import numpy as np

from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.providers.tts import SpeechChunk, TimedWord
from agentd_scripted.config import ScriptedTTSSettings


class ScriptedTTS:
    """One second of sound is made once; every answer is cut from it."""

    def __init__(self, settings: ScriptedTTSSettings) -> None:
        self._settings = settings
        self._second = _one_second(settings)

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def aligned(self) -> bool:
        return True

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        index = 0
        async for text in segments:
            if self._settings.delay:
                await asyncio.sleep(self._settings.delay)
            words = timed_words(text, self._settings.character)
            yield SpeechChunk(segment=index, frame=self._sound(text), words=words, last=True)
            index += 1

    async def aclose(self) -> None:
        """Nothing is held."""

    def _sound(self, text: str) -> AudioFrame:
        wanted = BYTES_PER_SAMPLE * round(len(text.strip()) * self._settings.character * OUTPUT_HZ)
        return AudioFrame((self._second * (wanted // len(self._second) + 1))[:wanted], OUTPUT_HZ)


def timed_words(text: str, character_s: float) -> tuple[TimedWord, ...]:
    """Every word for as long as its letters take; the space after it belongs to it."""
    return tuple(
        TimedWord(text=match.group(), start_s=match.start() * character_s, end_s=match.end() * character_s)
        for match in re.finditer(r"\S+\s*", text.strip())
    )


def _one_second(settings: ScriptedTTSSettings) -> bytes:
    if settings.sound == "silence":
        return bytes(BYTES_PER_SAMPLE * OUTPUT_HZ)
    if settings.sound == "noise":
        samples = np.random.default_rng(0).uniform(-1, 1, OUTPUT_HZ)
    else:
        samples = np.sin(2 * np.pi * settings.frequency_hz * np.arange(OUTPUT_HZ) / OUTPUT_HZ)
    return (samples * settings.level * 32767).astype("<i2").tobytes()


async def create_tts(settings: ScriptedTTSSettings) -> ScriptedTTS:
    return ScriptedTTS(settings)
