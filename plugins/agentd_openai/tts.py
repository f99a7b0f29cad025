"""Synthesis (audio.speech): one streamed request a segment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing

from openai import AsyncOpenAI, omit

from agentd.aio import Channel, now, produced
from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderTimeout, ProviderUnavailable
from agentd.providers.probe import say_a_word
from agentd.providers.tts import SpeechChunk
from agentd_openai.config import OpenAITTSSettings
from agentd_openai.wire import PROVIDER, connected, faults, listed

FRAME_BYTES = OUTPUT_HZ // 20 * BYTES_PER_SAMPLE  # 50 ms, so that no read cuts a sample in two
AHEAD = 200  # chunks: 10 s of sound may wait for the player while the next segment is asked for


async def create_tts(settings: OpenAITTSSettings) -> OpenAITTS:
    return OpenAITTS(settings, connected(settings.api_key, settings.base_url))


class OpenAITTS:
    def __init__(self, settings: OpenAITTSSettings, client: AsyncOpenAI) -> None:
        self._settings = settings
        self._client = client

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def aligned(self) -> bool:
        return False

    def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        async def speak(out: Channel[SpeechChunk]) -> None:
            number = 0
            async for text in segments:
                await self._speak(number, text, out)
                number += 1

        return produced(speak, AHEAD)

    async def probe(self) -> None:
        """Looks for the model in the server's list, and else has it say a word."""
        if not await listed(self._client, self._settings.model):
            await say_a_word(self)

    async def aclose(self) -> None:
        await self._client.close()

    async def _speak(self, number: int, text: str, out: Channel[SpeechChunk]) -> None:
        """One segment. Time that the reader of `out` takes counts against no deadline."""
        heard = False
        if text.strip():
            async with aclosing(self._sound(text)) as sound:
                async for data in sound:
                    heard = True
                    await out.send(SpeechChunk(segment=number, frame=AudioFrame(data, OUTPUT_HZ)))
            if not heard:
                raise ProviderUnavailable(PROVIDER, "the answer held no sound")
        await out.send(SpeechChunk(segment=number, frame=AudioFrame(b"", OUTPUT_HZ), last=True))

    async def _sound(self, text: str) -> AsyncGenerator[bytes]:
        deadline, late = now() + self._settings.first_audio_timeout, "no sound in time"
        request = self._client.audio.speech.with_streaming_response.create(
            model=self._settings.model,
            voice=self._settings.voice,
            input=text,
            response_format="pcm",
            speed=self._settings.speed if self._settings.speed != 1.0 else omit,
            instructions=self._settings.instructions or omit,
        )
        try:
            with faults():
                async with asyncio.timeout_at(deadline):
                    response = await request.__aenter__()
                try:
                    pieces = aiter(response.iter_bytes(FRAME_BYTES))
                    while True:
                        async with asyncio.timeout_at(deadline):
                            data = await anext(pieces, b"")
                        if not data:
                            return
                        yield data[: len(data) - len(data) % BYTES_PER_SAMPLE]
                        deadline, late = now() + self._settings.stall_timeout, "the sound stalled"
                finally:
                    await request.__aexit__(None, None, None)
        except TimeoutError as error:
            raise ProviderTimeout(PROVIDER, late) from error
