"""One HTTP exchange of a webhook: checked addresses, no redirects, no proxies, no cookies, and a bounded answer."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType

import aiohttp
from yarl import URL

from agentd.errors import ToolBlocked, ToolError
from agentd.tools.addresses import AddressPolicy, AddressRefused, CheckedResolver, Resolve
from agentd.tools.breaker import Breaker
from agentd.tools.stream import Events, Lines, Part, as_json, reader

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
    """`truncated`: the body was longer than is read; `text` is then empty. `damaged`: what was no UTF-8, or a NUL, is
    replaced by marks."""

    status: int
    content_type: str = ""
    text: str = ""
    retry_after: str = ""
    truncated: bool = False
    damaged: bool = False

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

    async def send(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        progress: Callable[[str], None] = lambda text: None,
    ) -> Answer:
        """`progress` is given what comes before the result, of an answer that comes in parts.

        Raises NotSent, AnswerLost, ToolBlocked, and ToolError for what no repetition mends; the caller sets the
        deadline.
        """
        try:
            async with self._opened().request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                self._look_at_redirect(response)
                return await _answer(response, progress)
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, AddressRefused):
                raise ToolBlocked(str(error.os_error)) from error
            raise NotSent(f"the host name cannot be resolved: {error.os_error}") from error
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            raise ToolError(f"no secure connection: {error}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"no connection: {error}") from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise ToolError(f"the request cannot be made: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerLost(f"the connection was lost: {error or type(error).__name__}") from error

    def _look_at_redirect(self, response: aiohttp.ClientResponse) -> None:
        """It is not followed; one that leads where no webhook may go is told apart. Raises ToolBlocked."""
        if not 300 <= response.status < 400:
            return
        try:
            host = response.url.join(URL(response.headers.get("location", ""))).raw_host or ""
            self.policy.check_host(host)
        except AddressRefused as refused:
            raise ToolBlocked(f"it redirects: {refused}") from refused
        except ValueError:
            return

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


async def _answer(response: aiohttp.ClientResponse, progress: Callable[[str], None]) -> Answer:
    """Raises ToolError, AnswerLost."""
    kind, succeeded = response.content_type.lower(), 200 <= response.status < 300
    blank = Answer(status=response.status, content_type=kind, retry_after=response.headers.get("retry-after", ""))
    if succeeded and (parts := reader(kind)) is not None:
        return await _last_part(response, parts, blank, progress)
    content = bytearray()
    try:
        async with aclosing(_unpacked(response)) as chunks:
            async for chunk in chunks:
                content += chunk
    except _TooLarge:
        return replace(blank, truncated=True)
    return _with_text(blank, bytes(content))


async def _last_part(
    response: aiohttp.ClientResponse, parts: Events | Lines, blank: Answer, progress: Callable[[str], None]
) -> Answer:
    """The result, or the error, of an answer in parts. Raises ToolError, AnswerLost."""

    try:
        async with aclosing(_parts(response, parts)) as told:
            async for part in told:
                if part.kind == "progress":
                    progress(part.text)
                    continue
                response.close()  # there is nothing to come
                return _of_part(part, blank)
    except _TooLarge:
        return replace(blank, truncated=True)
    raise AnswerLost("the answer ended before its result")


async def _parts(response: aiohttp.ClientResponse, parts: Events | Lines) -> AsyncGenerator[Part, None]:
    async with aclosing(_unpacked(response)) as chunks:
        async for chunk in chunks:
            for part in parts.push(chunk):
                yield part
    for part in parts.push(b"", end=True):
        yield part


def _of_part(part: Part, blank: Answer) -> Answer:
    if part.kind == "error":
        return replace(blank, status=500, content_type="application/problem+json", text=part.text)
    is_json = not isinstance(as_json(part.text), str)
    kind = "application/json" if is_json else "text/plain"
    return _with_text(replace(blank, content_type=kind), part.text.encode())


def _with_text(blank: Answer, content: bytes) -> Answer:
    text = content.decode("utf-8", "replace")
    damaged = "\0" in text or "\\u0000" in text or text.encode("utf-8", "replace") != content
    return replace(blank, text=text.replace("\0", "\N{REPLACEMENT CHARACTER}"), damaged=damaged)


class _TooLarge(Exception):
    """The body is larger than is read."""


async def _unpacked(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """The body as it comes, unpacked. Raises ToolError, _TooLarge."""
    unpack = _unpacker(response.headers.get("content-encoding", "identity").strip().lower())
    size = 0
    async for chunk in response.content.iter_any():
        for start in range(0, len(chunk), _CHUNK_BYTES):
            try:
                made = unpack(chunk[start : start + _CHUNK_BYTES], RESPONSE_BYTES + 1 - size)
            except zlib.error as error:
                raise ToolError(f"the answer cannot be unpacked: {error}") from error
            size += len(made)
            if size > RESPONSE_BYTES:
                response.close()  # what is left is not worth reading
                raise _TooLarge
            yield made


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
