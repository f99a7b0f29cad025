"""The right to bring the result of one call later: a random token, good for one result, until a moment."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Literal

Delivery = Literal["taken", "used", "late", "refused"]
"""What becomes of a result that is brought: it is the call's now; the call had one; it is too late; or whoever brings
it does not have the token of a call that is known."""

TOKEN_BYTES = 32


@dataclass(slots=True)
class Callback:
    """`digests` of the tokens that are good: of the one that was given out, and of one for each repetition of the call
    after a fault. The tokens themselves are kept nowhere. `expires_at`: unix time."""

    expires_at: float
    digests: set[str] = field(default_factory=set)

    def grant(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self.digests.add(digest(token))
        return token

    def knows(self, token: str) -> bool:
        """Compares all, in constant time."""
        given = digest(token)
        return any([hmac.compare_digest(given, each) for each in self.digests])  # noqa: C419 -- none is left out


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
