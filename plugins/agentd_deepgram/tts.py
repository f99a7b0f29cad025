"""Streaming synthesis (v1/speak): one connection a reply, one Flush a segment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agentd.aio import Channel, produced
from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.tts import SpeechChunk
from agentd_deepgram.config import DeepgramTTSSettings
from agentd_deepgram.sdk import SpeakSocket, SpeakV1Text
from agentd_deepgram.wire import PROVIDER, address, closed, drop, headers, opened

AHEAD = 200  # chunks that may wait for the player while the next segment is asked for


async def create_tts(settings: DeepgramTTSSettings) -> DeepgramTTS:
    return DeepgramTTS(settings, headers(settings.api_key, settings.base_url))


class DeepgramTTS:
    def __init__(self, settings: DeepgramTTSSettings, authorization: Mapping[str, str]) -> None:
        self._settings = settings
        self._authorization = authorization

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def aligned(self) -> bool:
        return False

    def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        async def speak(out: Channel[SpeechChunk]) -> None:
            reply = _Reply(self._settings, self._authorization, out)
            async with asyncio.TaskGroup() as group:
                await reply.speak(segments, group.create_task(reply.open()))

        return produced(speak, AHEAD)

    async def probe(self) -> None:
        """Opens a connection and drops it: key and model are looked at before any text."""
        drop(await opened(speak_url(self._settings), self._authorization, timeout_s=self._settings.open_timeout))

    async def aclose(self) -> None:
        """Nothing is shared between replies."""


class _Reply:
    """Segments are asked for one after the other: sound is made faster than it is heard, so nothing waits."""

    def __init__(
        self, settings: DeepgramTTSSettings, authorization: Mapping[str, str], out: Channel[SpeechChunk]
    ) -> None:
        self._settings = settings
        self._authorization = authorization
        self._url = speak_url(settings)
        self._out = out
        self._connection: ClientConnection | None = None
        self._used = False  # a segment was spoken over this connection
        self._heard = False  # sound of the current segment has come

    async def open(self) -> ClientConnection:
        self._connection = await opened(self._url, self._authorization, timeout_s=self._settings.open_timeout)
        self._used = False
        return self._connection

    async def speak(self, segments: AsyncIterable[str], opening: asyncio.Task[ClientConnection]) -> None:
        """The connection is opened while the first segment is still being written."""
        number = 0
        try:
            async for text in segments:
                if text.strip():
                    await opening
                    await self._segment(number, text)
                await self._out.send(SpeechChunk(segment=number, frame=AudioFrame(b"", OUTPUT_HZ), last=True))
                number += 1
            await self._say_last()
        except asyncio.CancelledError:
            await self._say_last(clear=True)
            raise
        finally:
            opening.cancel()
            if self._connection is not None:
                drop(self._connection)

    async def _segment(self, number: int, text: str) -> None:
        try:
            await self._spoken(number, text)
        except ConnectionClosed as error:
            # Deepgram may close while the reply pauses: a tool may take a minute. Nothing of the segment was heard.
            if not self._used or self._heard:
                raise closed(error) from error
            try:
                await self.open()
                await self._spoken(number, text)
            except ConnectionClosed as again:
                raise closed(again) from again

    async def _spoken(self, number: int, text: str) -> None:
        assert self._connection is not None
        socket = SpeakSocket(websocket=self._connection)  # type: ignore[arg-type]  # made for the legacy class
        self._heard = False
        await socket.send_text(SpeakV1Text(text=text))
        await socket.send_flush()
        await self._listen(number, socket)
        self._used = True

    async def _listen(self, number: int, socket: SpeakSocket) -> None:
        """Passes a segment's sound on until Flushed says that it is complete."""
        rest = b""
        while True:
            message = await self._message(socket)
            if isinstance(message, bytes):
                data = rest + message
                whole = len(data) - len(data) % BYTES_PER_SAMPLE
                rest, self._heard = data[whole:], True
                await self._out.send(SpeechChunk(segment=number, frame=AudioFrame(data[:whole], OUTPUT_HZ)))
                continue
            kind = getattr(message, "type", None)
            if kind == "Error":
                raise ProviderRefused(PROVIDER, str(getattr(message, "description", "error")))
            if kind == "Flushed":
                break
        if not self._heard:
            raise ProviderUnavailable(PROVIDER, "the answer held no sound")

    async def _message(self, socket: SpeakSocket) -> object:
        limit_s = self._settings.stall_timeout if self._heard else self._settings.first_audio_timeout
        try:
            async with asyncio.timeout(limit_s):
                return await socket.recv()
        except TimeoutError as error:
            late = "the sound stalled" if self._heard else "no sound"
            raise ProviderTimeout(PROVIDER, f"{late} for {limit_s:g} s") from error

    async def _say_last(self, *, clear: bool = False) -> None:
        """Close; before it Clear, when the caller interrupted and the rest is not to be made. Nobody waits for an
        answer."""
        if self._connection is None:
            return
        socket = SpeakSocket(websocket=self._connection)  # type: ignore[arg-type]
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(0.05):
                if clear:
                    await socket.send_clear()
                await socket.send_close()


def speak_url(settings: DeepgramTTSSettings) -> str:
    query = {
        "model": settings.model,
        "encoding": "linear16",
        "sample_rate": OUTPUT_HZ,
        "speed": settings.speed,
        **settings.extra_query,
    }
    return address(settings.base_url, "/v1/speak", query)
