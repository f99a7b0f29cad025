"""Who may speak to the admin server: pure decisions.

A page of any site can make a browser send requests to 127.0.0.1. Two checks stop it: the Host must be an IP
address or a name of ours (a DNS name that was rebound to 127.0.0.1 is neither), and an Origin, when there is
one, must be our own or one that was allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

PUBLIC = frozenset({"/", "/worker", "/livez", "/readyz", "/metrics"})
CALLBACKS = "/v1/callbacks/"
"""Each has a token of its own, and comes under whatever name the world knows us by."""


def is_open(path: str) -> bool:
    """Whether no operator's token is asked for. Takes a route as well as a path."""
    return path in PUBLIC or path == "/talk" or path.startswith((CALLBACKS, "/talk/"))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. An empty host means every interface."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_allowed(header: str, names: Collection[str]) -> bool:
    """Whether the Host header names this server: an IP address, localhost or one of `names`."""
    host = _host_of(header)
    if host is None:
        return False
    return host == "localhost" or host in {name.lower() for name in names} or _is_address(host)


def origin_allowed(origin: str | None, host_header: str, allowed: Collection[str]) -> bool:
    """Whether a page of `origin` may ask: no page at all, our own, or one of `allowed` ("*" is every one)."""
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc == host_header and origin.startswith(("http://", "https://"))


def _host_of(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
