"""What the admin side is told: plain values, whoever read them from flags, environment or a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentd.admin.guards import is_loopback
from agentd.admin.roles import Operator
from agentd.errors import AgentdError
from agentd.transport.tokens import CALLER_TTL_S, LiveKitCredentials

DEFAULT_ADDR = "127.0.0.1:8081"
RATE_LIMIT = 50.0


class UnsafeBind(AgentdError):
    """The server can be reached from other machines, and no token protects it."""


class InvalidAddress(UnsafeBind, ValueError):
    """The address is not HOST:PORT; refused like an unsafe one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """`addr` is HOST:PORT ("[::1]:8081" for IPv6, port 0 for any free one); `token` guards `/v1/`, and may everything;
    `operators` have tokens of their own. `rate_limit`: requests a second of each operator, or of each address where
    nobody is known; 0: as many as they like. `write_agents`: whether agents' files may be changed.

    `hosts` are names, beside IP addresses and localhost, under which the server may be addressed (that of a proxy
    in front of it). `talk_page` serves `/talk`, where there is a token endpoint.
    """

    addr: str = DEFAULT_ADDR
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    talk_page: bool = False
    operators: tuple[Operator, ...] = ()
    rate_limit: float = RATE_LIMIT
    write_agents: bool = False

    @property
    def known(self) -> tuple[Operator, ...]:
        """All who have a token; nobody: whoever reaches the address may do everything."""
        own = (Operator(name="admin", token=self.token),) if self.token else ()
        return (*own, *self.operators)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpointSettings:
    """Who may get a token for a call, and for which agents.

    `public_url` is LiveKit's address as callers reach it, when it is not the daemon's own. `origins`: sites whose
    pages may ask ("*" for all); the daemon's own pages always may. `agents`: whom callers may ask for; empty means
    every agent that serves. `choose_room` lets a caller name the room, and so join a call that others are in.
    `public` False: only operators who may mint are given tokens.
    """

    credentials: LiveKitCredentials
    public_url: str = ""
    origins: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    ttl_s: float = CALLER_TTL_S
    choose_room: bool = False
    public: bool = True

    @property
    def server_url(self) -> str:
        """Where callers connect, as a WebSocket address."""
        return self.public_url or self.credentials.websocket_url


def parse_addr(addr: str) -> tuple[str, int]:
    """HOST and PORT. Raises InvalidAddress, which says what is wrong."""
    host, separator, port = addr.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise InvalidAddress(f"{addr!r} is not HOST:PORT, for example {DEFAULT_ADDR}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_bind(settings: AdminSettings) -> None:
    """Raises UnsafeBind for an address that others reach, or a proxy through which they do, while no token is set."""
    host, _ = parse_addr(settings.addr)
    if settings.known or (is_loopback(host) and not settings.hosts):
        return
    if is_loopback(host):
        what, instead = f"admin.hosts names a proxy ({settings.hosts[0]}) through which", "leave admin.hosts out"
    else:
        what, instead = f"the admin address {settings.addr} is one on which", "listen on 127.0.0.1"
    raise UnsafeBind(
        f"{what} other machines reach this server: set AGENTD_ADMIN_TOKEN (or AGENTD_ADMIN_TOKEN_FILE), or {instead}"
    )
