"""Who asks, and what they may: operators, known by their bearer tokens, and the roles that requests need. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["read", "operate", "mint"]
ROLES: frozenset[Role] = frozenset(get_args(Role))

MINTING = frozenset({"/v1/token", "/api/token", "/v1/dispatches"})
"""Paths that bring callers and agents together, and change nothing of the daemon."""

IMPLIED: dict[Role, frozenset[Role]] = {
    "read": frozenset({"read"}),
    "operate": ROLES,
    "mint": frozenset({"mint"}),
}
"""Whoever may act on calls may also look at them, and bring about new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`name` stands in the audit log. `roles`: all that they may, those that follow from others included."""

    name: str
    roles: frozenset[Role] = ROLES
    token: str = field(default="", repr=False)


LOCAL = Operator(name="local")
"""Whoever asks where no token is set: any process of this machine."""


def operator(name: str, role: Role, token: str) -> Operator:
    return Operator(name=name, roles=IMPLIED[role], token=token)


def known(header: str | None, operators: Iterable[Operator]) -> Operator | None:
    """Whose token an Authorization header holds. Compares with all of them, each in constant time, so that the time of
    a refusal tells nothing of any."""
    scheme, _, given = (header or "").partition(" ")
    found = None
    for each in operators:
        if hmac.compare_digest(given.strip().encode(), each.token.encode()) and each.token:
            found = found or each
    return found if scheme.lower() == "bearer" else None


def needed(method: str, path: str) -> Role:
    """The role that a request needs."""
    if path in MINTING:
        return "mint"
    return "read" if method in ("GET", "HEAD") else "operate"
