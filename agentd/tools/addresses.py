"""Which addresses a webhook may reach. Decided for the address that is connected to, so that DNS tells no lies.

Link-local and metadata addresses never. `http.allow` of agentd.yaml, where it is set, is all that may be reached:
host patterns ("hooks.example.com", "*.example.com", "app"), addresses and networks ("10.1.0.0/16"). Where it is not
set, public addresses may be reached; loopback when the URL says loopback; private ones when the URL says the address,
or a name that nobody can own on the internet ("app", "crm.internal"): a public name that leads inside is refused.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agentd.errors import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int, socket.AddressFamily], Awaitable[list[str]]]

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS metadata
        "100.100.100.200/32",  # Alibaba metadata
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle metadata
        "0.0.0.0/8",
        "::/128",
        "224.0.0.0/4",
        "ff00::/8",
        "240.0.0.0/4",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_INSIDE_SUFFIXES = (".internal", ".local", ".lan", ".home.arpa", ".localdomain", ".svc", ".test")


class AddressRefused(OSError):
    """The policy does not let a webhook connect there."""


class AddressPolicy:
    """`allow`: the daemon's http.allow; empty for none."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._locked = bool(allow)
        self._networks: tuple[Network, ...] = tuple(net for each in allow if (net := _network(each)) is not None)
        self._hosts = tuple(each.lower() for each in allow if _network(each) is None)

    def check_host(self, host: str) -> None:
        """Before anything is resolved; decides for good about addresses. Raises AddressRefused."""
        if address := literal(host):
            self.check(host, address)
        elif _is_odd_address(host):
            raise AddressRefused(f"{host} is an address in an unusual form; write it in the usual one")
        elif self._locked and not self._networks and not self._names(host):
            raise AddressRefused(f"http.allow does not name {host}")

    def check(self, host: str, address: Address) -> None:
        """Whether `host`, as the URL has it, may be reached at `address`. Raises AddressRefused."""
        real = _unwrapped(address)
        if any(real in net for net in _NEVER) or any(address in net for net in _NEVER):
            raise AddressRefused(f"{host} leads to {address}, which webhooks never reach")
        listed = self._names(host) or any(real in net for net in self._networks)
        if listed:
            return
        if self._locked:
            raise AddressRefused(f"http.allow does not name {host} ({address})")
        if real.is_loopback and not is_loopback(host):
            raise AddressRefused(f"{host} leads to the loopback address {address}; http.allow can permit it")
        if not real.is_loopback and not real.is_global and literal(host) is None and not _is_inside_name(host):
            raise AddressRefused(f"{host} leads to the private address {address}; http.allow can permit it")

    def _names(self, host: str) -> bool:
        return any(fnmatch.fnmatchcase(host.lower().rstrip("."), pattern) for pattern in self._hosts)


def checked_url(name: str, url: str, policy: AddressPolicy, *, allow_http: bool) -> URL:
    """The address of the tool `name`. Raises ToolError. The host is looked at as it will be connected to, after yarl's
    normalisation."""
    try:
        checked = URL(url)
        host = checked.raw_host
    except ValueError as error:
        raise ToolError(f"{name}: url: {error}") from error
    if checked.scheme not in ("http", "https") or not host:
        raise ToolError(f"{name}: url must be an absolute http:// or https:// address")
    if checked.scheme == "http" and not is_loopback(host) and not allow_http:
        raise ToolError(f"{name}: url must be https://, or set allow_http: true")
    try:
        policy.check_host(host)
    except AddressRefused as refused:
        raise ToolError(f"{name}: url: {refused}") from refused
    return checked


class CheckedResolver(AbstractResolver):
    """Resolves when a connection is made, and gives only addresses that the policy permits."""

    def __init__(self, policy: AddressPolicy, resolve: Resolve | None = None) -> None:
        self._policy = policy
        self._resolve = resolve or _resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        permitted: list[ResolveResult] = []
        refusal: AddressRefused | None = None
        for text in await self._resolve(host, port, family):
            address = ipaddress.ip_address(text.partition("%")[0])
            try:
                self._policy.check(host, address)
            except AddressRefused as refused:
                refusal = refused
            else:
                permitted.append(_result(host, port, address))
        if refusal is not None and not permitted:
            raise refusal
        return permitted

    async def close(self) -> None:
        """Nothing is held."""


def literal(host: str) -> Address | None:
    """The address that `host` is, in the usual form."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether the URL itself says loopback."""
    address = literal(host)
    name = host.lower().rstrip(".")
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside of a mapped, translated or tunnelled one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or 1 < int(address) < 2**32:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _is_inside_name(host: str) -> bool:
    name = host.lower().rstrip(".")
    return "." not in name or is_loopback(name) or name.endswith(_INSIDE_SUFFIXES)


def _is_odd_address(host: str) -> bool:
    """2130706433, 0x7f.1 and 0177.0.0.1 are names to us and addresses to the C library."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or (last.startswith("0x") and all(each in "0123456789abcdef" for each in last[2:]))


def _result(host: str, port: int, address: Address) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


async def _resolve(host: str, port: int, family: socket.AddressFamily) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
