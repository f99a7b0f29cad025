"""Names for things that the world may see: unique, and in the order of their making."""

from __future__ import annotations

import secrets

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(prefix: str, at_s: float) -> str:
    """`prefix` and a ULID: sortable by time (unix), unique by 80 random bits."""
    number = (int(at_s * 1000) & (2**48 - 1)) << 80 | secrets.randbits(80)
    return prefix + "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
