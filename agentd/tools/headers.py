"""The headers of a request of ours: what the contract says, signed, over what the user adds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from agentd import __version__
from agentd.config.headers import is_own
from agentd.errors import ToolError
from agentd.providers.fields import Secret, SecretMissing
from agentd.tools import signing


def signing_keys(name: str, secret: Secret | None) -> tuple[bytes, ...]:
    """Of what is called `name` in errors. Raises ToolError."""
    if secret is None:
        return ()
    try:
        return signing.keys(secret.reveal())
    except (SecretMissing, signing.SecretMalformed) as error:
        raise ToolError(f"{name}: secret: {error}") from error


def own_headers(name: str, headers: Mapping[str, Secret]) -> dict[str, str]:
    """What the user adds, resolved. Raises ToolError."""
    revealed = {}
    for key, secret in headers.items():
        if is_own(key):
            raise ToolError(f"{name}: headers: {key} is set by agentd")
        try:
            value = secret.reveal()
        except SecretMissing as error:
            raise ToolError(f"{name}: headers: {key}: {error}") from error
        if any(each in key + value for each in "\r\n\0"):
            raise ToolError(f"{name}: headers: {key} holds a line break")
        revealed[key] = value
    return revealed


def contract_headers(
    keys: tuple[bytes, ...],
    own: Mapping[str, str],
    *,
    message_id: str,
    body: bytes,
    attempt: int,
    timeout_s: float,
    traceparent: str,
) -> dict[str, str]:
    """Of one attempt, made now; signed where there are keys."""
    timestamp = int(time.time())
    headers = {
        **own,
        **({"content-type": "application/json"} if body else {}),
        "accept-encoding": "gzip",
        "user-agent": f"agentd/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "idempotency-key": message_id,
        "agentd-contract": "1",
        "agentd-attempt": str(attempt),
        "agentd-timeout-ms": str(max(0, round(timeout_s * 1000))),
        "traceparent": traceparent,
    }
    if keys:
        headers["webhook-signature"] = signing.signature(keys, message_id, timestamp, body)
    return headers


def retry_after_s(text: str) -> float | None:
    """Of the header of this name: seconds, or a date, as RFC 9110 has it."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
