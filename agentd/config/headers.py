"""Which headers of agentd's requests to a user's servers a file may add. Pure."""

from __future__ import annotations

import re

OWN = frozenset(
    {"content-type", "user-agent", "idempotency-key", "traceparent", "host", "content-length", "content-encoding"}
    | {"accept-encoding", "connection", "transfer-encoding", "te", "trailer", "upgrade"}
)
OWN_PREFIXES = ("webhook-", "agentd-")


def is_own(name: str) -> bool:
    """Whether the contract, or HTTP itself, sets this one."""
    return name.lower() in OWN or name.lower().startswith(OWN_PREFIXES)


def is_name(name: str) -> bool:
    """Whether this can be a header's name, as RFC 9110 has it."""
    return re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is not None
