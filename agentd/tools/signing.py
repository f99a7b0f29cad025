"""Signatures of webhooks, as Standard Webhooks 1.0.0 says: HMAC-SHA256 over "id.timestamp.body", in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from agentd.ids import new_id as new_id

PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


class SecretMalformed(ValueError):
    """The signing secret is not whsec_ and base64 of 24 to 64 bytes."""


class SignatureInvalid(Exception):
    """A request was not signed by who has the secret, or not now."""


def keys(secret: str) -> tuple[bytes, ...]:
    """The keys in `secret`, separated by blanks; several while one is being rotated. Raises SecretMalformed."""
    found = tuple(_key(each) for each in secret.split())
    if not found:
        raise SecretMalformed("the signing secret is empty")
    return found


def _key(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise SecretMalformed(f"a signing secret begins with {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise SecretMalformed(f"a signing secret is base64 after {PREFIX}: {error}") from error
    if len(key) not in _KEY_BYTES:
        raise SecretMalformed(f"a signing secret has 24 to 64 bytes; this one has {len(key)}")
    return key


def signature(signing_keys: tuple[bytes, ...], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one "v1,..." a key, separated by blanks."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in signing_keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def verify(
    signing_keys: tuple[bytes, ...], headers: Mapping[str, str], body: bytes, now_s: float, tolerance_s: float = 300.0
) -> None:
    """As a receiver does. `headers`: with their names in small letters. Raises SignatureInvalid, which says why."""
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not headers.get(name)]
    if missing:
        raise SignatureInvalid(f"{', '.join(missing)} missing")
    if not headers["webhook-timestamp"].isdecimal():
        raise SignatureInvalid("webhook-timestamp is no number of seconds")
    timestamp = int(headers["webhook-timestamp"])
    if abs(now_s - timestamp) > tolerance_s:
        side = "old" if timestamp < now_s else "far in the future"
        raise SignatureInvalid(f"too {side}: {abs(now_s - timestamp):.0f} s, and {tolerance_s:.0f} s are allowed")
    expected = signature(signing_keys, headers["webhook-id"], timestamp, body).split()
    given = headers["webhook-signature"].split()
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in given):
        raise SignatureInvalid("no signature fits: another secret, or other bytes than were signed")
