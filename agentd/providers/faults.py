"""What a provider's failure means: one rule, for every plugin, of what may succeed later and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable

_TIMEOUTS = frozenset({408, 504})
_BUSY = frozenset({409, 425, 429})


def http_fault(provider: str, status: int, message: str, headers: Mapping[str, str]) -> ProviderError:
    """The error for an HTTP answer of 400 or more; `headers` with lower-case or case-insensitive keys."""
    text = f"HTTP {status}: {message or 'no reason given'}"
    if status in _TIMEOUTS:
        return ProviderTimeout(provider, text, retry_after_s=retry_after_s(headers))
    if status in _BUSY or status >= 500:
        return ProviderUnavailable(provider, text, retry_after_s=retry_after_s(headers))
    return ProviderRefused(provider, text)


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (a number or an HTTP date); None when not said."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / divisor
        except ValueError:
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        at = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
