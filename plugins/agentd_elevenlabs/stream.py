"""One call's recognition over the SDK's realtime connection."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from elevenlabs.realtime import RealtimeConnection, RealtimeEvents
from websockets.exceptions import ConnectionClosed

from agentd.aio import Channel, Closed, now, produced
from agentd.audio import INPUT_HZ, AudioFrame, Rechunker, silence
from agentd.errors import ProviderError, ProviderUnavailable
from agentd.providers.stt import SpeechEvent, Transcript
from agentd_elevenlabs.wire import PROVIDER, close_fault, named_fault

CHUNK_S = 0.1  # ElevenLabs advises 0.1 to 1 s a message
SHORTEST_COMMIT_S = 0.3  # with less, ElevenLabs answers commit_throttled
KEEP_ALIVE_S = 5.0
MESSAGES = 256
GOODBYE_S = 1.0
_HARMLESS = frozenset({RealtimeEvents.COMMIT_THROTTLED.value})
_NOTHING = {"message_type": RealtimeEvents.COMMITTED_TRANSCRIPT.value, "text": ""}


class ElevenLabsStream:
    """The connection's messages are read by the SDK's own task; everything else runs while somebody iterates.

    A lost connection ends the stream: realtime results carry no times from which a new one could take over.
    """

    def __init__(
        self, connection: RealtimeConnection, *, language: str | None, commits_itself: bool, stall_timeout_s: float
    ) -> None:
        self._connection = connection
        self._language = language
        self._commits_itself = commits_itself
        self._stall_timeout_s = stall_timeout_s
        self._messages: Channel[Mapping[str, Any]] = Channel(MESSAGES)
        self._chunks = Rechunker(round(CHUNK_S * INPUT_HZ), INPUT_HZ)
        self._sent_s = 0.0
        self._committed_s = 0.0
        self._commits: deque[float] = deque()  # where in the stream the commits without an answer stand
        self._sent_at = now()
        self._lost: ProviderError | None = None
        self._closing = False
        for event in RealtimeEvents:
            if event not in (RealtimeEvents.OPEN, RealtimeEvents.CLOSE, RealtimeEvents.ERROR):
                connection.on(event.value, self._messages.force)
        connection.on(RealtimeEvents.ERROR.value, self._failed)
        connection.on(RealtimeEvents.CLOSE.value, self._was_closed)

    async def started(self) -> None:
        """Waits for ElevenLabs' first message. Raises the ProviderError that it or its absence means."""
        try:
            message = await self._messages.receive()
        except Closed:
            raise self._lost or ProviderUnavailable(PROVIDER, "closed before it began") from None
        if message.get("message_type") != RealtimeEvents.SESSION_STARTED.value:
            raise _fault(message)

    async def push(self, frame: AudioFrame) -> None:
        for chunk in self._chunks.push(frame):
            await self._send(chunk)

    async def flush(self) -> None:
        """Commits what was sent; of too little sound it answers at once that nobody spoke."""
        rest = self._chunks.flush()
        if rest is not None:
            await self._send(rest)
        if self._sent_s - self._committed_s < SHORTEST_COMMIT_S:
            self._messages.force(_NOTHING)
            return
        self._committed_s = self._sent_s
        self._commits.append(self._sent_s)
        with suppress(ConnectionClosed):  # iteration says why
            await self._connection.commit()

    def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        return produced(self._recognize, MESSAGES)

    async def aclose(self) -> None:
        self._closing = True
        websocket = self._connection.websocket
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._connection.close()
        websocket.transport.abort()
        self._messages.close()

    async def _recognize(self, out: Channel[SpeechEvent]) -> None:
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(self._watch()), group.create_task(self._keep_alive())]
            async for message in self._messages:
                for event in self._events(message):
                    await out.send(event)
            for task in others:
                task.cancel()
        if not self._closing:
            raise self._lost or ProviderUnavailable(PROVIDER, "the connection was lost")

    def _events(self, message: Mapping[str, Any]) -> list[SpeechEvent]:
        kind = message.get("message_type")
        transcript = Transcript(text=str(message.get("text") or "").strip(), language=self._language)
        if kind == RealtimeEvents.PARTIAL_TRANSCRIPT.value:
            return [SpeechEvent(kind="interim", transcript=transcript)] if transcript.text else []
        if kind == RealtimeEvents.COMMITTED_TRANSCRIPT.value:
            final = SpeechEvent(kind="final", transcript=transcript, audio_end_s=self._committed_at(message))
            if not self._commits_itself:
                return [final]
            nothing_new = Transcript(text="", language=self._language)
            return [final, SpeechEvent(kind="end_of_turn", transcript=nothing_new)]
        if "error" in message and kind not in _HARMLESS:
            raise _fault(message)
        return []

    def _committed_at(self, message: Mapping[str, Any]) -> float | None:
        if message is _NOTHING:
            return self._committed_s
        return self._commits.popleft() if self._commits else None

    async def _send(self, frame: AudioFrame) -> None:
        self._sent_s += frame.duration_s
        self._sent_at = now()
        with suppress(ConnectionClosed):  # iteration says why
            await self._connection.send({"audio_base_64": base64.b64encode(frame.data).decode()})

    async def _keep_alive(self) -> None:
        """ElevenLabs closes a session without sound; a muted caller is to find it open."""
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + KEEP_ALIVE_S - now()))
            if now() - self._sent_at >= KEEP_ALIVE_S:
                await self._send(silence(CHUNK_S, INPUT_HZ))

    async def _watch(self) -> None:
        """Finds a half-open connection: only pings bound the age of what the other side has not read."""
        interval_s, patience_s = self._stall_timeout_s / 3, self._stall_timeout_s * 2 / 3
        while True:
            await asyncio.sleep(interval_s)
            try:
                async with asyncio.timeout(patience_s):
                    pong = await self._connection.websocket.ping()
                    await pong
            except TimeoutError as error:
                self._connection.websocket.transport.abort()
                stalled = f"the connection is half-open: nothing was read for {self._stall_timeout_s:g} s"
                raise ProviderUnavailable(PROVIDER, stalled) from error
            except ConnectionClosed:
                return  # the messages that came before are still to be read

    def _failed(self, error: Mapping[str, Any]) -> None:
        """Named errors come under their own name too, and a lost connection by `_was_closed`; here only what
        ElevenLabs has no better name for than "error"."""
        if error.get("message_type") == RealtimeEvents.ERROR.value:
            self._messages.force(error)

    def _was_closed(self, closing: Mapping[str, Any]) -> None:
        self._lost = close_fault(closing.get("code"), closing.get("reason"))
        self._messages.close()


def _fault(message: Mapping[str, Any]) -> ProviderError:
    return named_fault(str(message.get("message_type")), str(message.get("error") or ""))
