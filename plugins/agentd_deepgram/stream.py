"""One call's recognition, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agentd.aio import Channel, Closed, now, produced
from agentd.audio import AudioFrame
from agentd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from agentd.providers.stt import SpeechEvent
from agentd_deepgram.results import Results
from agentd_deepgram.sdk import ListenSocket, ListenV1Error, ListenV1Results
from agentd_deepgram.tail import Tail
from agentd_deepgram.wire import PROVIDER, closed, drop

KEEP_ALIVE_S = 4.0  # Deepgram closes with NET-0001 after 10 s without sound or KeepAlive, and advises 3 to 5 s
REPLAY_S = 15.0
INBOX_FRAMES = 1500  # 15 s of the smallest frames, 10 ms
EVENTS = 256
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
GOODBYE_S = 1.0


class DeepgramStream:
    """Sound goes in by `push`; the tasks that send it and read results live while somebody iterates.

    A lost connection is replaced while the reconnect window lasts. What Deepgram had not settled is sent again, so
    no word is lost or doubled; events count their time from the beginning of the stream.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[ClientConnection]],
        connection: ClientConnection,
        *,
        language: str | None,
        stall_timeout_s: float,
        reconnect_window_s: float,
    ) -> None:
        self._connect = connect
        self._connection = connection
        self._results = Results(0.0, language)
        self._stall_timeout_s = stall_timeout_s
        self._reconnect_window_s = reconnect_window_s
        self._inbox: Channel[AudioFrame | None] = Channel(INBOX_FRAMES)  # None: finalise
        self._tail = Tail(REPLAY_S)
        self._finalizing = False  # a Finalize has no answer yet
        self._lost_at: float | None = None  # since when no connection has given a message
        self._running = False
        self._ended = asyncio.Event()

    async def push(self, frame: AudioFrame) -> None:
        await self._put(frame)

    async def flush(self) -> None:
        await self._put(None)

    def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        return produced(self._recognize, EVENTS)

    async def aclose(self) -> None:
        """Says goodbye, so that nothing more is billed, and waits a second at most for the last results."""
        self._inbox.close()
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._ended.wait()
        drop(self._connection, abort=not self._ended.is_set())

    async def _put(self, item: AudioFrame | None) -> None:
        try:
            await self._inbox.send(item)
        except Closed:
            return  # the stream ended while the sound was on its way; iteration says why

    async def _recognize(self, out: Channel[SpeechEvent]) -> None:
        self._running = True
        try:
            while (lost := await self._serve(out)) is not None:
                drop(self._connection, abort=True)
                self._connection = await self._reconnected(lost)
                self._results = self._results.carried(self._tail.begin_s)
        finally:
            self._running = False
            self._inbox.close()
            self._ended.set()
            drop(self._connection)

    async def _serve(self, out: Channel[SpeechEvent]) -> ProviderError | None:
        """Works with one connection. None when the stream is over, else how it was lost; raises what no new
        connection would mend."""
        socket = ListenSocket(websocket=self._connection)  # type: ignore[arg-type]  # made for the legacy class
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._send(socket)), group.create_task(self._watch())]
                await self._receive(socket, out)
                for task in others:
                    task.cancel()
        except ExceptionGroup as group_error:
            error = group_error.exceptions[0]
            if self._inbox.closed and isinstance(error, ProviderError):
                return None  # it was closing anyway
            if isinstance(error, ProviderRefused) or not isinstance(error, ProviderError):
                raise error from None
            return error
        return None if self._inbox.closed else ProviderUnavailable(PROVIDER, "Deepgram closed the stream")

    async def _send(self, socket: ListenSocket) -> None:
        try:
            for frame in self._tail.frames():
                await socket.send_media(frame.data)
            if self._finalizing:
                await socket.send_finalize()
            while await self._send_next(socket):
                pass
        except ConnectionClosed as error:
            raise closed(error) from error

    async def _send_next(self, socket: ListenSocket) -> bool:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                item = await self._inbox.receive()
        except TimeoutError:
            await socket.send_keep_alive()
            return True
        except Closed:
            await socket.send_close_stream()
            return False
        if item is None:
            self._finalizing = True
            await socket.send_finalize()
        else:
            self._tail.push(item)  # first: what is lost on the way must be sent again
            await socket.send_media(item.data)
        return True

    async def _receive(self, socket: ListenSocket, out: Channel[SpeechEvent]) -> None:
        try:
            async for message in socket:
                self._lost_at = None
                if isinstance(message, ListenV1Error):
                    raise ProviderRefused(PROVIDER, message.description or str(message.message))
                if isinstance(message, ListenV1Results) and message.from_finalize:
                    self._finalizing = False
                for event in self._results.push(message):
                    await out.send(event)
                self._tail.settle(self._results.settled_s)
        except ConnectionClosed as error:
            raise closed(error) from error

    async def _watch(self) -> None:
        """Finds a half-open connection. Sound that was written may lie in the kernel for minutes, and silence gives
        no results: only pings bound the age of what the other side has not read."""
        interval_s, patience_s = self._stall_timeout_s / 3, self._stall_timeout_s * 2 / 3
        while True:
            await asyncio.sleep(interval_s)
            try:
                async with asyncio.timeout(patience_s):
                    pong = await self._connection.ping()
                    await pong
            except TimeoutError as error:
                stalled = f"the connection is half-open: nothing was read for {self._stall_timeout_s:g} s"
                raise ProviderUnavailable(PROVIDER, stalled) from error
            except ConnectionClosed as error:
                raise closed(error) from error

    async def _reconnected(self, lost: ProviderError) -> ClientConnection:
        """Raises ProviderRefused, or ProviderUnavailable when the window is over."""
        self._lost_at = now() if self._lost_at is None else self._lost_at
        wait_s = FIRST_WAIT_S
        while True:
            pause_s = max(lost.retry_after_s or 0.0, random.uniform(0, wait_s))
            if now() + pause_s > self._lost_at + self._reconnect_window_s:
                window = f"no connection for {self._reconnect_window_s:g} s"
                raise ProviderUnavailable(PROVIDER, f"{window}: {lost.message}") from lost
            await asyncio.sleep(pause_s)
            try:
                return await self._connect()
            except ProviderRefused:
                raise
            except ProviderError as error:
                lost, wait_s = error, min(2 * wait_s, LONGEST_WAIT_S)
