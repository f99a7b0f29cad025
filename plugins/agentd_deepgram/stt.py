"""Streaming recognition (v1/listen)."""

from __future__ import annotations

from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration
from agentd.providers.stt import STTCapabilities, Transcript
from agentd_deepgram.config import DeepgramSTTSettings
from agentd_deepgram.stream import DeepgramStream
from agentd_deepgram.wire import PROVIDER, address, headers, opened


async def create_stt(settings: DeepgramSTTSettings) -> DeepgramSTT:
    return DeepgramSTT(settings, headers(settings.api_key, settings.base_url))


class DeepgramSTT:
    def __init__(self, settings: DeepgramSTTSettings, authorization: Mapping[str, str]) -> None:
        self._settings = settings
        self._authorization = authorization

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(
            streaming=True,
            interim_results=self._settings.interim_results,
            endpointing=self._settings.endpointing is not None or self._settings.utterance_end is not None,
        )

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        raise ProviderRefused(PROVIDER, "recognises streams only, not whole utterances")

    async def stream(self, *, language: str | None) -> DeepgramStream:
        spoken = self._settings.language or language
        url = listen_url(self._settings, spoken)

        async def connect() -> ClientConnection:
            return await opened(url, self._authorization, timeout_s=self._settings.open_timeout)

        return DeepgramStream(
            connect,
            await connect(),
            language=None if spoken == "multi" else spoken,
            stall_timeout_s=self._settings.stall_timeout,
            reconnect_window_s=self._settings.reconnect_window,
        )

    async def probe(self) -> None:
        """Opens a stream and closes it: key and settings are looked at before any sound."""
        stream = await self.stream(language=None)
        await stream.aclose()

    async def aclose(self) -> None:
        """Nothing is shared between streams."""


def listen_url(settings: DeepgramSTTSettings, language: str | None) -> str:
    interim = settings.interim_results
    query = {
        "model": settings.model,
        "language": language,
        "encoding": "linear16",
        "sample_rate": INPUT_HZ,
        "channels": 1,
        "interim_results": interim,
        "endpointing": _ms(settings.endpointing) if settings.endpointing is not None else False,
        "utterance_end_ms": _ms(settings.utterance_end) if settings.utterance_end is not None and interim else None,
        "smart_format": settings.smart_format,
        "punctuate": settings.punctuate,
        "numerals": settings.numerals or None,
        "diarize": settings.diarize or None,
        "keyterm": settings.keyterms or None,
        **settings.extra_query,
    }
    return address(settings.base_url, "/v1/listen", query)


def _ms(duration: Duration) -> int:
    return round(duration * 1000)
