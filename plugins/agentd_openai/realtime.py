"""Realtime models: one WebSocket a call, opened by the SDK."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, Resampler
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.faults import http_fault
from agentd.providers.realtime import Command, CommandRefused, Configuration, Configure, RealtimeEvent
from agentd_openai.config import OpenAIRealtimeSettings
from agentd_openai.realtime_commands import client_event
from agentd_openai.realtime_events import Events
from agentd_openai.wire import PROVIDER, connected, faults

GOODBYE_S = 0.5

# RFC 6455: 1003 unsupported data, 1007 bad text, 1008 policy, 1009 too big.
_REFUSING_CODES = frozenset({1003, 1007, 1008, 1009})


async def create_realtime(settings: OpenAIRealtimeSettings) -> OpenAIRealtime:
    return OpenAIRealtime(settings, connected(settings.api_key, settings.base_url))


class OpenAIRealtime:
    def __init__(self, settings: OpenAIRealtimeSettings, client: AsyncOpenAI) -> None:
        self._settings = settings
        self._client = client

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    async def connect(self, configuration: Configuration) -> OpenAIConnection:
        within_s = self._settings.open_timeout
        try:
            async with asyncio.timeout(within_s):
                return await self._open(configuration)
        except TimeoutError as error:
            raise ProviderTimeout(PROVIDER, f"no connection within {within_s:g} s") from error

    async def probe(self) -> None:
        """Opens a session and closes it; nothing is said in it."""
        connection = await self.connect(Configuration())
        await connection.aclose()

    async def aclose(self) -> None:
        await self._client.close()

    async def _open(self, configuration: Configuration) -> OpenAIConnection:
        patience_s = self._settings.stall_timeout / 2
        options: Any = {  # for `websockets.connect`; the SDK's type of them names only some
            "ping_interval": patience_s,
            "ping_timeout": patience_s,
            "close_timeout": GOODBYE_S,
            "compression": None,  # base64 of sound does not compress well enough for its price
            "max_size": None,
        }
        manager = self._client.realtime.connect(model=self._settings.model, websocket_connection_options=options)
        try:
            with faults():
                connection = await manager.enter()
        except InvalidStatus as error:
            raise _refused(error) from error
        except (OSError, InvalidMessage, InvalidHandshake, ConnectionClosed) as error:
            raise ProviderUnavailable(PROVIDER, f"no connection: {error}") from error
        opened = OpenAIConnection(connection, self._settings)
        try:
            await opened.configure(configuration)
        except BaseException:  # cancelled as well: the connection must not stay open
            await opened.aclose()
            raise
        return opened


class OpenAIConnection:
    """A session of the Realtime API."""

    def __init__(self, connection: AsyncRealtimeConnection, settings: OpenAIRealtimeSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._events = Events(silence_s=settings.silence if settings.vad == "server" else 0.0)
        self._resampler = Resampler(INPUT_HZ, OUTPUT_HZ)
        self._number = 0  # of the events that were sent

    async def configure(self, configuration: Configuration) -> None:
        """Waits until OpenAI has taken it. Raises ProviderError."""
        await self.send(Configure(configuration))
        while True:
            event = await self._receive()
            if event.get("type") == "session.updated":
                return
            for found in self._events.read(event):
                if isinstance(found, CommandRefused):
                    raise found.error

    async def hear(self, frame: AudioFrame) -> None:
        data = self._resampler.push(frame).data
        await self._send({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})

    async def send(self, command: Command) -> None:
        self._number += 1
        event_id = f"agentd_{self._number}"
        self._events.sent(event_id, command)
        await self._send({"event_id": event_id, **client_event(command, self._settings, self._events.responses)})

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        while True:
            for event in self._events.read(await self._receive()):
                yield event

    async def aclose(self) -> None:
        with suppress(ConnectionClosed, TimeoutError, OSError):
            async with asyncio.timeout(2 * GOODBYE_S):
                await self._connection.close()

    async def _send(self, event: dict[str, Any]) -> None:
        with suppress(ConnectionClosed):  # iteration says why
            await self._connection.send_raw(json.dumps(event))

    async def _receive(self) -> dict[str, Any]:
        """The next event as it was written: the SDK's models of them would be made for each piece of sound."""
        try:
            event: dict[str, Any] = json.loads(await self._connection.recv_bytes())
        except ConnectionClosed as error:
            raise _closed(error) from error
        except ValueError as error:
            raise ProviderUnavailable(PROVIDER, f"malformed event: {error}") from error
        return event


def _refused(error: InvalidStatus) -> ProviderError:
    text = (error.response.body or b"").decode("utf-8", "replace")
    with suppress(ValueError, TypeError, KeyError):  # no error of OpenAI's: the text is all there is
        text = str(json.loads(text)["error"]["message"])
    return http_fault(PROVIDER, error.response.status_code, text[:300], error.response.headers)


def _closed(error: ConnectionClosed) -> ProviderError:
    if error.rcvd is None:
        return ProviderUnavailable(PROVIDER, "the connection was lost")
    kind = ProviderRefused if error.rcvd.code in _REFUSING_CODES else ProviderUnavailable
    return kind(PROVIDER, f"closed by OpenAI with {error.rcvd.code} {error.rcvd.reason}".rstrip())
