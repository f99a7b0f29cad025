"""Recognition of whole utterances (audio.transcriptions)."""

from __future__ import annotations

import asyncio
import io
import wave

from openai import AsyncOpenAI, omit

from agentd.audio import BYTES_PER_SAMPLE, INPUT_HZ, AudioFrame, silence
from agentd.errors import ProviderRefused, ProviderTimeout
from agentd.providers.stt import STTCapabilities, STTStream, Transcript
from agentd_openai.config import OpenAISTTSettings
from agentd_openai.wire import PROVIDER, connected, faults, listed

PROBE_S = 0.5
SHORTEST_S = 0.1  # OpenAI answers 400 audio_too_short below


async def create_stt(settings: OpenAISTTSettings) -> OpenAISTT:
    return OpenAISTT(settings, connected(settings.api_key, settings.base_url))


class OpenAISTT:
    def __init__(self, settings: OpenAISTTSettings, client: AsyncOpenAI) -> None:
        self._settings = settings
        self._client = client

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(streaming=False)

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        if audio.duration_s < SHORTEST_S:
            return Transcript(text="")
        spoken = self._settings.language or language
        if spoken == "multi":
            spoken = None
        try:
            with faults():
                async with asyncio.timeout(self._settings.timeout):
                    answer = await self._client.audio.transcriptions.create(
                        file=("utterance.wav", wav(audio), "audio/wav"),
                        model=self._settings.model,
                        language=spoken.partition("-")[0].lower() if spoken else omit,
                        prompt=self._settings.prompt or omit,
                        response_format="json",
                    )
        except TimeoutError as error:
            raise ProviderTimeout(PROVIDER, f"no transcript within {self._settings.timeout:g} s") from error
        return Transcript(text=answer.text.strip(), language=spoken)

    async def stream(self, *, language: str | None) -> STTStream:
        raise ProviderRefused(PROVIDER, "recognises whole utterances only, not streams")

    async def probe(self) -> None:
        """Looks for the model in the server's list, and else has it recognise a moment of silence."""
        if not await listed(self._client, self._settings.model):
            await self.recognize(silence(PROBE_S, INPUT_HZ), language=None)

    async def aclose(self) -> None:
        await self._client.close()


def wav(audio: AudioFrame) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(audio.sample_rate_hz)
        file.writeframes(audio.data)
    return buffer.getvalue()
