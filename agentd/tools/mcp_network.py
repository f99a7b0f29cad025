"""The connections of MCP servers that have an address: each is looked at when it is made, as a webhook's is."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from agentd.tools.addresses import AddressPolicy, AddressRefused, CheckedResolver, Resolve, literal

logger = logging.getLogger(__name__)


def checked_transport(policy: AddressPolicy, resolve: Resolve | None = None) -> httpx2.AsyncHTTPTransport:
    """Of an HTTP client that reaches what the policy permits, and knows no proxy."""
    transport = httpx2.AsyncHTTPTransport(trust_env=False)
    transport._pool = httpcore2.AsyncConnectionPool(  # the transport takes no backend of ours
        ssl_context=httpx2.create_ssl_context(trust_env=False), network_backend=_Checked(policy, resolve)
    )
    return transport


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to addresses; certificates are still those of the host's name."""

    def __init__(self, policy: AddressPolicy, resolve: Resolve | None) -> None:
        self._policy = policy
        self._resolver = CheckedResolver(policy, resolve)
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure = httpcore2.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Raises ConnectError."""
        try:
            if (address := literal(host)) is not None:
                self._policy.check(host, address)
                return [str(address)]
            return [found["host"] for found in await self._resolver.resolve(host, port, socket.AF_UNSPEC)]
        except AddressRefused as refused:
            logger.warning("ssrf_blocked", extra={"host": host, "error": str(refused)})
            raise httpcore2.ConnectError(str(refused)) from refused
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
