"""Streaming synthesis (multi-stream-input): one connection a reply, one context a segment.

A context is what gets a clear end: a flush within one context has no answer that says where its sound stops.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from elevenlabs.types.close_context import CloseContext
from elevenlabs.types.close_socket import CloseSocket
from elevenlabs.types.initialize_connection_multi import InitializeConnectionMulti
from elevenlabs.types.realtime_voice_settings import RealtimeVoiceSettings
from elevenlabs.types.send_text_multi import SendTextMulti
from elevenlabs.url_utils import build_ws_url
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agentd.aio import Channel, produced
from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderTimeout, ProviderUnavailable
from agentd.providers.probe import say_a_word
from agentd.providers.tts import Markup, SpeechChunk
from agentd_elevenlabs.alignment import Words
from agentd_elevenlabs.config import ElevenLabsTTSSettings
from agentd_elevenlabs.voices import voice_id
from agentd_elevenlabs.wire import PROVIDER, closed, drop, key, named_fault, opened

AHEAD = 200  # chunks that may wait for the player while the next segment is asked for
INACTIVITY_S = 180  # the longest that ElevenLabs allows: a reply may wait for a tool
_IDLE = frozenset({"input_timeout_exceeded"})
_VOICE_SETTINGS = ("speed", "stability", "similarity_boost", "style", "use_speaker_boost")


async def create_tts(settings: ElevenLabsTTSSettings) -> ElevenLabsTTS:
    """Looks the voice up when it is neither an id nor one of ElevenLabs' own."""
    api_key = key(settings.api_key, settings.base_url)
    voice = await voice_id(settings.voice, api_key, settings.base_url, settings.open_timeout)
    return ElevenLabsTTS(settings, api_key, voice)


class ElevenLabsTTS:
    def __init__(self, settings: ElevenLabsTTSSettings, api_key: str, voice: str) -> None:
        self._settings = settings
        self._api_key = api_key
        self._voice = voice

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def aligned(self) -> bool:
        return True

    @property
    def markup(self) -> Markup:
        """Pauses of up to 3 s; `[laughs]` is for eleven_v3, which has no WebSocket."""
        return Markup(breaks=True)

    def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        url = speech_url(self._settings, self._voice, self._settings.language or language)

        async def speak(out: Channel[SpeechChunk]) -> None:
            reply = _Reply(self._settings, url, self._api_key, out)
            async with asyncio.TaskGroup() as group:
                await reply.speak(segments, group.create_task(reply.open()))

        return produced(speak, AHEAD)

    async def probe(self) -> None:
        """Says a word: ElevenLabs looks at key, voice, model and quota when it is to speak."""
        await say_a_word(self)

    async def aclose(self) -> None:
        """Nothing is shared between replies."""


class _Reply:
    """Segments are asked for one after the other: sound is made faster than it is heard, so nothing waits."""

    def __init__(self, settings: ElevenLabsTTSSettings, url: str, api_key: str, out: Channel[SpeechChunk]) -> None:
        self._settings = settings
        self._url = url
        self._api_key = api_key
        self._out = out
        self._voice_settings = voice_settings(settings)
        self._connection: ClientConnection | None = None
        self._context = ""  # of the segment that is being spoken
        self._used = False  # a segment was spoken over this connection
        self._heard = False  # sound of the current segment has come

    async def open(self) -> None:
        self._connection = await opened(self._url, self._api_key, timeout_s=self._settings.open_timeout)
        self._used = False

    async def speak(self, segments: AsyncIterable[str], opening: asyncio.Task[None]) -> None:
        """The connection is opened while the first segment is still being written."""
        number = 0
        try:
            async for text in segments:
                words = Words()
                if text.strip():
                    await opening
                    await self._segment(number, text, words)
                last = SpeechChunk(
                    segment=number, frame=AudioFrame(b"", OUTPUT_HZ), words=tuple(words.flush()), last=True
                )
                await self._out.send(last)
                number += 1
        finally:
            opening.cancel()
            await self._say_last()

    async def _segment(self, number: int, text: str, words: Words) -> None:
        try:
            await self._spoken(number, text, words)
        except ConnectionClosed as error:
            # ElevenLabs closes while the reply pauses: a tool may take minutes. Nothing of the segment was heard.
            if not self._used or self._heard:
                raise closed(error) from error
            try:
                await self.open()
                await self._spoken(number, text, words)
            except ConnectionClosed as again:
                raise closed(again) from again

    async def _spoken(self, number: int, text: str, words: Words) -> None:
        assert self._connection is not None
        self._context, self._heard = f"segment-{number}", False
        begin: dict[str, Any] = {"text": " ", "context_id": self._context}
        if self._voice_settings is not None:
            begin["voice_settings"] = self._voice_settings
        spoken = f"{text.strip()} "  # ElevenLabs wants a space at the end of every text
        with suppress(ConnectionClosed):  # why it was closed is among what can still be read
            await self._connection.send(InitializeConnectionMulti(**begin).json())
            await self._connection.send(SendTextMulti(text=spoken, context_id=self._context, flush=True).json())
            await self._connection.send(CloseContext(context_id=self._context, close_context=True).json())
        await self._listen(number, self._connection, words)
        self._used = True

    async def _listen(self, number: int, connection: ClientConnection, words: Words) -> None:
        """Passes a segment's sound on until its context has ended."""
        rest, sound_s = b"", 0.0
        while True:
            message = await self._message(connection)
            if message.get("error") in _IDLE:
                continue  # the close follows
            if message.get("error"):
                raise named_fault(str(message["error"]), str(message.get("message") or ""))
            if message.get("contextId") not in (None, self._context):
                continue  # what is left of an earlier context
            data = rest + base64.b64decode(message.get("audio") or "")
            whole = len(data) - len(data) % BYTES_PER_SAMPLE
            rest, frame = data[whole:], AudioFrame(data[:whole], OUTPUT_HZ)
            timed = words.push(message.get("alignment") or {}, sound_s)
            sound_s += frame.duration_s
            if frame.data or timed:
                self._heard = True
                await self._out.send(SpeechChunk(segment=number, frame=frame, words=tuple(timed)))
            if message.get("isFinal"):
                break
        if not sound_s:
            raise ProviderUnavailable(PROVIDER, "the answer held no sound")

    async def _message(self, connection: ClientConnection) -> dict[str, Any]:
        limit_s = self._settings.stall_timeout if self._heard else self._settings.first_audio_timeout
        try:
            async with asyncio.timeout(limit_s):
                message = json.loads(await connection.recv())
        except TimeoutError as error:
            late = "the sound stalled" if self._heard else "no sound"
            raise ProviderTimeout(PROVIDER, f"{late} for {limit_s:g} s") from error
        except ValueError as error:
            raise ProviderUnavailable(PROVIDER, f"malformed message: {error}") from error
        return message if isinstance(message, dict) else {}

    async def _say_last(self) -> None:
        """Ends every context, also when the caller interrupted, and waits for no answer."""
        if self._connection is None:
            return
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(0.05):
                await self._connection.send(CloseSocket(close_socket=True).json())
        drop(self._connection)


def speech_url(settings: ElevenLabsTTSSettings, voice: str, language: str | None) -> str:
    query = {
        "model_id": settings.model,
        "output_format": f"pcm_{OUTPUT_HZ}",
        "inactivity_timeout": str(INACTIVITY_S),
        "sync_alignment": "true",
        "auto_mode": "true",  # segments are whole clauses: nothing need be gathered before it is spoken
        "apply_text_normalization": settings.text_normalization,
    }
    if language and _speaks_many(settings.model):
        query["language_code"] = language.partition("-")[0].lower()
    return build_ws_url(settings.base_url, ["v1", "text-to-speech", voice, "multi-stream-input"], query)


def _speaks_many(model: str) -> bool:
    """Only these models take language_code; the others refuse it."""
    return model.endswith("_v2_5")


def voice_settings(settings: ElevenLabsTTSSettings) -> RealtimeVoiceSettings | None:
    said: Mapping[str, Any] = {
        name: value for name in _VOICE_SETTINGS if (value := getattr(settings, name)) is not None
    }
    return RealtimeVoiceSettings(**said) if said else None
