"""One HTTP exchange of a webhook: checked addresses, no redirects, no proxies, no cookies, and a bounded answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from agentd.errors import ToolError
from agentd.tools.addresses import AddressPolicy, AddressRefused, CheckedResolver, Resolve
from agentd.tools.breaker import Breaker

CONNECT_TIMEOUT_S = 2.0
RESPONSE_BYTES = 256 * 1024  # after decompression
_KEEP_ALIVE_S = 4.0  # less than the 5 s after which Node.js and uvicorn close: a closed connection is not to be met
_CHUNK_BYTES = 16 * 1024


class NotSent(Exception):
    """The endpoint cannot have seen the request: it may be sent again."""


class AnswerLost(Exception):
    """The endpoint may have seen the request; its answer did not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`truncated`: the body was longer than is read; `text` is then empty. Text that is no UTF-8 has marks in it."""

    status: int
    content_type: str = ""
    text: str = ""
    retry_after: str = ""
    truncated: bool = False

    @property
    def is_json(self) -> bool:
        return self.content_type == "application/json" or self.content_type.endswith("+json")


class WebhookClient:
    """The connections of a worker's webhooks, shared by all of its agents.

    `http_allow`: see agentd.tools.addresses. `resolve`: instead of the system's resolver.
    """

    def __init__(self, http_allow: Sequence[str] = (), *, resolve: Resolve | None = None) -> None:
        self.policy = AddressPolicy(http_allow)
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None
        self._breakers: dict[str, Breaker] = {}

    def breaker(self, host: str) -> Breaker:
        """The one for `host` ("hooks.example.com:443"), shared by all tools that go there."""
        return self._breakers.setdefault(host, Breaker())

    async def __aenter__(self) -> WebhookClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises NotSent, AnswerLost, and ToolError for what no repetition mends; the caller sets the deadline."""
        try:
            async with self._opened().request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                content, truncated = await _read(response)
                return Answer(
                    status=response.status,
                    content_type=response.content_type.lower(),
                    text=content.decode("utf-8", "replace"),
                    retry_after=response.headers.get("retry-after", ""),
                    truncated=truncated,
                )
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, AddressRefused):
                raise ToolError(str(error.os_error)) from error
            raise NotSent(f"the host name cannot be resolved: {error.os_error}") from error
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            raise ToolError(f"no secure connection: {error}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"no connection: {error}") from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise ToolError(f"the request cannot be made: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerLost(f"the connection was lost: {error or type(error).__name__}") from error

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,  # each connection's addresses are checked
                keepalive_timeout=_KEEP_ALIVE_S,
                resolver=CheckedResolver(self.policy, self._resolve),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # ours stops at the limit: a bomb is never unpacked
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
                trust_env=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The unpacked body, or nothing and True when it is larger than is read. Raises ToolError."""
    unpack = _unpacker(response.headers.get("content-encoding", "identity").strip().lower())
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        try:
            content += unpack(chunk, RESPONSE_BYTES + 1 - len(content))
        except zlib.error as error:
            raise ToolError(f"the answer cannot be unpacked: {error}") from error
        if len(content) > RESPONSE_BYTES:
            response.close()  # what is left is not worth reading
            return b"", True
    return bytes(content), False


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Takes a chunk and the most bytes to make of it. Raises ToolError."""
    match encoding:
        case "" | "identity":
            return lambda chunk, limit: chunk[:limit]
        case "gzip" | "x-gzip":
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress
        case "deflate":
            return zlib.decompressobj().decompress
    raise ToolError(f'the answer has the content-encoding "{encoding}", which was not asked for')
