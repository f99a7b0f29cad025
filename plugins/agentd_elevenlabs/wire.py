"""Connections to ElevenLabs, and their failures as agentd's errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.faults import http_fault
from agentd.providers.fields import Secret
from agentd.providers.keys import key_for

PROVIDER = "elevenlabs"

# RFC 6455: 1003 unsupported data, 1007 bad text, 1008 policy (ElevenLabs: key, voice, model, quota), 1009 too big.
# 1006 is never sent: the connection ended without a goodbye.
_REFUSING_CODES = frozenset({1003, 1007, 1008, 1009})

# Errors by ElevenLabs' own names that pass: the session may try again. All others stand.
_PASSING = frozenset(
    {
        "rate_limited", "rate_limit_exceeded", "too_many_concurrent_requests", "system_busy",
        "concurrent_limit_exceeded", "resource_exhausted", "queue_overflow", "transcriber_error",
        "session_time_limit_exceeded", "insufficient_audio_activity", "internal_error", "internal_server_error",
        "error",
    }
)  # fmt: skip


def key(given: Secret | None, base_url: str) -> str:
    """Raises ProviderRefused without a key at ElevenLabs itself."""
    found = key_for(PROVIDER, given, variable="ELEVENLABS_API_KEY", base_url=base_url, domain="elevenlabs.io")
    return found or "none"  # the SDK wants some


@asynccontextmanager
async def connecting(timeout_s: float) -> AsyncIterator[None]:
    """Turns what opening a connection raises into ProviderErrors."""
    try:
        yield
    except InvalidStatus as error:
        raise _refused(error) from error
    except TimeoutError as error:
        raise ProviderTimeout(PROVIDER, f"no connection within {timeout_s:g} s") from error
    except (OSError, InvalidMessage, InvalidHandshake, ConnectionClosed) as error:
        raise ProviderUnavailable(PROVIDER, f"no connection: {error}") from error


async def opened(url: str, api_key: str, *, timeout_s: float) -> ClientConnection:
    """A connection that sends no pings of its own and whose `close` takes at most half a second."""
    async with connecting(timeout_s):
        return await connect(
            url,
            additional_headers={"xi-api-key": api_key},
            open_timeout=timeout_s,
            ping_interval=None,  # a player that takes its time is no dead connection: reads have deadlines instead
            close_timeout=0.5,
            compression=None,  # base64 of sound does not compress well enough for its price
            max_size=None,
        )


def said(body: Any) -> str:
    """The reason in an HTTP answer's body: {"detail": {"status", "message"}} or {"detail": text}."""
    detail = body.get("detail", body) if isinstance(body, Mapping) else body
    if isinstance(detail, Mapping):
        return str(detail.get("message") or detail.get("status") or detail)
    return str(detail or "")


def _refused(error: InvalidStatus) -> ProviderError:
    text = (error.response.body or b"").decode("utf-8", "replace")
    with suppress(ValueError):  # no JSON: the text is all there is
        text = said(json.loads(text))
    return http_fault(PROVIDER, error.response.status_code, text[:300], error.response.headers)


def named_fault(name: str, message: str) -> ProviderError:
    """An error that came as a message, under ElevenLabs' name for it."""
    return (ProviderUnavailable if name in _PASSING else ProviderRefused)(PROVIDER, f"{name}: {message}")


def closed(error: ConnectionClosed) -> ProviderError:
    """What it means that the connection was closed while it was needed."""
    return close_fault(error.rcvd.code, error.rcvd.reason) if error.rcvd else close_fault(None, None)


def close_fault(code: int | None, reason: str | None) -> ProviderError:
    if code is None or code == 1006:
        return ProviderUnavailable(PROVIDER, "the connection was lost")
    kind = ProviderRefused if code in _REFUSING_CODES else ProviderUnavailable
    return kind(PROVIDER, f"closed by ElevenLabs with {code} {reason or ''}".rstrip())


def drop(connection: ClientConnection) -> None:
    """Closes without waiting for anything; what was written is still sent. Idempotent."""
    connection.transport.close()
