"""Realtime recognition (speech-to-text/realtime)."""

from __future__ import annotations

import asyncio

from elevenlabs.client import AsyncElevenLabs
from elevenlabs.realtime import AudioFormat, CommitStrategy, RealtimeAudioOptions

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.stt import STTCapabilities, Transcript
from agentd_elevenlabs.config import ElevenLabsSTTSettings
from agentd_elevenlabs.stream import ElevenLabsStream
from agentd_elevenlabs.wire import PROVIDER, connecting, key


async def create_stt(settings: ElevenLabsSTTSettings) -> ElevenLabsSTT:
    client = AsyncElevenLabs(api_key=key(settings.api_key, settings.base_url), base_url=settings.base_url)
    return ElevenLabsSTT(settings, client)


class ElevenLabsSTT:
    def __init__(self, settings: ElevenLabsSTTSettings, client: AsyncElevenLabs) -> None:
        self._settings = settings
        self._client = client

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(streaming=True, interim_results=True, endpointing=self._settings.commit == "vad")

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        raise ProviderRefused(PROVIDER, "recognises streams only, not whole utterances")

    async def stream(self, *, language: str | None) -> ElevenLabsStream:
        spoken = self._settings.language or language
        limit_s = self._settings.open_timeout
        async with connecting(limit_s), asyncio.timeout(limit_s):
            connection = await self._client.speech_to_text.realtime.connect(options(self._settings, spoken))
            stream = ElevenLabsStream(
                connection,
                language=None if spoken == "multi" else spoken,
                commits_itself=self._settings.commit == "vad",
                stall_timeout_s=self._settings.stall_timeout,
            )
            try:
                await stream.started()
            except BaseException:  # cancelled as well: the connection must not stay open
                await stream.aclose()
                raise
        return stream

    async def probe(self) -> None:
        """Opens a stream, which ElevenLabs begins or refuses, and closes it."""
        stream = await self.stream(language=None)
        await stream.aclose()

    async def aclose(self) -> None:
        """Nothing is shared between streams."""


def options(settings: ElevenLabsSTTSettings, language: str | None) -> RealtimeAudioOptions:
    """What the SDK makes the connection's query of."""
    said = RealtimeAudioOptions(
        model_id=settings.model,
        audio_format=AudioFormat.PCM_16000,
        sample_rate=INPUT_HZ,
        commit_strategy=CommitStrategy.VAD if settings.commit == "vad" else CommitStrategy.MANUAL,
    )
    if language and language != "multi":
        said["language_code"] = language.partition("-")[0].lower()
    if settings.keyterms:
        said["keyterms"] = list(settings.keyterms)
    if settings.vad_silence is not None and settings.commit == "vad":
        said["vad_silence_threshold_secs"] = settings.vad_silence
    if settings.no_verbatim:
        said["no_verbatim"] = True
    return said
