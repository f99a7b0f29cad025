"""HTTP that a daemon serves: the admin API, who may use it, and tokens for front ends, as agentd.yaml says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, Secret, setting

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_PATTERN = rf"^{_LABEL}(\.{_LABEL})*$"
"""A name as DNS and container networks have it, in ASCII and without a port: no scheme, no path, no wildcard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminToken:
    """A bearer token of the API, and what its holder may."""

    name: str = setting(
        "Who holds it, for the audit log.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", reload="restart"
    )
    role: Literal["read", "operate", "mint"] = setting(
        "read: look at everything. mint: tokens for callers and dispatches, nothing else. operate: both, and act on "
        "calls, agents and the daemon.",
        reload="restart",
    )
    token: Secret = setting("The token.", reload="restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSection:
    """HTTP for operators: health, metrics, API."""

    addr: str = setting(
        "Host and port; port 0 takes a free one.",
        default="127.0.0.1:8081",
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]*):[0-9]{1,5}$",
        examples=("127.0.0.1:8081",),
        reload="restart",
    )
    hosts: tuple[str, ...] = setting(
        "Names under which requests may address the server, beside IP addresses and localhost: those that a proxy in "
        "front of it passes on. Whoever sends a token may use any name.",
        default=(),
        min_length=0,
        pattern=HOST_PATTERN,
        examples=("voice.example.com",),
        reload="restart",
    )
    token: Secret | None = setting(
        "Bearer token of the API that may do everything; without any token only a loopback address is taken.",
        default=None,
        reload="restart",
    )
    tokens: tuple[AdminToken, ...] = setting(
        "More tokens, each with a role.", default=(), min_length=0, reload="restart"
    )
    rate_limit: float = setting(
        "Requests a second that each token, or each address without one, may make; twice as many at once. 0: no limit.",
        default=50.0,
        minimum=0,
        maximum=100000,
        reload="restart",
    )
    write_agents: bool = setting(
        "Whether agents may be created, changed and deleted over the API. Whoever may operate can then have every "
        "secret of the daemon's environment sent anywhere.",
        default=False,
        reload="restart",
    )
    talk: bool | None = setting("Serve the talk page; on with --dev.", default=None, reload="restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """LiveKit's standard token endpoint, for front ends without a server of their own."""

    enabled: bool | None = setting("Serve it; on with --dev.", default=None, reload="restart")
    origins: tuple[str, ...] = setting("Web origins that may ask.", default=(), reload="restart")
    agents: tuple[str, ...] = setting("Agents that may be asked for; all by default.", default=(), reload="restart")
    ttl: Duration = setting(
        "How long a token is good for.", default=Duration(900.0), minimum=10, maximum=86400, reload="restart"
    )
