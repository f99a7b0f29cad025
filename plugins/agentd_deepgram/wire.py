"""Connections to Deepgram, and their failures as agentd's errors.

The SDK's own `connect` is not used: see docs/decisions/provider-sdks.md. Its socket clients, which frame and parse
every message, are given connections that are opened here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.faults import http_fault
from agentd.providers.fields import Secret
from agentd.providers.keys import key_for

PROVIDER = "deepgram"

# RFC 6455: 1003 unsupported data, 1007 bad text, 1008 policy, 1009 too big. Deepgram closes with 1008 and DATA-0000
# when it cannot decode the sound, with 1011 and NET-0000 or NET-0001 for faults of its own and for silence.
_REFUSING_CODES = frozenset({1003, 1007, 1008, 1009})


def headers(api_key: Secret | None, base_url: str) -> dict[str, str]:
    """Raises ProviderRefused without a key at Deepgram itself."""
    key = key_for(PROVIDER, api_key, variable="DEEPGRAM_API_KEY", base_url=base_url, domain="deepgram.com")
    return {"Authorization": f"Token {key}"} if key else {}


def address(base_url: str, path: str, query: Mapping[str, Any]) -> str:
    """The WebSocket URL; a parameter whose value is a list or tuple is repeated, None leaves it out."""
    scheme, _, rest = base_url.rstrip("/").partition("://")
    scheme = {"https": "wss", "http": "ws"}.get(scheme, scheme)
    said = {name: _text(value) for name, value in query.items() if value is not None}
    return f"{scheme}://{rest}{path}?{urlencode(said, doseq=True)}"


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else str(value)


async def opened(url: str, authorization: Mapping[str, str], *, timeout_s: float) -> ClientConnection:
    """A connection that sends no pings of its own and whose `close` takes at most half a second.

    Raises ProviderError.
    """
    try:
        return await connect(
            url,
            additional_headers=dict(authorization),
            open_timeout=timeout_s,
            ping_interval=None,  # pings are sent and watched where a reader is always at work
            close_timeout=0.5,
            compression=None,  # sound does not compress
            max_size=None,
        )
    except InvalidStatus as error:
        raise _refused(error) from error
    except TimeoutError as error:
        raise ProviderTimeout(PROVIDER, f"no connection within {timeout_s:g} s") from error
    except (OSError, InvalidMessage, InvalidHandshake, ConnectionClosed) as error:
        raise ProviderUnavailable(PROVIDER, f"no connection: {error}") from error


def _refused(error: InvalidStatus) -> ProviderError:
    """Deepgram says why in the header dg-error, or in the body."""
    answer = error.response
    body = (answer.body or b"").decode("utf-8", "replace")[:300]
    return http_fault(PROVIDER, answer.status_code, answer.headers.get("dg-error") or body, answer.headers)


def closed(error: ConnectionClosed) -> ProviderError:
    """What it means that the connection was closed while it was needed."""
    if error.rcvd is None:
        return ProviderUnavailable(PROVIDER, "the connection was lost")
    text = f"closed by Deepgram with {error.rcvd.code} {error.rcvd.reason}".rstrip()
    return (ProviderRefused if error.rcvd.code in _REFUSING_CODES else ProviderUnavailable)(PROVIDER, text)


def drop(connection: ClientConnection, *, abort: bool = False) -> None:
    """Closes without waiting for anything. What was written is still sent, unless `abort`. Idempotent."""
    if abort:
        connection.transport.abort()
    else:
        connection.transport.close()
